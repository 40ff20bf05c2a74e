"""Who asks, as far as no action matters: known or not, what it is in, and which conditions on it alone hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cedarpy
from cedarpy import pst

from sallyport.pdp import identity
from sallyport.pdp.agents import Agent
from sallyport.pdp.model import Denied, ErrorCode, Principal
from sallyport.pdp.policies import index_of, number_in
from sallyport.pdp.policy import Policy, nodes
from sallyport.pdp.roles import Role, closure

CACHED = 1024
Uid = tuple[str, str]  # type, id
Entity = dict[str, Any]
_AT_HAND = frozenset({"Role", "User", "Agent", "AgentGroup", "Org", "Compound"})


@dataclass(frozen=True, slots=True)
class View:
    """One principal under one snapshot."""

    uid: Uid
    within: frozenset[Uid]  # itself and all its ancestors
    entities: tuple[Entity, ...]  # Cedar JSON: itself and everything it refers to or is in, its org aside
    holding: frozenset[int]  # conditions on the principal alone that hold
    failing: frozenset[int]  # … that can't be evaluated


class Principals:
    """Knows every principal that roles.yaml, agents.yaml and resources.yaml admit."""

    __slots__ = ("_agents", "_conditions", "_orgs", "_roles", "view")

    def __init__(
        self, roles: Mapping[str, Role], agents: Mapping[str, Agent], orgs: frozenset[str], policies: Sequence[Policy]
    ) -> None:
        self._roles = roles
        self._agents = agents
        self._orgs = orgs
        self._conditions = _Conditions(policies)
        self.view = lru_cache(maxsize=CACHED)(self._view)

    def check(self, principal: Principal) -> None:
        """Raises Denied unless org, agent and roles are known and the agent may work in the org."""
        if not principal.issuer or not principal.user_id:
            raise Denied(ErrorCode.INVALID_QUESTION)
        if principal.org not in self._orgs:
            raise Denied(ErrorCode.UNKNOWN_ORG)
        agent = self._agents.get(principal.agent_id)
        if agent is None:
            raise Denied(ErrorCode.UNKNOWN_AGENT)
        if principal.org not in agent.orgs:
            raise Denied(ErrorCode.ORG_ISOLATION)
        if not self._roles.keys() >= set(principal.roles):
            raise Denied(ErrorCode.UNKNOWN_ROLE)

    def condition_of(self, policy: Policy) -> int | None:
        """The number of the policy's condition, if it has one and it asks of the principal alone."""
        return self._conditions.number_of.get(policy.id)

    def _view(self, principal: Principal) -> View:
        self.check(principal)
        agent = self._agents[principal.agent_id]
        roles = closure(principal.roles, self._roles)
        user, compound = ("User", identity.user(principal)), ("Compound", identity.compound(principal))
        agent_uid = ("Agent", principal.agent_id)
        attributes = {
            "user": _reference(user),
            "agent": _reference(agent_uid),
            "user_id": principal.user_id,
            "agent_id": principal.agent_id,
            "agent_trust_level": agent.trust_level,
            "org": _reference(("Org", principal.org)),
            "scopes": sorted(set(principal.scopes)),
        }
        groups = [("AgentGroup", group) for group in dict.fromkeys(agent.groups)]
        entities = (
            _entity(compound, attributes, [user, agent_uid]),
            _entity(user, {}, [("Role", role) for role in sorted(set(principal.roles))]),
            _entity(agent_uid, {}, groups),
            *(_entity(group, {}, []) for group in groups),
            *(
                _entity(("Role", role), {}, [("Role", up) for up in self._roles[role].parents])
                for role in sorted(roles)
            ),
        )
        within = frozenset([compound, user, agent_uid, *groups, *(("Role", role) for role in roles)])
        holding, failing = self._conditions.evaluate(compound, [*entities, _entity(("Org", principal.org), {}, [])])
        return View(compound, within, entities, holding, failing)


class _Conditions:
    """Every condition that asks of the principal alone: the same for all actions, so asked once."""

    __slots__ = ("_policies", "number_of")

    def __init__(self, policies: Sequence[Policy]) -> None:
        chosen = [policy for policy in policies if policy.node.clauses and _asks_principal_alone(policy)]
        # Gates of many tools ask the same, which is then asked once.
        numbers: dict[tuple[pst.Clause, ...], int] = {}
        for policy in chosen:
            numbers.setdefault(policy.node.clauses, len(numbers))
        self.number_of = {policy.id: numbers[policy.node.clauses] for policy in chosen}
        scope = pst.ScopeAny()
        templates = {
            f"policy{number}": pst.Template(f"policy{number}", "permit", scope, scope, scope, clauses, pst.FrozenMap())
            for clauses, number in numbers.items()
        }
        tree = pst.PolicySet(pst.FrozenMap(), pst.FrozenMap(templates), ())
        self._policies = cedarpy.PolicySet.from_pst(tree)

    def evaluate(self, uid: Uid, entities: Sequence[Entity]) -> tuple[frozenset[int], frozenset[int]]:
        """The numbers of the conditions that hold, and of those that fail."""
        request = {"principal": _named(uid), "action": _named(("Action", "-")), "resource": _named(("Tool", "-"))}
        result = cedarpy.is_authorized(request, self._policies, list(entities))
        if result.decision is cedarpy.Decision.NoDecision:
            raise Denied(ErrorCode.INVALID_QUESTION)
        # Taken by number: one that can't be told apart raises, and the principal is denied everything.
        failing = frozenset(number_in(message) for message in result.diagnostics.errors)
        return frozenset(index_of(reason) for reason in result.diagnostics.reasons), failing


def _asks_principal_alone(policy: Policy) -> bool:
    """No other variable, and no entity but those at hand here: of a Table or an Action nothing is known."""
    if any(str(uid.type) not in _AT_HAND for uid in pst.entity_uids(policy.node.clauses)):
        return False
    return all(node.name == "principal" for node in nodes(policy.node.clauses) if isinstance(node, pst.Var))


def _entity(uid: Uid, attributes: dict[str, Any], parents: Sequence[Uid]) -> Entity:
    return {"uid": _named(uid), "attrs": attributes, "parents": [_named(parent) for parent in parents]}


def _named(uid: Uid) -> dict[str, str]:
    return {"type": uid[0], "id": uid[1]}


def _reference(uid: Uid) -> dict[str, Any]:
    return {"__entity": _named(uid)}
