"""Steps 6 to 9: record the intent, let it happen, release the answer, record the outcome.

After `tools/` has redeemed the permit nothing is reported but the truth: done, failed, withheld, cancelled or
unknown. The outcome is handed to the recorder without waiting, so that no cancellation can come between.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from sallyport.contract.catalog import Effect, Tool
from sallyport.pep import release
from sallyport.pep.audit import AuditUnavailable, Outcome, Recorder
from sallyport.pep.decision import Permit, PermitRefused
from sallyport.pep.model import CheckedCall, ToolOutput
from sallyport.pep.refusal import Reason, Refusal
from sallyport.pep.telemetry import Metrics
from sallyport.pep.tools import ToolFailure, Tools
from sallyport.pep.trail import Trail, leaves


@dataclass(frozen=True, slots=True)
class _Told:
    """How a call ended: for the record, and for the client."""

    outcome: Outcome
    detail: str
    shown: ToolOutput | Refusal


class Effects:
    """The only caller of `tools.run`."""

    def __init__(self, tools: Tools, recorder: Recorder, metrics: Metrics) -> None:
        self._tools = tools
        self._recorder = recorder
        self._metrics = metrics

    async def run(self, trail: Trail, permit: Permit, call: CheckedCall, tool: Tool) -> ToolOutput | Refusal:
        """What the client may see. An exception that ends the process or the task is raised after the record."""
        told = _Told(Outcome.UNKNOWN, "interrupted", _unknown("interrupted"))
        trail.note(permit.reasons, revision=permit.revision)
        intended = True
        try:
            started = time.perf_counter()
            await self._recorder.intent(trail, call, [item.ref for item in permit.resolved])  # (6)
            recorded = time.perf_counter()
            self._metrics.recorded(recorded - started)
            output = await self._tools.run(permit, call)  # (7)
            self._metrics.ran(call.name, time.perf_counter() - recorded)
            told = self._release(output, permit, tool)  # (8)
        except AuditUnavailable as error:
            intended, trail.recorded = False, True  # the writer has counted it
            told = _Told(Outcome.FAILED, "", Refusal(Reason.AUDIT_UNAVAILABLE, str(error)))
        except BaseException as error:  # N6: whatever breaks, the record tells how far it came
            told = _broken(error, permit, tool)
            if leaves(error):
                raise
        finally:
            if intended:
                trail.recorded, trail.effect = True, _effect(told, permit)
                self._recorder.outcome(trail, told.outcome, told.detail)  # (9)
                self._metrics.ended(call.name, told.outcome.value)
            await self._tools.release(permit.resolved)
        return told.shown

    def _release(self, output: ToolOutput, permit: Permit, tool: Tool) -> _Told:
        try:
            shown = release.result(output, obligations=permit.obligations, max_bytes=tool.limits.result_bytes)
        except Exception as error:  # noqa: BLE001 — the effect is done, so a broken release withholds
            shown = Refusal(Reason.WITHHELD, f"release broke: {type(error).__name__}", data={"effect": "done"})
        if isinstance(shown, Refusal):
            return _Told(Outcome.WITHHELD, shown.detail, shown)
        return _Told(Outcome.FAILED if shown.is_error else Outcome.DONE, "", shown)


def _effect(told: _Told, permit: Permit) -> str:
    if not permit.redeemed:
        return "none"
    return "done" if told.outcome in {Outcome.DONE, Outcome.WITHHELD} else "unknown"


def _broken(error: BaseException, permit: Permit, tool: Tool) -> _Told:
    name = type(error).__name__
    cancelled = isinstance(error, asyncio.CancelledError)
    if not permit.redeemed:
        reason = Reason.EXPIRED if isinstance(error, PermitRefused) else Reason.TOOL_UNAVAILABLE
        detail = f"before the effect: {error if reason is Reason.EXPIRED else name}"
        return _Told(Outcome.CANCELLED if cancelled else Outcome.FAILED, detail, Refusal(reason, detail))
    if isinstance(error, ToolFailure):
        return _Told(Outcome.FAILED, error.public, _failure(error.public, permit.decision_id))
    if tool.effect is not Effect.READ_ONLY:
        return _Told(Outcome.UNKNOWN, name, _unknown(name))
    outcome = Outcome.CANCELLED if cancelled else Outcome.FAILED
    return _Told(outcome, name, _failure("", permit.decision_id))


def _unknown(detail: str) -> Refusal:
    return Refusal(Reason.EFFECT_UNKNOWN, detail, data={"effect": "unknown"})


def _failure(public: str, decision_id: str) -> ToolOutput:
    text = f"the tool failed{': ' + public if public else ''} (decision {decision_id})"
    return ToolOutput(({"type": "text", "text": text},), is_error=True)
