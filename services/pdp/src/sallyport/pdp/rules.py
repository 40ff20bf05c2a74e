"""Policies sliced by action: only those whose scope can match, so that the rest cost a request nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

import cedarpy
from cedarpy import pst

from sallyport.pdp.context_paths import may_match
from sallyport.pdp.policies import compile_set
from sallyport.pdp.policy import Policy
from sallyport.pdp.principals import Principals
from sallyport.pdp.schema import SERVER_ID, Action


class Match(IntEnum):
    """Does a policy match, as far as can be told? Ordered, so that the weakest part decides."""

    NO = 0
    MAYBE = 1
    YES = 2


@dataclass(frozen=True, slots=True)
class Rule:
    """A policy as one action sees it."""

    policy: Policy
    resource: Match  # of the scope's resource part with the action's resources
    condition: int | None  # its number among the conditions on the principal alone
    unconditional: bool


@dataclass(frozen=True, slots=True)
class ActionRules:
    """An action that may be asked for, with the only policies whose scope takes it in."""

    action: Action
    orgs: frozenset[str]  # the tenants it is for
    rules: tuple[Rule, ...]
    compiled: cedarpy.PolicySet  # the same; its `policyN` is rules[N]


def build(
    actions: Mapping[str, Action], policies: Sequence[Policy], principals: Principals, orgs: frozenset[str]
) -> dict[str, ActionRules]:
    """The rules of every action that a request may name."""
    return {
        action.name: _action_rules(action, policies, principals, orgs) for action in actions.values() if action.askable
    }


def _action_rules(
    action: Action, policies: Sequence[Policy], principals: Principals, orgs: frozenset[str]
) -> ActionRules:
    rules = tuple(_rules(action, policies, principals))
    mine = orgs if action.tool is None or action.tool.orgs == "all" else frozenset(action.tool.orgs)
    return ActionRules(action, mine, rules, compile_set([rule.policy for rule in rules]))


def _rules(action: Action, policies: Sequence[Policy], principals: Principals) -> Iterator[Rule]:
    for policy in policies:
        resource = _resource_match(policy.node.resource, action)
        if resource is not Match.NO and may_match(policy.node.action, action):
            yield Rule(policy, resource, principals.condition_of(policy), not policy.node.clauses)


def _resource_match(scope: pst.PrincipalOrResourceConstraint, action: Action) -> Match:
    """No resource has a parent (base_schema.py sees to it), so `in` is the same as `==`."""
    match scope:
        case pst.ScopeAny():
            return Match.YES
        case pst.ScopeIs(kind):
            return _type_match(str(kind), action)
        case pst.ScopeIsIn(kind, pst.EntityUid() as uid) if kind != uid.type:
            return Match.NO
        case (
            pst.ScopeEq(pst.EntityUid() as uid)
            | pst.ScopeIn(pst.EntityUid() as uid)
            | pst.ScopeIsIn(_, pst.EntityUid() as uid)
        ):
            certain = {"Tool": action.name, "Server": SERVER_ID}.get(str(uid.type))
            if certain is None:
                return min(Match.MAYBE, _type_match(str(uid.type), action))
            return _type_match(str(uid.type), action) if uid.id == certain else Match.NO
        case _:
            return Match.MAYBE


def _type_match(type_name: str, action: Action) -> Match:
    if type_name not in action.resource_types:
        return Match.NO
    return Match.YES if len(action.resource_types) == 1 else Match.MAYBE
