"""One decision: the question made into a request for the engine room, and its judgement into a verdict."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from sallyport.pdp import context, listed
from sallyport.pdp.context import Contexts
from sallyport.pdp.failure import code_of
from sallyport.pdp.model import Denied, Effect, ErrorCode, Principal, Query, Verdict
from sallyport.pdp.room import Judgement
from sallyport.pdp.rule import Rule
from sallyport.pdp.rules import ActionRules
from sallyport.pdp.slices import ANY, Keys
from sallyport.pdp.snapshot import Snapshot
from sallyport.pdp.visibility import is_visible
from sallyport.pdp.world import Uid, World

_NOT_LISTED: Final = frozenset({ErrorCode.UNKNOWN_RESOURCE, ErrorCode.ORG_ISOLATION})


@dataclass(frozen=True, slots=True)
class Prepared:
    """A question as the engine room takes it."""

    request: Mapping[str, Any]  # Cedar's: principal, action, resource, context
    keys: Keys
    world: World
    rules: ActionRules


@dataclass(frozen=True, slots=True)
class Shared:
    """What the evaluations of one question have in common: one principal, one instant."""

    contexts: Contexts = field(default_factory=Contexts)
    verdicts: dict[Hashable, Verdict] = field(default_factory=dict)
    in_vain: set[tuple[str, str]] = field(default_factory=set)  # of which a stand-in was judged


def evaluate(
    snapshot: Snapshot, principal: Principal, query: Query, now: datetime, shared: Shared | None = None
) -> Verdict:
    """May this principal do this, here and now? `now` is the PDP's clock, with its time zone. Never raises."""
    known = shared or Shared()
    try:
        try:
            return _evaluate(snapshot, principal, query, now, known)
        except Denied as denied:
            if denied.code in _NOT_LISTED:
                _in_vain(snapshot, principal, query, now, known)
            raise
    except BaseException as error:  # noqa: BLE001 — any exception is a denial; a panic in Rust isn't even an Exception
        return Verdict(Effect.DENY, errors=(code_of(error),))


def _in_vain(snapshot: Snapshot, principal: Principal, query: Query, now: datetime, shared: Shared) -> None:
    """Judge a stand-in, once a question, and forget it: how soon the denial comes must not tell what is listed."""
    kind = query.action, query.resource_type
    if kind not in shared.in_vain:
        shared.in_vain.add(kind)
        with suppress(Exception):  # whatever is wrong with a stand-in is no answer to what was asked
            _judged(snapshot, principal, query, now, shared, listed_there=False)


def _evaluate(snapshot: Snapshot, principal: Principal, query: Query, now: datetime, shared: Shared) -> Verdict:
    kind = _kind(snapshot, principal, query)
    if kind is None:
        return _judged(snapshot, principal, query, now, shared)
    if kind not in shared.verdicts:
        shared.verdicts[kind] = _judged(snapshot, principal, query, now, shared)
    return shared.verdicts[kind]


def _kind(snapshot: Snapshot, principal: Principal, query: Query) -> Hashable | None:
    """What no policy can tell apart is judged once; a list has hundreds of such. None: to be judged by itself.

    A policy knows a resource by its type, its attributes, and its id if it names that very one.
    """
    rules = snapshot.rules.get(query.action)
    if rules is None or query.resource_type not in listed.MANY:
        return None
    snapshot.principals.view(principal)  # whom nobody knows is told so first
    resource = snapshot.entities.resource(rules, principal, query)
    named = resource.uid if resource.uid in snapshot.named else None
    return query.action, query.session, resource.uid[0], resource.text, named


def _judged(
    snapshot: Snapshot, principal: Principal, query: Query, now: datetime, shared: Shared, *, listed_there: bool = True
) -> Verdict:
    prepared = prepare(snapshot, principal, query, now, contexts=shared.contexts, listed_there=listed_there)
    judged = snapshot.room.judge(prepared.request, prepared.keys, prepared.world)
    verdict = _verdict(snapshot, principal, prepared.rules, judged)
    in_vain = bool(verdict.scopes) and not _would_help(snapshot, principal, query, now, verdict.scopes)
    return replace(verdict, scopes=()) if in_vain else verdict


def _would_help(snapshot: Snapshot, principal: Principal, query: Query, now: datetime, scopes: tuple[str, ...]) -> bool:
    """With these OAuth scopes, would it be permitted? Else a client would ask for them in vain."""
    more = replace(principal, scopes=tuple(dict.fromkeys((*principal.scopes, *scopes))))
    prepared = prepare(snapshot, more, query, now)
    return snapshot.room.judge(prepared.request, prepared.keys, prepared.world).allowed


def prepare(
    snapshot: Snapshot,
    principal: Principal,
    query: Query,
    now: datetime,
    *,
    whole: bool = False,
    contexts: Contexts | None = None,
    listed_there: bool = True,
) -> Prepared:
    """The request and all that it refers to. Raises Denied.

    `whole`: with all of the context, for snapshot.schema. Not `listed_there`: of what isn't, a stand-in.
    """
    rules = snapshot.rules.get(query.action)
    if rules is None:
        raise Denied(ErrorCode.UNKNOWN_ACTION)
    view = snapshot.principals.view(principal)  # denies whom nobody knows
    if principal.org not in rules.orgs:
        raise Denied(ErrorCode.ORG_ISOLATION)
    find = snapshot.entities.resource if listed_there else snapshot.entities.stand_in
    resource = find(rules, principal, query)
    facts = (contexts or Contexts()).build(rules.action, query, now)
    request = {
        "principal": _named(view.uid),
        "action": _named(("Action", query.action)),
        "resource": _named(resource.uid),
        "context": facts if whole else context.trim(facts, rules.context),
    }
    keys = Keys(view.keys, view.own_keys, rules.keys, (ANY, (resource.uid[0], None)), (resource.uid,))
    return Prepared(request, keys, snapshot.entities.world(principal, resource), rules)


def _verdict(snapshot: Snapshot, principal: Principal, rules: ActionRules, judged: Judgement) -> Verdict:
    if judged.invalid or judged.absent:
        raise Denied(ErrorCode.INVALID_QUESTION)
    if judged.failed:
        return Verdict(Effect.DENY, reasons=_ids(judged.failed), errors=(ErrorCode.POLICY_ERROR,))
    if judged.allowed:
        return Verdict(
            Effect.PERMIT,
            reasons=_ids(judged.reasons),
            obligations=_unique(rule.obligation for rule in judged.reasons),
            advice=_unique(rule.advice for rule in judged.reasons),
        )
    # Advice and scopes would tell a caller that a tool exists which they can't see.
    told = judged.reasons if any(_tells(rule) for rule in judged.reasons) else ()
    told = told if told and is_visible(snapshot, principal, rules.action.name) else ()
    # One forbid that no scope lifts, and asking for scopes would lead nowhere.
    scopes = [scope for rule in told for scope in rule.oauth_scopes] if all(rule.oauth_scopes for rule in told) else []
    return Verdict(
        Effect.DENY,
        reasons=_ids(judged.reasons),
        advice=_unique(rule.advice for rule in told),
        scopes=_unique(scopes),
    )


def _tells(rule: Rule) -> bool:
    return rule.advice is not None or bool(rule.oauth_scopes)


def _ids(rules: Sequence[Rule]) -> tuple[str, ...]:
    return tuple(rule.id for rule in rules)


def _unique(texts: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for text in texts if text is not None))


def _named(uid: Uid) -> dict[str, str]:
    return {"type": uid[0], "id": uid[1]}
