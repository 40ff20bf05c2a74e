"""Which kinds of request a policy can be about, and whether its condition can be met in any of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from cedarpy import pst

from sallyport.pdp import gates
from sallyport.pdp.base_schema import MODEL
from sallyport.pdp.context_paths import may_match
from sallyport.pdp.findings.fold import Types, chain, fold
from sallyport.pdp.findings.parts import Parts
from sallyport.pdp.policy import Policy
from sallyport.pdp.schema import Action

SESSION: Final = pst.GetAttr(pst.Var("context"), "session")
# What agents.yaml and the context admit: a comparison with what lies beyond is a slip.
_BOUNDS: Final[Mapping[pst.Expr, tuple[int, int]]] = {
    pst.GetAttr(SESSION, "hour_utc"): (0, 23),
    pst.GetAttr(SESSION, "risk"): (0, 100),
    pst.GetAttr(SESSION, "call_count"): (0, 2**53 - 1),
    pst.GetAttr(pst.Var("principal"), "agent_trust_level"): (0, 100),
}


@dataclass(frozen=True, slots=True)
class Kind:
    """An action that can be asked for, on one type of resource."""

    action: Action
    types: Types


def kinds(policy: Policy, parts: Parts) -> tuple[Kind, ...]:
    """Those that the policy's scope takes in."""
    return tuple(
        Kind(rules.action, _types(kind, rules.action, parts))
        for rules in parts.snapshot.rules.values()
        if may_match(policy.node.action, rules.action)
        for kind in sorted(rules.action.resource_types)
        if _takes(policy.node.resource, kind, rules.action)
    )


def met(policy: Policy, kind: Kind) -> bool | None:
    """Do all its clauses hold in every such request (True), or in none (False)?"""
    return holds(policy, kind.types)


def holds(policy: Policy, types: Types) -> bool | None:
    found: bool | None = True
    for clause in policy.node.clauses:
        value = fold(clause.expr, types)
        so = value if isinstance(clause, pst.When) or value is None else not value
        if so is False:
            return False
        found = found if so else None
    return found


def can_match(policy: Policy, kind: Kind) -> bool:
    return met(policy, kind) is not False


def written(parts: Parts) -> Iterator[Policy]:
    """The policies that somebody wrote; the compiled ones are right by construction."""
    return (policy for policy in parts.snapshot.policies if policy.statement.file != gates.FILE)


def conditions(policy: Policy) -> Iterator[tuple[pst.Clause, pst.Expr]]:
    """Each part of a clause that must hold by itself, or for `unless` all together."""
    for clause in policy.node.clauses:
        if isinstance(clause, pst.When):
            yield from ((clause, part) for part in chain(clause.expr, "and"))
        else:
            yield clause, clause.expr


def is_open(scope: pst.PrincipalOrResourceConstraint) -> bool:
    """Does it name nobody and nothing?"""
    return isinstance(scope, pst.ScopeAny | pst.ScopeIs)


def _types(resource: str, action: Action, parts: Parts) -> Types:
    known = {**MODEL, **parts.base.resources}
    return Types(
        resource,
        {
            "principal": known["Compound"].attributes,
            "resource": known[resource].attributes,
            "context": action.context,
        },
        _BOUNDS,
    )


def _takes(scope: pst.PrincipalOrResourceConstraint, kind: str, action: Action) -> bool:
    match scope:
        case pst.ScopeIs(asked):
            return str(asked) == kind
        case pst.ScopeIsIn(asked, pst.EntityUid() as uid):
            return str(asked) == kind == str(uid.type) and _is(uid, action)
        case pst.ScopeEq(pst.EntityUid() as uid) | pst.ScopeIn(pst.EntityUid() as uid):
            return str(uid.type) == kind and _is(uid, action)
        case _:
            return True


def _is(uid: pst.EntityUid, action: Action) -> bool:
    """A call judged on the tool itself has exactly one resource."""
    return action.alone.get(str(uid.type), uid.id) == uid.id
