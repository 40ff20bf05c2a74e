"""A verdict in AuthZEN's words. `context` is for the gateway and its operators, not for the person who asked it."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

from sallyport.contract.limits import MAX_ADVICE, MAX_REASONS, MAX_RESULT_SCOPES
from sallyport.pdp.model import Effect, ErrorCode, Verdict

_STATUS: Final = {
    ErrorCode.INVALID_QUESTION: 400,
    ErrorCode.UNKNOWN_ACTION: 404,
    ErrorCode.UNKNOWN_RESOURCE: 404,
    ErrorCode.NO_POLICIES: 503,
    ErrorCode.POLICY_ERROR: 500,
    ErrorCode.INTERNAL: 500,
}
_OTHER_STATUS: Final = 403
_VENDOR: Final = "sallyport"


def enforceable(verdict: Verdict, kinds: tuple[str, ...]) -> Verdict:
    """A permit only where the client carries out every obligation.

    A gateway that has never heard of obligations would read `decision: true` and stop there, so what it doesn't carry
    out is denied here. What was demanded stays in the verdict, for the audit.
    """
    unknown = [text for text in verdict.obligations if text.partition(":")[0] not in kinds]
    if verdict.effect is not Effect.PERMIT or verdict.errors or not unknown:
        return verdict
    return dataclasses.replace(verdict, effect=Effect.DENY)


def response(verdict: Verdict, decision_id: str, revision: str, text: str = "") -> dict[str, Any]:
    """One evaluation's answer; `text` says more about an error."""
    context: dict[str, Any] = {"id": decision_id, "decision_id": decision_id, "revision": revision}
    if verdict.reasons:
        context["reasons"] = list(verdict.reasons[:MAX_REASONS])
    if verdict.errors:
        first = verdict.errors[0]
        context["errors"] = [code.name for code in verdict.errors]
        context["error"] = {"status": _STATUS.get(first, _OTHER_STATUS), "message": text or first.name}
    elif verdict.effect is not Effect.PERMIT and verdict.obligations:
        context["error"] = {"status": _OTHER_STATUS, "message": "demands an obligation that this client doesn't name"}
    if verdict.obligations:  # AuthZEN profile for obligations, draft 1: who doesn't know `custom` of ours must deny
        context["obligations"] = [
            {"type": "custom", "id": f"{decision_id}-{number}", "vendor": _VENDOR, "obligation": obligation}
            for number, obligation in enumerate(verdict.obligations)
        ]
    if verdict.advice:
        context["advice"] = list(verdict.advice[:MAX_ADVICE])
    if verdict.scopes:
        context["scopes"] = list(verdict.scopes[:MAX_RESULT_SCOPES])
    return {"decision": verdict.effect is Effect.PERMIT and not verdict.errors, "context": context}
