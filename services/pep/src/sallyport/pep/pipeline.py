"""The way of a call, numbered as in ARCHITECTURE.md. This module alone knows the order.

A denial is a value and leaves by `_refuse`: recorded, then answered. Before the effect begins any exception is a
refusal too; once it has begun, effect.py tells the truth about it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from sallyport.pep import VERSION, answers, release
from sallyport.pep.audit import AuditUnavailable, Recorder
from sallyport.pep.authn import Authenticators
from sallyport.pep.catalog import LoadedCatalog
from sallyport.pep.decision import Decider, Denied, Mismatch, Permit, Seen
from sallyport.pep.decision.question import identity
from sallyport.pep.effect import Effects
from sallyport.pep.inforce import CatalogInForce
from sallyport.pep.model import (
    Answer,
    Caller,
    CallTool,
    Discover,
    Era,
    Initialize,
    ListTools,
    Message,
    Notification,
    Ping,
    Request,
)
from sallyport.pep.refusal import Reason, Refusal
from sallyport.pep.rpc import Rejected, parse, results
from sallyport.pep.schema import check
from sallyport.pep.telemetry import Metrics
from sallyport.pep.trail import Trail, leaves
from sallyport.runtime.telemetry import Tracing, valid_traceparent

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
            return self._counted(outcome, trail) if isinstance(outcome, Answer) else await self._refuse(outcome, trail)
        except BaseException as error:  # N6: no exception of any type may become anything but a refusal
            answer = await self._refuse(_broken(error, trail), trail)
            if leaves(error):
                raise
            return answer

    def _counted(self, answer: Answer, trail: Trail) -> Answer:
        self._rooms.metrics.permitted(trail.method)
        return answer

    async def turn_away(self, reason: Reason, detail: str, request: Request) -> Answer:
        """A request that room 0 won't let in: wrong method or path, over a limit."""
        return await self._refuse(Refusal(reason, detail), Trail(request.peer))

    async def _walk(self, request: Request, trail: Trail) -> Answer | Refusal | Denied:
        rooms = self._rooms
        given = valid_traceparent(_header(request, b"traceparent"))
        with rooms.tracing.span("authn", given) as span:
            caller = rooms.authenticators.identify(request)  # (1)
        trail.traceparent = given or span.traceparent
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
                return answers.ACCEPTED
            case Initialize():
                return answers.result(message, results.initialize(VERSION))
            case Discover():
                return answers.result(message, results.discover(self._rooms.eras, VERSION))
            case Ping():
                return answers.result(message, results.empty(message.envelope.era, VERSION))

    async def _in_force(self, step: Step) -> Answer | Refusal | Denied:
        """Run `step` on the catalog in force; if the PDP names another, once more with that, within one deadline."""
        deadline = time.monotonic() + self._rooms.deadline
        loaded = await self._rooms.in_force.current(deadline)
        for _ in range(2):
            if loaded is None:
                return Refusal(Reason.NO_DECISION, "no catalog is in force")
            outcome = await step(loaded, deadline)
            if not isinstance(outcome, Mismatch):
                return outcome
            loaded = await self._rooms.in_force.loaded(outcome.catalog_digest, deadline)
        return Refusal(Reason.NO_DECISION, "the catalog changed twice within one call")

    async def _call(
        self, message: CallTool, caller: Caller, trail: Trail, loaded: LoadedCatalog, deadline: float
    ) -> Answer | Refusal | Denied | Mismatch:
        rooms = self._rooms
        hidden = await self._hidden(caller, trail, message.name, loaded, deadline)
        if hidden is not None:
            return hidden
        with rooms.tracing.span("schema", trail.traceparent):
            call = check(message.name, message.arguments, loaded)  # (4)
        if isinstance(call, Refusal):
            return call
        trail.call = call
        permit: Permit | Denied | Mismatch | None = None
        try:
            started = time.perf_counter()
            with rooms.tracing.span("decision", trail.traceparent) as span:
                who = identity(caller, trail.decision_id, span.traceparent)
                permit = await rooms.decider.call(caller, who, call, loaded.digest, deadline)  # (5)
            rooms.metrics.decided(time.perf_counter() - started)
            if not isinstance(permit, Permit):
                return permit
            with rooms.tracing.span("tools", trail.traceparent):
                shown = await rooms.effects.run(trail, permit, call, loaded.tool(call.name))  # (6) to (9)
        finally:
            if isinstance(permit, Permit):
                permit.end()
        if isinstance(shown, Refusal):
            return shown
        return answers.tool(message, shown, trail.decision_id)

    async def _hidden(
        self, caller: Caller, trail: Trail, name: str, loaded: LoadedCatalog, deadline: float
    ) -> Denied | Mismatch | None:
        """No oracle: whoever can't see a tool learns nothing of it, not even from how long its arguments took to check."""
        with self._rooms.tracing.span("visibility", trail.traceparent) as span:
            who = identity(caller, trail.decision_id, span.traceparent)
            seen = await self._rooms.decider.visible(caller, who, (name,), loaded.digest, deadline)
        if not isinstance(seen, Seen):
            return seen
        if name in seen.names:
            return None
        reason = Reason.DENIED if loaded.find(name) else Reason.UNKNOWN_TOOL
        refused = Refusal(reason, "no such tool is visible to this caller")
        return Denied(refused, seen.reasons, seen.errors, seen.revision)

    async def _list(
        self, message: ListTools, caller: Caller, trail: Trail, loaded: LoadedCatalog, deadline: float
    ) -> Answer | Refusal | Denied | Mismatch:
        rooms = self._rooms
        if message.cursor is not None:
            return Refusal(Reason.INVALID_PARAMS, "a cursor that was never given out", "unknown cursor")
        with rooms.tracing.span("decision", trail.traceparent) as span:
            who = identity(caller, trail.decision_id, span.traceparent)
            permitted = await rooms.decider.method(caller, who, message.envelope.method, loaded.digest, deadline)  # (5)
            if isinstance(permitted, Denied | Mismatch):
                return permitted
            seen = await rooms.decider.visible(caller, who, loaded.names, loaded.digest, deadline)
        if not isinstance(seen, Seen):
            return seen
        trail.note(permitted.reasons, revision=permitted.revision)
        try:
            await rooms.recorder.listing(trail, loaded.digest, len(seen.names))  # (6)
        except AuditUnavailable as error:
            return Refusal(Reason.AUDIT_UNAVAILABLE, str(error))
        tools = release.listing(loaded.listing, seen.names)  # (8)
        return answers.result(message, results.tools_list(tools, message.envelope.era, VERSION))

    async def _refuse(self, refused: Refusal | Denied, trail: Trail) -> Answer:
        """The one way out for every refusal: recorded first, then told as far as this caller may know."""
        if isinstance(refused, Denied):
            trail.note(refused.reasons, errors=refused.errors, revision=refused.revision)
            refused = refused.refusal
        try:
            if not trail.recorded:
                await self._rooms.recorder.refusal(trail, refused)
        except AuditUnavailable as error:
            refused = Refusal(Reason.AUDIT_UNAVAILABLE, str(error))
        except BaseException as error:  # N6: a record that breaks must not turn a refusal into anything else
            if not trail.recorded:  # it never reached the writer, which counts its own failures
                self._rooms.recorder.lost(refused.reason)
            if leaves(error):
                raise
        self._rooms.metrics.refused(trail.method, refused.reason)
        return answers.refused(refused, trail, self._rooms.authenticators.challenge(refused))


def _broken(error: BaseException, trail: Trail) -> Refusal:
    detail = f"broke: {type(error).__name__}"
    if trail.effect in {"done", "unknown"}:
        return Refusal(Reason.WITHHELD, detail, data={"effect": trail.effect})
    return Refusal(Reason.CANCELLED if isinstance(error, asyncio.CancelledError) else Reason.INTERNAL, detail)


def _header(request: Request, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in request.headers if key == name), "")
