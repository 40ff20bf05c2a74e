"""May some call of this action be permitted to this caller? Hidden only if provably not.

Judged are each policy's scope, and conditions that ask of the principal alone (the roles' gates are such); those are
the same for every call. Any other condition may turn out either way.
"""

from __future__ import annotations

from collections.abc import Sequence

from cedarpy import pst

from sallyport.pdp.failure import code_of
from sallyport.pdp.model import Effect, ErrorCode, Principal, Verdict
from sallyport.pdp.principals import View
from sallyport.pdp.rules import ActionRules, Match, Rule
from sallyport.pdp.snapshot import Snapshot

_CONDITIONAL = Verdict(Effect.CONDITIONAL)
_UNKNOWN = Verdict(Effect.DENY, errors=(ErrorCode.UNKNOWN_ACTION,))


def visible(snapshot: Snapshot, principal: Principal, actions: Sequence[str]) -> tuple[Verdict, ...]:
    """CONDITIONAL or DENY for each action. Never raises."""
    try:
        view = snapshot.principals.view(principal)
        return tuple(_verdict(snapshot, principal, view, name) for name in actions)
    except BaseException as error:  # noqa: BLE001 — any exception is a denial; a panic in Rust isn't even an Exception
        hidden = Verdict(Effect.DENY, errors=(code_of(error),))
        return tuple(hidden for _ in actions)


def is_visible(snapshot: Snapshot, principal: Principal, rules: ActionRules) -> bool:
    return principal.org in rules.orgs and _hidden_by(rules, snapshot.principals.view(principal)) is None


def _verdict(snapshot: Snapshot, principal: Principal, view: View, name: str) -> Verdict:
    rules = snapshot.rules.get(name)
    # An unknown name costs what a hidden one costs: time must not tell them apart.
    judged = rules if rules is not None else snapshot.rules[snapshot.catalog.tools[0].name]
    hidden_by = _hidden_by(judged, view)
    if rules is None:
        return _UNKNOWN
    if principal.org not in judged.orgs:
        return Verdict(Effect.DENY, errors=(ErrorCode.ORG_ISOLATION,))
    return _CONDITIONAL if hidden_by is None else Verdict(Effect.DENY, reasons=hidden_by)


def _hidden_by(rules: ActionRules, view: View) -> tuple[str, ...] | None:
    """None where some permit may match, no forbid surely does, and nothing surely fails: Cedar would skip it, we deny.

    Else the policy that hides it, or () where none permits it.
    """
    permitted = False
    for rule in rules.rules:
        scope = min(_principal_match(rule.policy.node.principal, view), rule.resource)
        if rule.condition is not None and rule.condition in view.failing and scope is Match.YES:
            return (rule.policy.id,)
        matched = min(scope, _condition_match(rule, view))
        if rule.policy.permits:
            permitted = permitted or matched is not Match.NO
        elif matched is Match.YES:
            return (rule.policy.id,)
    return None if permitted else ()


def _condition_match(rule: Rule, view: View) -> Match:
    if rule.unconditional:
        return Match.YES
    if rule.condition is None:
        return Match.MAYBE
    return Match.YES if rule.condition in view.holding else Match.NO


def _principal_match(scope: pst.PrincipalOrResourceConstraint, view: View) -> Match:
    """Exact: all ancestors of the principal are known."""
    match scope:
        case pst.ScopeAny():
            return Match.YES
        case pst.ScopeEq(pst.EntityUid() as uid):
            matches = (str(uid.type), uid.id) == view.uid
        case pst.ScopeIn(pst.EntityUid() as uid):
            matches = (str(uid.type), uid.id) in view.within
        case pst.ScopeIs(kind):
            matches = str(kind) == view.uid[0]
        case pst.ScopeIsIn(kind, pst.EntityUid() as uid):
            matches = str(kind) == view.uid[0] and (str(uid.type), uid.id) in view.within
        case _:
            return Match.MAYBE
    return Match.YES if matches else Match.NO
