"""The way of a request, numbered as in ARCHITECTURE.md. This module and `calls`, `lists`, `listening` know the order.

A denial is a value and leaves by `_refuse`: recorded, then answered. Before the effect begins any exception is a
refusal too; once it has begun, effect.py tells the truth about it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from sallyport.pep import VERSION, answers
from sallyport.pep.asked import Asked
from sallyport.pep.audit import AuditUnavailable, Recorder
from sallyport.pep.authn import Authenticators
from sallyport.pep.calls import Calls
from sallyport.pep.decision import Denied, Mismatch
from sallyport.pep.inflight import GivenUp, InFlight
from sallyport.pep.inforce import CatalogInForce
from sallyport.pep.listening import Listening
from sallyport.pep.lists import Lists
from sallyport.pep.model import (
    AboutTask,
    Answer,
    Caller,
    Cancel,
    Discover,
    Emit,
    Era,
    Initialize,
    Listen,
    ListPrompts,
    ListResources,
    ListTools,
    Notification,
    Ping,
    Request,
    SetLevel,
    Unsubscribe,
)
from sallyport.pep.refusal import Reason, Refusal
from sallyport.pep.rpc import Rejected, parse, results
from sallyport.pep.schema import Judged
from sallyport.pep.telemetry import Metrics
from sallyport.pep.trail import Trail, leaves
from sallyport.runtime.telemetry import Tracing, valid_traceparent

Decided: TypeAlias = Judged | ListTools | ListPrompts | ListResources | SetLevel | Listen | AboutTask
Step: TypeAlias = Callable[[Asked], Awaitable[Answer | Refusal | Denied | Mismatch]]


@dataclass(frozen=True, slots=True)
class Rooms:
    """Everything the pipeline walks through, put together in assembly.py."""

    authenticators: Authenticators
    eras: frozenset[Era]
    origins: frozenset[str]
    json_depth: int
    in_force: CatalogInForce
    calls: Calls
    lists: Lists
    listening: Listening
    in_flight: InFlight
    recorder: Recorder
    metrics: Metrics
    tracing: Tracing
    deadline: float  # seconds for rooms 4 and 5 together


class Pipeline:
    """One instance serves all requests; what belongs to one request is in its Trail."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    async def handle(self, request: Request, emit: Emit) -> Answer:
        """Every complete request comes through here, and nothing else leads to a tool. `emit` is its own stream."""
        trail = Trail(request.peer, request.server)
        try:
            outcome = await self._walk(request, trail, emit)
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

    async def _walk(self, request: Request, trail: Trail, emit: Emit) -> Answer | Refusal | Denied:
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
        if isinstance(message, Cancel):
            rooms.in_flight.give_up(caller, message.request_id)
        if isinstance(message, Initialize | Discover | Ping | Unsubscribe | Notification | Cancel):
            return self._known_to_all(message, request.server)
        if isinstance(message, Listen) and not request.streams:
            return Refusal(Reason.NOT_ACCEPTABLE, "Accept excludes text/event-stream")
        with rooms.in_flight.one(caller, message.envelope.id):
            return await self._in_force(self._step(message, emit), caller, trail, request.server)

    def _known_to_all(
        self, message: Initialize | Discover | Ping | Unsubscribe | Notification | Cancel, server: str
    ) -> Answer | Refusal:
        """What nobody has to permit: it says what everybody with a token may know, also while the PDP is away."""
        loaded = self._rooms.in_force.known()
        view = loaded.within(server) if loaded else None
        if server and view is None:
            return Refusal(Reason.NOT_FOUND, "the catalog has no set of this name")
        catalog = view.catalog if view else None
        match message:
            case Notification() | Cancel():
                return answers.ACCEPTED
            case Ping() | Unsubscribe():
                return answers.result(message, results.empty(message.envelope.era, VERSION))
            case Initialize():
                return answers.result(message, results.initialize(catalog, VERSION))
            case Discover():
                return answers.result(message, results.discover(catalog, self._rooms.eras, VERSION))

    def _step(self, message: Decided, emit: Emit) -> Step:  # noqa: PLR0911 — a table
        """The way of each method that a decision is asked for."""
        rooms = self._rooms
        match message:
            case ListTools():
                return lambda asked: rooms.lists.tools(message, asked)
            case ListPrompts():
                return lambda asked: rooms.lists.prompts(message, asked)
            case ListResources():
                return lambda asked: rooms.lists.resources(message, asked)
            case SetLevel():
                return lambda asked: rooms.lists.method(message, asked)
            case Listen():
                return lambda asked: rooms.listening.listen(message, asked, emit)
            case AboutTask():
                return lambda asked: rooms.calls.about_task(message, asked, emit)
            case _:
                return lambda asked: rooms.calls.call(message, asked, emit)

    async def _in_force(self, step: Step, caller: Caller, trail: Trail, server: str) -> Answer | Refusal | Denied:
        """Run `step` on the catalog in force; if the PDP names another, once more with that, within one deadline."""
        deadline = time.monotonic() + self._rooms.deadline
        loaded = await self._rooms.in_force.current(deadline)
        for _ in range(2):
            if loaded is None:
                return Refusal(Reason.NO_DECISION, "no catalog is in force")
            view = loaded.within(server)
            if view is None:
                return Refusal(Reason.NOT_FOUND, "the catalog has no set of this name")
            outcome = await step(Asked(caller, trail, server, view, deadline))
            if not isinstance(outcome, Mismatch):
                return outcome
            loaded = await self._rooms.in_force.loaded(outcome.catalog_digest, deadline)
        return Refusal(Reason.NO_DECISION, "the catalog changed twice within one call")

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
        return answers.refused(refused, trail, self._rooms.authenticators.challenge(refused, trail.server))


def _broken(error: BaseException, trail: Trail) -> Refusal:
    if isinstance(error, GivenUp):
        return Refusal(Reason.CANCELLED, str(error), data={"effect": trail.effect} if trail.effect else {})
    detail = f"broke: {type(error).__name__}"
    if trail.effect in {"done", "unknown"}:
        return Refusal(Reason.WITHHELD, detail, data={"effect": trail.effect})
    return Refusal(Reason.CANCELLED if isinstance(error, asyncio.CancelledError) else Reason.INTERNAL, detail)


def _header(request: Request, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in request.headers if key == name), "")
