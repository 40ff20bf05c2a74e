"""Steps 6 to 9: record the intent, let it happen, release the answer, record the outcome.

After the permit has been redeemed nothing is reported but the truth: done, failed, withheld, cancelled or unknown. The
outcome is handed to the recorder without waiting, so that no cancellation can come between.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from sallyport.pep import release
from sallyport.pep.apart import BIG, Apart, Crowded, size_of
from sallyport.pep.audit import AuditUnavailable, Outcome, Recorder
from sallyport.pep.decision import Permit, PermitRefused
from sallyport.pep.model import Answer, CheckedCall, Emit, Failed, Json, Output, Reply, TookTooLong, ToolOutput
from sallyport.pep.refusal import Reason, Refusal
from sallyport.pep.release import HeldTo
from sallyport.pep.standing import Revoked, Standing, Unanswered
from sallyport.pep.telemetry import Metrics
from sallyport.pep.tools import ToolFailure, Tools
from sallyport.pep.trail import Trail, leaves
from sallyport.runtime import canonical_json

_LOOK: Final = 1.0  # seconds
_FRAME: Final = 4 << 10  # characters of a notification that are masked at once
_FRAMES: Final = 64 << 10  # characters that one may have


@dataclass(frozen=True, slots=True)
class Work:
    """What a permit is for: how it runs, to what its answer is held, and whether it still may go on."""

    read_only: bool
    held_to: HeldTo
    run: Callable[[Emit], Awaitable[Output]]
    written: Callable[[Output], Answer]  # what was released, for the client
    emit: Emit  # to the client
    standing: Standing  # whether it still may go on, and what is demanded of it


@dataclass(frozen=True, slots=True)
class _Told:
    """How a call ended: for the record, and for the client."""

    outcome: Outcome
    detail: str
    shown: Answer | Refusal


class Effects:
    """The only caller of a `Work`'s `run`."""

    def __init__(self, tools: Tools, recorder: Recorder, metrics: Metrics) -> None:
        self._tools = tools
        self._recorder = recorder
        self._metrics = metrics
        self._apart = Apart()

    async def run(self, trail: Trail, permit: Permit, call: CheckedCall, work: Work) -> Answer | Refusal:
        """What the client may see. An exception that ends the process or the task is raised after the record."""
        told = _Told(Outcome.UNKNOWN, "interrupted", _unknown("interrupted"))
        trail.note(permit.reasons, revision=permit.revision)
        intended, cancelled = True, None
        try:
            started = time.perf_counter()
            await self._recorder.intent(trail, call, [item.ref for item in permit.resolved])  # (6)
            self._apart.expect(_whose(work), work.held_to.max_bytes)  # sooner no effect than none of its result
            recorded = time.perf_counter()
            self._metrics.recorded(recorded - started)
            frames = _Frames(work, self._apart)
            output = await frames.through(work.run(frames.emit))  # (7)
            self._metrics.ran(call.name, time.perf_counter() - recorded)
            if frames.sent:
                await work.standing.check()
            told, cancelled = await self._released(output, work)  # (8)
        except AuditUnavailable as error:
            intended, trail.recorded = False, True  # the writer has counted it
            told = _Told(Outcome.FAILED, "", Refusal(Reason.AUDIT_UNAVAILABLE, str(error)))
        except BaseException as error:  # N6: whatever breaks, the record tells how far it came
            told = _broken(error, permit, call, work)
            if leaves(error):
                raise
        finally:
            if intended:
                trail.recorded, trail.effect = True, _effect(told, permit)
                self._recorder.outcome(trail, told.outcome, told.detail)  # (9)
                self._metrics.ended(call.name, told.outcome.value)
            await self._tools.release(permit.resolved)
        if cancelled is not None:
            raise cancelled
        return told.shown

    async def _released(self, output: Output, work: Work) -> tuple[_Told, asyncio.CancelledError | None]:
        """What is big beside the loop. Whatever comes between, the effect is done, and that is what is told."""
        size = size_of(output, work.held_to.max_bytes)
        if size <= BIG:
            return _release(output, work), None
        try:
            return await self._apart.done(_whose(work), size, lambda: _release(output, work))
        except Crowded:
            public = "too many big results at once"
            return _ended(output, _withheld("too much of this caller's waits for its release", public), work), None
        except asyncio.CancelledError as error:
            return _ended(output, _withheld("the client left before it was released"), work), error


