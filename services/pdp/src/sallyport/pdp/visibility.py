"""May some call of this action be permitted to this caller, may every one? Hidden only if provably no call is.

Judged are each policy's scope, and the parts of its condition that ask of the principal alone (the roles' gates are
such); those are the same for every call. Anything else may turn out either way. No session is looked at, so what was
found for a caller holds as long as the snapshot does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from cedarpy import pst

from sallyport.pdp.carried import always_carried
from sallyport.pdp.failure import code_of
from sallyport.pdp.model import Effect, ErrorCode, Principal, Verdict
from sallyport.pdp.principals import View
from sallyport.pdp.rule import Rule
from sallyport.pdp.rules import ActionRules
from sallyport.pdp.schema import Action
from sallyport.pdp.slices import Keys
from sallyport.pdp.snapshot import Snapshot

_PERMIT: Final = Verdict(Effect.PERMIT)
_CONDITIONAL: Final = Verdict(Effect.CONDITIONAL)
_HIDDEN: Final = Verdict(Effect.DENY)
_UNKNOWN: Final = Verdict(Effect.DENY, errors=(ErrorCode.UNKNOWN_ACTION,))
_REMEMBERED: Final = 32_768  # verdicts, of at most 350 bytes each
_CONDITIONS: Final = 256  # that are asked for one answer; further ones may turn out either way


class Match(IntEnum):
    """Does a policy match, as far as can be told? Ordered, so that the weakest part decides."""

    NO = 0
    MAYBE = 1
    YES = 2


@dataclass(frozen=True, slots=True)
class _Told:
    """What can be told of one policy without the call."""

    match: Match
    certain: bool  # it can't fail either
    fails: bool = False  # it surely fails


def visible(snapshot: Snapshot, principal: Principal, actions: Sequence[str]) -> tuple[Verdict, ...]:
    """PERMIT (every call is permitted), CONDITIONAL or DENY for each action. Never raises."""
    try:
        who = _digest(principal)
        return tuple(_remembered(snapshot, principal, who, name) for name in actions)
    except BaseException as error:  # noqa: BLE001 — any exception is a denial; a panic in Rust isn't even an Exception
        hidden = Verdict(Effect.DENY, errors=(code_of(error),))
        return tuple(hidden for _ in actions)


def is_visible(snapshot: Snapshot, principal: Principal, action: str) -> bool:
    (verdict,) = visible(snapshot, principal, [action])
    return verdict.effect is not Effect.DENY


def _digest(principal: Principal) -> bytes:
    """Of the whole of it: a token may carry kilobytes of scopes, and isn't worth keeping for each name."""
    return hashlib.sha256(repr(principal).encode()).digest()


def _remembered(snapshot: Snapshot, principal: Principal, who: bytes, name: str) -> Verdict:
    """Unknown names are remembered too, or a quick answer would tell them from hidden ones."""
    verdict = snapshot.seen.get((who, name))
    if verdict is None:
        verdict = _verdict(snapshot, principal, name)
        if len(snapshot.seen) >= _REMEMBERED:
            snapshot.seen.clear()
        snapshot.seen[who, name] = verdict
    return verdict


def _verdict(snapshot: Snapshot, principal: Principal, name: str) -> Verdict:
    view = snapshot.principals.view(principal)
    rules = snapshot.rules.get(name)
    # An unknown name costs what a hidden one costs: time must not tell them apart.
    judged = rules if rules is not None else snapshot.rules[_some_action(snapshot)]
    verdict = _judged(snapshot, view, judged)
    if rules is None:
        return _UNKNOWN
    if principal.org not in judged.orgs:
        return Verdict(Effect.DENY, errors=(ErrorCode.ORG_ISOLATION,))
    return verdict


def _some_action(snapshot: Snapshot) -> str:
    tools = snapshot.catalog.tools
    return tools[0].name if tools else "tools/list"


def _judged(snapshot: Snapshot, view: View, rules: ActionRules) -> Verdict:
    """Hidden where no permit may match, a forbid surely does, or something surely fails: Cedar would skip it, we deny."""
    permitted = granted = False  # by some permit perhaps; by some permit surely
    settled = _judged_by_policies_alone(rules.action)  # nothing may forbid, fail, or be refused before
    asked = 0
    keys = Keys(view.keys, view.own_keys, rules.keys, (), ())
    action = rules.action
    wide, narrow = snapshot.room.slices.whatever_the_resource(keys, action.resource_types, action.alone)
    for rule in wide:
        scope = min(_principal_match(rule.principal, view), _resource_match(rule.resource, action))
        if scope is Match.NO:
            continue
        asked += len(rule.conjuncts)
        told = _told(snapshot, view, rule) if asked <= _CONDITIONS else _Told(Match.MAYBE, certain=False)
        matched = min(scope, told.match)
        if scope is Match.YES and (told.fails or (matched is Match.YES and _hides(rule))):
            return Verdict(Effect.DENY, reasons=(rule.id,))
        permitted = permitted or (rule.permits and matched is not Match.NO)
        granted = granted or (rule.permits and matched is Match.YES)
        settled = settled and told.certain and (rule.permits or matched is Match.NO)
    # On single resources a forbid hides nothing, and one permit is as good as many.
    if not permitted and not _one_may_permit(snapshot, view, narrow):
        return _HIDDEN
    return _PERMIT if granted and settled and not narrow else _CONDITIONAL


def _one_may_permit(snapshot: Snapshot, view: View, rules: Sequence[Rule]) -> bool:
    asked = 0
    for rule in rules:
        if rule.permits and _principal_match(rule.principal, view) is not Match.NO:
            asked += len(rule.conjuncts)
            if asked > _CONDITIONS or _told(snapshot, view, rule).match is not Match.NO:
                return True
    return False


def _hides(rule: Rule) -> bool:
    """A forbid that more OAuth scopes would lift doesn't: whoever isn't told of the scope can't ask for it."""
    return not rule.permits and not rule.oauth_scopes


def _judged_by_policies_alone(action: Action) -> bool:
    """No resource to be unknown, no fact of the session to be missing, no argument to be refused."""
    tool = action.tool
    return tool is not None and not tool.resources and not tool.required_context and always_carried(tool.input)


def _told(snapshot: Snapshot, view: View, rule: Rule) -> _Told:
    """Part by part, as Cedar evaluates them: a part that is false ends it, one that fails too."""
    certain = True
    for number in rule.conjuncts:
        if number is None:
            certain = False
            continue
        holds = view.holds(number, snapshot.conditions)
        if holds is False:
            return _Told(Match.NO, certain)
        if holds is None:  # it fails or isn't reached: either way the policy doesn't match
            return _Told(Match.NO, certain=False, fails=certain)
    return _Told(Match.YES if certain else Match.MAYBE, certain)


def _principal_match(scope: pst.PrincipalOrResourceConstraint, view: View) -> Match:
    """Exact: all ancestors of the principal are known."""
    match scope:
        case pst.ScopeAny():
            matches = True
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
            certain = action.alone.get(str(uid.type))
            if certain is None:
                return min(Match.MAYBE, _type_match(str(uid.type), action))
            return _type_match(str(uid.type), action) if uid.id == certain else Match.NO
        case _:
            return Match.MAYBE


def _type_match(type_name: str, action: Action) -> Match:
    if type_name not in action.resource_types:
        return Match.NO
    return Match.YES if len(action.resource_types) == 1 else Match.MAYBE
