"""One decision. Only Cedar's Allow without a single error is a permit; whatever else happens is a denial.

Cedar skips a policy that fails, also a forbid, and goes on; a request that doesn't fit the schema isn't evaluated at
all. Both look harmless in its answer, so both are looked for here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import cedarpy

from sallyport.pdp import context
from sallyport.pdp.failure import code_of
from sallyport.pdp.model import Denied, Effect, ErrorCode, Principal, Query, Verdict
from sallyport.pdp.policies import index_of, number_in
from sallyport.pdp.policy import Policy
from sallyport.pdp.principals import Uid
from sallyport.pdp.rules import ActionRules
from sallyport.pdp.snapshot import Snapshot
from sallyport.pdp.visibility import is_visible


def evaluate(snapshot: Snapshot, principal: Principal, query: Query, now: datetime) -> Verdict:
    """May this principal do this, here and now? `now` is the PDP's clock, with its time zone. Never raises."""
    try:
        return _evaluate(snapshot, principal, query, now)
    except BaseException as error:  # noqa: BLE001 — any exception is a denial; a panic in Rust isn't even an Exception
        return Verdict(Effect.DENY, errors=(code_of(error),))


def _evaluate(snapshot: Snapshot, principal: Principal, query: Query, now: datetime) -> Verdict:
    rules = snapshot.rules.get(query.action)
    if rules is None:
        raise Denied(ErrorCode.UNKNOWN_ACTION)
    view = snapshot.principals.view(principal)  # denies whom nobody knows
    if principal.org not in rules.orgs:
        raise Denied(ErrorCode.ORG_ISOLATION)
    resource = snapshot.entities.resource(rules, principal, query)
    request = {
        "principal": _named(view.uid),
        "action": _named(("Action", query.action)),
        "resource": _named(resource.uid),
        "context": context.build(rules.action, query, now),
    }
    entities = snapshot.entities.handle(principal, resource)
    result = cedarpy.is_authorized(request, rules.compiled, entities, snapshot.schema)
    return _verdict(snapshot, principal, rules, result)


def _verdict(snapshot: Snapshot, principal: Principal, rules: ActionRules, result: cedarpy.AuthzResult) -> Verdict:
    if result.decision is cedarpy.Decision.NoDecision:
        raise Denied(ErrorCode.INVALID_QUESTION)
    diagnostics = result.diagnostics
    if diagnostics.errors:
        failed = _at(rules, dict.fromkeys(number_in(message) for message in diagnostics.errors))
        return Verdict(Effect.DENY, reasons=_ids(failed), errors=(ErrorCode.POLICY_ERROR,))
    deciding = _at(rules, sorted(index_of(reason) for reason in diagnostics.reasons))
    if result.decision is cedarpy.Decision.Allow and deciding and all(policy.permits for policy in deciding):
        return Verdict(
            Effect.PERMIT,
            reasons=_ids(deciding),
            obligations=_unique(policy.obligation for policy in deciding),
            advice=_unique(policy.advice for policy in deciding),
        )
    advice = _unique(policy.advice for policy in deciding)
    # Advice would tell a caller that a tool exists which they can't see.
    told = advice if advice and is_visible(snapshot, principal, rules) else ()
    return Verdict(Effect.DENY, reasons=_ids(deciding), advice=told)


def _at(rules: ActionRules, numbers: Iterable[int]) -> list[Policy]:
    return [rules.rules[number].policy for number in numbers]


def _ids(policies: Sequence[Policy]) -> tuple[str, ...]:
    return tuple(policy.id for policy in policies)


def _unique(texts: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for text in texts if text is not None))


def _named(uid: Uid) -> dict[str, str]:
    return {"type": uid[0], "id": uid[1]}