class _Frames:
    """Notifications on their way to the client: released like an answer, and only while the permit stands (N28)."""

    def __init__(self, work: Work, apart: Apart) -> None:
        self._work = work
        self._apart = apart
        self.sent = False
        self._watcher: asyncio.Task[None] | None = None
        self._revoked: Revoked | Unanswered | None = None

    async def through(self, running: Awaitable[Output]) -> Output:
        """The work's answer. Once a frame is out the permit is looked at every second, also while nothing comes."""
        task = asyncio.current_task()
        try:
            return await running
        except asyncio.CancelledError:
            if self._revoked is None or task is None:
                raise
            task.uncancel()  # ours, and it has done its work
            raise self._revoked from None
        finally:
            if self._watcher is not None:
                self._watcher.cancel()

    async def emit(self, method: str, params: Mapping[str, Json]) -> None:
        await self._work.standing.check()
        shown = await self._released(method, params)
        task = asyncio.current_task()
        if shown is None or task is None:
            return
        self.sent = True
        if self._watcher is None:
            self._watcher = asyncio.get_running_loop().create_task(self._watch(task))
        await self._work.emit(*shown)

    async def _released(self, method: str, params: Mapping[str, Json]) -> tuple[str, dict[str, Json]] | None:
        """Held to what is demanded when it goes out: that may be more once its turn has come."""
        standing = self._work.standing
        if not canonical_json.exceeds(params, _FRAME):
            return release.notification(method, params, standing.obligations)
        while True:
            demanded = standing.obligations
            release_it = partial(release.notification, method, params, demanded)
            try:
                shown, cancelled = await self._apart.done(_whose(self._work), _FRAMES, release_it)
            except Crowded:
                return None  # a notification may be lost, the call goes on
            if cancelled is not None:
                raise cancelled
            await standing.check()
            if standing.obligations == demanded:
                return shown

    async def _watch(self, task: asyncio.Task[object]) -> None:
        try:
            while True:
                await asyncio.sleep(_LOOK)
                await self._work.standing.check()
        except Exception as error:  # noqa: BLE001 — whoever can't look any more can't vouch for it either
            broke = Revoked(f"looking broke: {type(error).__name__}")
            self._revoked = error if isinstance(error, Revoked | Unanswered) else broke
            task.cancel()


def _release(output: Output, work: Work) -> _Told:
    try:
        return _ended(output, release.result(output, held_to=work.held_to, obligations=work.standing.obligations), work)
    except Exception as error:  # noqa: BLE001 — the effect is done, so a broken release withholds
        return _ended(output, _withheld(f"release broke: {type(error).__name__}"), work)


def _ended(output: Output, shown: Output | Refusal, work: Work) -> _Told:
    if isinstance(shown, Refusal) and isinstance(output, Reply) and output.type == "input_required":
        # It waits for an answer that will never come: nothing is done, and nothing is kept back.
        told = Failed(-32603, "the upstream asks for input that can't be passed on to this client")
        return _Told(Outcome.FAILED, shown.detail, work.written(told))
    if isinstance(shown, Refusal):
        return _Told(Outcome.WITHHELD, shown.detail, shown)
    failed = isinstance(shown, Failed) or (isinstance(shown, ToolOutput) and shown.is_error)
    return _Told(Outcome.FAILED if failed else Outcome.DONE, "", work.written(shown))


def _withheld(detail: str, public: str = "") -> Refusal:
    return Refusal(Reason.WITHHELD, detail, public, data={"effect": "done"})


def _whose(work: Work) -> tuple[str, ...]:
    caller = work.standing.caller
    return caller.issuer, caller.user, caller.agent, caller.org


def _effect(told: _Told, permit: Permit) -> str:
    if not permit.redeemed:
        return "none"
    return "done" if told.outcome in {Outcome.DONE, Outcome.WITHHELD} else "unknown"


def _broken(error: BaseException, permit: Permit, call: CheckedCall, work: Work) -> _Told:
    name = type(error).__name__
    cancelled = isinstance(error, asyncio.CancelledError)
    if not permit.redeemed:
        reason = Reason.EXPIRED if isinstance(error, PermitRefused) else Reason.TOOL_UNAVAILABLE
        detail = f"before the effect: {error if reason is Reason.EXPIRED else name}"
        return _Told(Outcome.CANCELLED if cancelled else Outcome.FAILED, detail, Refusal(reason, detail))
    if isinstance(error, Revoked):
        return _Told(
            Outcome.UNKNOWN, f"revoked: {error}", Refusal(Reason.REVOKED, str(error), data={"effect": "unknown"})
        )
    if isinstance(error, Unanswered):
        return _Told(Outcome.UNKNOWN, str(error), Refusal(Reason.NO_DECISION, str(error), data={"effect": "unknown"}))
    if isinstance(error, ToolFailure):
        return _Told(Outcome.FAILED, error.public, work.written(_failure(f"failed: {error.public}", permit, call)))
    late = error.public if isinstance(error, TookTooLong) else ""
    detail = str(error) if late else name
    if not work.read_only:
        return _Told(Outcome.UNKNOWN, detail, _unknown(detail, f"it {late}" if late else ""))
    outcome = Outcome.CANCELLED if cancelled else Outcome.FAILED
    return _Told(outcome, detail, work.written(_failure(late or "failed", permit, call)))


def _unknown(detail: str, public: str = "") -> Refusal:
    return Refusal(Reason.EFFECT_UNKNOWN, detail, public, data={"effect": "unknown"})


def _failure(how: str, permit: Permit, call: CheckedCall) -> Output:
    what = "tool" if call.method == "tools/call" else "upstream"
    text = f"the {what} {how} (decision {permit.decision_id})"
    if call.method != "tools/call":
        return Failed(-32603, text)
    return ToolOutput(({"type": "text", "text": text},), is_error=True)
