"""Who asks, as far as no action matters: known or not, what it is in, and which conditions on it alone hold."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

import cedarpy

from sallyport.pdp import identity
from sallyport.pdp.agents import Agent
from sallyport.pdp.conditions import Conditions
from sallyport.pdp.model import Denied, ErrorCode, Principal
from sallyport.pdp.roles import Role, closure
from sallyport.pdp.slices import ANY, Key
from sallyport.pdp.world import Uid

CACHED = 1024
Entity = dict[str, Any]


@dataclass(frozen=True, slots=True)
class View:
    """One principal under one snapshot."""

    uid: Uid
    entities: tuple[Entity, ...]  # Cedar JSON: itself and everything it refers to or is in
    keys: tuple[Key, ...]  # what scopes know it by, shared with others …
    own_keys: tuple[Key, ...]  # … and its own
    within: frozenset[Key]  # all of them
    handle: cedarpy.Entities  # the same entities, parsed
    _truths: dict[int, bool | None] = field(default_factory=dict)

    def holds(self, number: int, conditions: Conditions) -> bool | None:
        """Asked once for each condition."""
        if number not in self._truths:
            self._truths[number] = conditions.holds(number, self.uid, self.handle)
        return self._truths[number]


@dataclass(frozen=True, slots=True)
class _Known:
    """What the directory says of those who may ask."""

    roles: Mapping[str, Role]
    agents: Mapping[str, Agent]
    orgs: frozenset[str]


class Principals:
    """Knows every principal that roles.yaml, agents.yaml and resources.yaml admit."""

    __slots__ = ("view",)

    def __init__(self, roles: Mapping[str, Role], agents: Mapping[str, Agent], orgs: frozenset[str]) -> None:
        # A cache that held `self` would hold the whole snapshot in a ring, which only a collection could free.
        self.view = lru_cache(maxsize=CACHED)(partial(_view, _Known(roles, agents, orgs)))


def _check(known: _Known, principal: Principal) -> None:
    """Raises Denied unless org, agent and roles are known and the agent may work in the org."""
    if not principal.issuer or not principal.user_id:
        raise Denied(ErrorCode.INVALID_QUESTION)
    if principal.org not in known.orgs:
        raise Denied(ErrorCode.UNKNOWN_ORG)
    agent = known.agents.get(principal.agent_id)
    if agent is None:
        raise Denied(ErrorCode.UNKNOWN_AGENT)
    if principal.org not in agent.orgs:
        raise Denied(ErrorCode.ORG_ISOLATION)
    if not known.roles.keys() >= set(principal.roles):
        raise Denied(ErrorCode.UNKNOWN_ROLE)


def _view(known: _Known, principal: Principal) -> View:
    _check(known, principal)
    agent = known.agents[principal.agent_id]
    roles = sorted(closure(principal.roles, known.roles))
    user, compound = ("User", identity.user(principal)), ("Compound", identity.compound(principal))
    agent_uid = ("Agent", principal.agent_id)
    groups = [("AgentGroup", group) for group in dict.fromkeys(agent.groups)]
    entities = (
        _entity(compound, _attributes(principal, user, agent_uid, agent.trust_level), [user, agent_uid]),
        _entity(user, {}, [("Role", role) for role in sorted(set(principal.roles))]),
        _entity(agent_uid, {}, groups),
        _entity(("Org", principal.org), {}, []),
        *(_entity(group, {}, []) for group in groups),
        *(_entity(("Role", role), {}, [("Role", up) for up in known.roles[role].parents]) for role in roles),
    )
    shared = (ANY, ("Compound", None), agent_uid, *groups, *(("Role", role) for role in roles))
    text = json.dumps(entities, ensure_ascii=False, allow_nan=False)
    text.encode()  # a lone surrogate: UnicodeError, and so an invalid question
    own = (compound, user)
    return View(compound, entities, shared, own, frozenset((*shared, *own)), cedarpy.Entities.from_json_str(text))


def _attributes(principal: Principal, user: Uid, agent: Uid, trust_level: int) -> dict[str, Any]:
    return {
        "user": _reference(user),
        "agent": _reference(agent),
        "user_id": principal.user_id,
        "agent_id": principal.agent_id,
        "agent_trust_level": trust_level,
        "org": _reference(("Org", principal.org)),
        "scopes": sorted(set(principal.scopes)),
    }


def _entity(uid: Uid, attributes: dict[str, Any], parents: Sequence[Uid]) -> Entity:
    return {"uid": _named(uid), "attrs": attributes, "parents": [_named(parent) for parent in parents]}


def _named(uid: Uid) -> dict[str, str]:
    return {"type": uid[0], "id": uid[1]}


def _reference(uid: Uid) -> dict[str, Any]:
    return {"__entity": _named(uid)}
