"""The way of a call, numbered as in ARCHITECTURE.md. This module alone knows the order.

A denial is a value and leaves by `_refuse`: recorded, then answered. Before the effect begins any exception is a
refusal too; once it has begun, effect.py tells the truth about it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from sallyport.pep import VERSION, refusal, release
from sallyport.pep.audit import AuditUnavailable, Recorder
from sallyport.pep.authn import Authenticators
from sallyport.pep.catalog import LoadedCatalog
from sallyport.pep.decision import Decider, Denied, Mismatch, Permit
from sallyport.pep.decision.question import identity
from sallyport.pep.effect import Effects
from sallyport.pep.inforce import CatalogInForce
from sallyport.pep.model import (
    Answer,
    Caller,
    CallTool,
    Discover,
    Era,
    Identity,
    Initialize,
    Json,
    ListTools,
    Message,
    Notification,
    Ping,
    Request,
    ToolOutput,
)
from sallyport.pep.refusal import Reason, Refusal
from sallyport.pep.rpc import Rejected, parse, results
from sallyport.pep.schema import check
from sallyport.pep.telemetry import Metrics
from sallyport.pep.trail import Trail
from sallyport.runtime.telemetry import Tracing

DECISION_ID: Final = "sallyport.io/decision_id"
_LEAVES: Final = (KeyboardInterrupt, SystemExit)
_JSON: Final = ((b"content-type", b"application/json"),)
_ACCEPTED: Final = Answer(202, (), b"")
Step: TypeAlias = Callable[[LoadedCatalog, float], Awaitable[Answer | Refusal | Denied | Mismatch]]


@dataclass(frozen=True, slots=True)
class Rooms:
    """Everything the pipeline walks through, put together in app.py."""

    authenticators: Authenticators
    eras: frozenset[Era]
    origins: frozenset[str]
    json_depth: int
    in_force: CatalogInForce
    decider: Decider
    effects: Effects
    recorder: Recorder
    metrics: Metrics
    tracing: Tracing
    deadline: float  # seconds for rooms 4 and 5 together


class Pipeline:
    """One instance serves all requests; what belongs to one request is in its Trail."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    async def handle(self, request: Request) -> Answer:
        """Every complete request comes through here, and nothing else leads to a tool."""
        trail = Trail(request.peer)
        try:
            outcome = await self._walk(request, trail)
            return outcome if isinstance(outcome, Answer) else await self._refuse(outcome, trail)
        except BaseException as error:  # N6: no exception of any type may become anything but a refusal
            answer = await self._refuse(Refusal(Reason.INTERNAL, f"broke: {type(error).__name__}"), trail)
            if isinstance(error, _LEAVES) or _is_cancelled(error):
                raise
            return answer

    async def turn_away(self, reason: Reason, detail: str, request: Request) -> Answer:
        """A request that room 0 won't let in: wrong method or path, over a limit."""
        return await self._refuse(Refusal(reason, detail), Trail(request.peer))

    async def _walk(self, request: Request, trail: Trail) -> Answer | Refusal | Denied:
        rooms = self._rooms
        with rooms.tracing.span("authn", _header(request, b"traceparent")) as span:
            caller = rooms.authenticators.identify(request)  # (1)
            trail.traceparent = span.traceparent
        if isinstance(caller, Refusal):
            return caller
        trail.caller = caller
        with rooms.tracing.span("rpc", trail.traceparent):
            message = parse(request, eras=rooms.eras, origins=rooms.origins, max_depth=rooms.json_depth)  # (2)
        if isinstance(message, Rejected):
            trail.request_id, trail.era, trail.method = message.request_id, message.era, message.method
            return message.refusal
        trail.know(message)
        return await self._dispatch(message, caller, trail)

    async def _dispatch(self, message: Message, caller: Caller, trail: Trail) -> Answer | Refusal | Denied:
        match message:
            case CallTool():
                return await self._in_force(lambda loaded, by: self._call(message, caller, trail, loaded, by))
            case ListTools():
                return await self._in_force(lambda loaded, by: self._list(message, caller, trail, loaded, by))
            case Notification():
                return _ACCEPTED
            case Initialize():
                return _answer(message, results.initialize(VERSION))
            case Discover():
                return _answer(message, results.discover(self._rooms.eras, VERSION))
            case Ping():
                return _answer(message, results.empty(message.envelope.era, VERSION))

    async def _in_force(self, step: Step) -> Answer | Refusal | Denied:
        """Run `step` on the catalog in force; if the PDP names another, once more with that, within one deadline."""
        deadline = time.monotonic() + self._rooms.deadline
        loaded = await self._rooms.in_force.current()
        for _ in range(2):
            if loaded is None:
                return Refusal(Reason.NO_DECISION, "no catalog is in force")
            outcome = await step(loaded, deadline)
            if not isinstance(outcome, Mismatch):
                return outcome
            loaded = self._rooms.in_force.loaded(outcome.catalog_digest)
        return Refusal(Reason.NO_DECISION, "the catalog changed twice within one call")

    async def _call(
        self, message: CallTool, caller: Caller, trail: Trail, loaded: LoadedCatalog, deadline: float
    ) -> Answer | Refusal | Denied | Mismatch:
        rooms = self._rooms
        who = identity(caller, trail.decision_id, trail.traceparent)
        call = check(message.name, message.arguments, loaded)  # (4)
        if isinstance(call, Refusal):
            return await self._unfit(call, message, caller, who, loaded, deadline)
        trail.call = call
        started = time.perf_counter()
        with rooms.tracing.span("decision", trail.traceparent):
            permit = await rooms.decider.call(caller, who, call, loaded.digest, deadline)  # (5)
        rooms.metrics.decided(time.perf_counter() - started)
        if not isinstance(permit, Permit):
            return permit
        with rooms.tracing.span("tools", trail.traceparent):
            shown = await rooms.effects.run(trail, permit, call, loaded.tool(call.name))  # (6) to (9)
        if isinstance(shown, Refusal):
            trail.settled = True
            return shown
        rooms.metrics.permitted(trail.method)
        return _tool_answer(message, shown, trail)

    async def _unfit(
        self,
        refused: Refusal,
        message: CallTool,
        caller: Caller,
        who: Identity,
        loaded: LoadedCatalog,
        deadline: float,
    ) -> Answer | Refusal | Denied | Mismatch:
        """No oracle: only a caller to whom the tool is visible learns which argument was wrong."""
        visible = await self._rooms.decider.visible(caller, who, (message.name,), loaded.digest, deadline)
        if not isinstance(visible, frozenset):
            return visible
        return refused if message.name in visible else replace(refused, public="")

    async def _list(
        self, message: ListTools, caller: Caller, trail: Trail, loaded: LoadedCatalog, deadline: float
    ) -> Answer | Refusal | Denied | Mismatch:
        rooms = self._rooms
        if message.cursor is not None:
            return Refusal(Reason.INVALID_PARAMS, "a cursor that was never given out", "unknown cursor")
        who = identity(caller, trail.decision_id, trail.traceparent)
        with rooms.tracing.span("decision", trail.traceparent):
            permitted = await rooms.decider.method(caller, who, message.envelope.method, loaded.digest, deadline)  # (5)
            if isinstance(permitted, Denied | Mismatch):
                return permitted
            visible = await rooms.decider.visible(caller, who, loaded.names, loaded.digest, deadline)
        if not isinstance(visible, frozenset):
            return visible
        trail.note(permitted.reasons, revision=permitted.revision)
        try:
            await rooms.recorder.listing(trail, loaded.digest, len(visible))  # (6)
        except AuditUnavailable as error:
            return Refusal(Reason.AUDIT_UNAVAILABLE, str(error))
        rooms.metrics.permitted(trail.method)
        tools = release.listing(loaded.listing, visible)  # (8)
        return _answer(message, results.tools_list(tools, message.envelope.era, VERSION))

    async def _refuse(self, refused: Refusal | Denied, trail: Trail) -> Answer:
        """The one way out for every refusal: recorded first, then told as far as this caller may know."""
        if isinstance(refused, Denied):
            trail.note(refused.reasons, errors=refused.errors, revision=refused.revision)
            refused = refused.refusal
        try:
            await self._rooms.recorder.refusal(trail, refused)
        except AuditUnavailable as error:
            refused = Refusal(Reason.AUDIT_UNAVAILABLE, str(error))
        except BaseException as error:  # N6: a record that breaks must not turn a refusal into anything else
            self._rooms.recorder.lost(refused.reason)
            if isinstance(error, _LEAVES) or _is_cancelled(error):
                raise
        self._rooms.metrics.refused(trail.method, refused.reason)
        return self._tell(refused, trail)

    def _tell(self, refused: Refusal, trail: Trail) -> Answer:
        message = trail.message
        if refused.reason is Reason.INVALID_ARGUMENTS and refused.public and message is not None:
            text = f"invalid arguments: {refused.public}"
            output = ToolOutput(({"type": "text", "text": text},), is_error=True)
            return _tool_answer(message, output, trail)
        return refusal.respond(
            refused,
            request_id=trail.request_id,
            era=trail.era,
            decision_id=trail.decision_id,
            challenge=self._rooms.authenticators.challenge(refused),
        )


def _answer(message: Message, result: Mapping[str, Json]) -> Answer:
    request_id = message.envelope.id
    # A request without an id is a notification, and room 2 lets none of those come this far.
    return Answer(200, _JSON, results.envelope("" if request_id is None else request_id, result))


def _tool_answer(message: Message, output: ToolOutput, trail: Trail) -> Answer:
    """The result names its decision, so that a user can ask the record about it."""
    result = results.tools_call(output, message.envelope.era, VERSION)
    meta = result.get("_meta", {})
    named: dict[str, Json] = {**(meta if isinstance(meta, dict) else {}), DECISION_ID: trail.decision_id}
    return _answer(message, {**result, "_meta": named})


def _is_cancelled(error: BaseException) -> bool:
    """Whether this very task was told to stop, rather than a room having raised CancelledError."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0


def _header(request: Request, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in request.headers if key == name), "")
