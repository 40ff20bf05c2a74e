"""Rooms 4 to 9 for whatever is judged and then done: calls of tools, prompts, resources, completions, tasks."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from sallyport.contract.catalog import Effect, Hosted, Limits, Tool, UpstreamRef
from sallyport.pep import answers, release
from sallyport.pep.again import Again
from sallyport.pep.asked import Asked
from sallyport.pep.catalog import LoadedCatalog
from sallyport.pep.decision import Decider, Denied, EachOf, Mismatch, Permit, Seen, Sought
from sallyport.pep.effect import Effects, Work
from sallyport.pep.forwarding import Forwarding, Route, route
from sallyport.pep.given import Given, Task
from sallyport.pep.model import (
    AboutTask,
    Answer,
    CallTool,
    CheckedCall,
    Complete,
    Emit,
    GetPrompt,
    Json,
    Output,
    ReadResource,
    Reply,
    ResourceRef,
    Subscribe,
    digest_of,
)
from sallyport.pep.refusal import Reason, Refusal
from sallyport.pep.schema import Judged, check
from sallyport.pep.standing import Believed, No, Standing
from sallyport.pep.telemetry import Metrics
from sallyport.pep.tools import Tools
from sallyport.pep.upstream.pinned import prompt_key
from sallyport.runtime import canonical_json
from sallyport.runtime.telemetry import Tracing

_HIDDEN: Final = "no such tool is visible to this caller"


@dataclass(frozen=True, slots=True)
class Hands:
    """What calls are made with."""

    decider: Decider
    effects: Effects
    tools: Tools
    forwarding: Forwarding
    given: Given
    quarantined: Callable[[str], Mapping[str, str]]  # catalog's digest -> what isn't served of it, and why
    revision: Callable[[], str]
    known: Callable[[], LoadedCatalog | None]  # the catalog in force
    believed: Believed
    again: Again
    metrics: Metrics
    tracing: Tracing


class Calls:
    """The only way to a permit, and so to an effect."""

    def __init__(self, hands: Hands) -> None:
        self._hands = hands

    async def call(self, message: Judged, asked: Asked, emit: Emit) -> Answer | Refusal | Denied | Mismatch:
        """Judge a message, and do it if it is permitted."""
        if isinstance(message, CallTool):
            hidden = await self._hidden(message.name, asked)
            if hidden is not None:
                return hidden
        with self._hands.tracing.span("schema", asked.trail.traceparent):
            call = check(message, asked.view, self._opened(asked))  # (4)
        if not isinstance(call, Refusal) and call.resources[0].type == "Prompt":
            call = self._unless_quarantined(call, asked)
        if isinstance(call, Refusal):
            if isinstance(message, CallTool):
                return call
            return await self._unfit(call, message.envelope.method, _named(message), asked)
        if isinstance(message, CallTool):
            asked = await self._opened_way(call, asked)
            why = self._hands.quarantined(asked.digest).get(call.name)  # once more: it may be another server's by now
            if why is not None:
                return Refusal(Reason.QUARANTINED, why)
        return await self._judged(message, call, asked, emit)

    async def _opened_way(self, call: CheckedCall, asked: Asked) -> Asked:
        """A session may take longer to open than a permit lives: for who sees the tool it is opened before the question."""
        way, before = route(call, asked.view.catalog), time.monotonic()
        if way is not None:
            await self._hands.forwarding.ready(way, asked.who(asked.trail.traceparent))
        return replace(asked, deadline=asked.deadline + time.monotonic() - before)

    async def about_task(self, message: AboutTask, asked: Asked, emit: Emit) -> Answer | Refusal | Denied | Mismatch:
        """A task that this very caller was given, judged anew on the tool that began it."""
        task = self._hands.given.opened_task(asked.caller, message.task)
        if task is None or not _begun_by(asked.view.find(task.tool), task):
            return Refusal(
                Reason.FOREIGN_HANDLE, "a task that wasn't given to this caller by a tool that is served here"
            )
        why = self._hands.quarantined(asked.digest).get(task.tool)
        if why is not None:
            begun_by = ResourceRef("Tool", task.tool)
            return await self._unfit(Refusal(Reason.QUARANTINED, why), message.envelope.method, begun_by, asked)
        arguments: dict[str, Json] = {"inputResponses": dict(message.responses)} if message.responses else {}
        canonical = canonical_json.encode(arguments)
        touched = (ResourceRef("Tool", task.tool),)
        digest = digest_of(canonical, {})
        call = CheckedCall(task.tool, arguments, canonical, digest, touched, asked.digest, message.envelope.method)
        return await self._judged(message, call, asked, emit, task)

    async def _judged(
        self, message: Judged | AboutTask, call: CheckedCall, asked: Asked, emit: Emit, task: Task | None = None
    ) -> Answer | Refusal | Denied | Mismatch:
        hands, trail = self._hands, asked.trail
        trail.call = call
        permit: Permit | Denied | Mismatch | None = None
        try:
            started = time.perf_counter()
            with hands.tracing.span("decision", trail.traceparent) as span:
                who = asked.who(span.traceparent)
                permit = await hands.decider.call(asked.caller, who, call, asked.digest, asked.deadline)  # (5)
            hands.metrics.decided(time.perf_counter() - started)
            if not isinstance(permit, Permit):
                return permit
            way = route(call, asked.view.catalog, task)
            work = self._work(permit, call, way, message, asked, emit, task)
            if work is None:
                return Refusal(Reason.INTERNAL, "nothing stands behind what was permitted")
            with hands.tracing.span("tools", trail.traceparent):
                return await hands.effects.run(trail, permit, call, work)  # (6) to (9)
        finally:
            if isinstance(permit, Permit):
                permit.end()

    def _work(
        self,
        permit: Permit,
        call: CheckedCall,
        way: Route | None,
        message: Judged | AboutTask,
        asked: Asked,
        emit: Emit,
        task: Task | None,
    ) -> Work | None:
        hands, tool, envelope = self._hands, asked.view.find(call.name), message.envelope
        run: Callable[[Emit], Awaitable[Output]]
        if call.method == "resources/subscribe":
            run = lambda _: _nothing(permit, call)  # noqa: E731
            limits, source = Limits(), ""
        elif way is not None:
            run = lambda frames: hands.forwarding.run(permit, call, way, envelope, frames)  # noqa: E731
            limits, source = way.limits, way.upstream
        elif tool is not None and isinstance(tool.provider, Hosted):
            run = lambda _: hands.tools.run(permit, call)  # noqa: E731
            limits, source = tool.limits, ""
        else:
            return None
        output = asked.view.outputs.get(call.name) if call.method in {"tools/call", "tasks/get"} else None
        obligations = tuple(dict.fromkeys((*permit.obligations, *(task.obligations if task else ()))))
        held_to = release.HeldTo(call, limits.result_bytes, output, source, envelope.capabilities, envelope.era)
        standing = self._standing(permit, call, asked, obligations)

        def written(shown: Output) -> Answer:
            sealed = self._sealed(shown, call, way, asked, standing.obligations)
            return answers.output(message, sealed, asked.trail.decision_id)

        return Work(_reads(call, tool), held_to, run, written, emit, standing)

    def _standing(self, permit: Permit, call: CheckedCall, asked: Asked, obligations: tuple[str, ...]) -> Standing:
        hands = self._hands

        async def still() -> tuple[str, ...] | No:
            sought = Sought(call.action, call.resources, call.canonical)
            loaded = hands.known()  # the PDP judges by this one now
            digest = loaded.digest if loaded else asked.digest
            found = await hands.again.in_lane(
                lambda until: hands.decider.each(asked.caller, permit.identity, sought, digest, until)
            )
            if not isinstance(found, EachOf):
                return No.WORD
            if not found.permitted.keys() >= set(call.resources):
                return No.PERMIT
            return tuple(obligation for ref in call.resources for obligation in found.permitted[ref])

        return Standing(asked.caller, hands.believed, permit.revision, hands.revision, still, obligations)

    async def _hidden(self, name: str, asked: Asked) -> Denied | Refusal | Mismatch | None:
        """No oracle: whoever can't see a tool learns nothing of it, not even from how long its arguments took to check."""
        hands, loaded = self._hands, asked.view
        with hands.tracing.span("visibility", asked.trail.traceparent) as span:
            who = asked.who(span.traceparent)
            seen = await hands.decider.visible(asked.caller, who, (name,), asked.digest, asked.deadline)
        if not isinstance(seen, Seen):
            return seen
        known = loaded.find(name) is not None
        if name not in seen.names:
            reason = Reason.DENIED if known else Reason.UNKNOWN_TOOL
            return Denied(Refusal(reason, _HIDDEN), seen.reasons, seen.errors, seen.revision)
        if not known:
            return Refusal(Reason.NOT_SERVED, "it isn't served here")
        why = hands.quarantined(asked.digest).get(name)
        return None if why is None else Refusal(Reason.QUARANTINED, why)

    def _unless_quarantined(self, call: CheckedCall, asked: Asked) -> CheckedCall | Refusal:
        why = self._hands.quarantined(asked.digest).get(prompt_key(call.name))
        return call if why is None else Refusal(Reason.QUARANTINED, why)

    async def _unfit(
        self, refused: Refusal, method: str, ref: ResourceRef, asked: Asked
    ) -> Refusal | Denied | Mismatch:
        """What is wrong with a request is told to whom it would be permitted; to all others it is denied."""
        asked.trail.named = (ref,)
        sought = Sought(method, (ref,))
        who = asked.who(asked.trail.traceparent)
        found = await self._hands.decider.each(asked.caller, who, sought, asked.digest, asked.deadline)
        if not isinstance(found, EachOf):
            return found
        if ref in found.permitted:
            return refused
        return Denied(Refusal(Reason.DENIED, "denied by the PDP"), found.reasons, found.errors, found.revision)

    def _opened(self, asked: Asked) -> Callable[[CheckedCall, str], str | None]:
        def opened(call: CheckedCall, handle: str) -> str | None:
            way = route(call, asked.view.catalog)
            if way is None:
                return None
            return self._hands.given.opened_state(asked.caller, way.upstream, _first(call), handle)

        return opened

    def _sealed(
        self, shown: Output, call: CheckedCall, way: Route | None, asked: Asked, obligations: tuple[str, ...]
    ) -> Output:
        """What an upstream gives out to be brought back leaves sealed to this caller (N2)."""
        if not isinstance(shown, Reply) or way is None:
            return shown
        given, result = self._hands.given, dict(shown.result)
        state, task = result.get("requestState"), result.get("taskId")
        if shown.type == "input_required" and isinstance(state, str):
            result["requestState"] = given.state(asked.caller, way.upstream, _first(call), state)
        if isinstance(task, str):
            result["taskId"] = given.task(asked.caller, Task(way.upstream, call.name, task, obligations))
        return replace(shown, result=result)


async def _nothing(permit: Permit, call: CheckedCall) -> Output:
    """Legacy: updates are told on a stream that such a client has no part in, so that it may is all there is to it."""
    permit.redeem(method=call.method, name=call.name, digest=call.digest)
    return Reply({})


def _begun_by(tool: Tool | None, task: Task) -> bool:
    """Whether the tool of that name is still the one of that upstream."""
    return tool is not None and isinstance(tool.provider, UpstreamRef) and tool.provider.upstream == task.upstream


def _first(call: CheckedCall) -> tuple[str, str, str]:
    """What a state is bound to: the call as it was the first time."""
    return call.method, call.name, digest_of(call.canonical, {})


def _named(message: GetPrompt | ReadResource | Subscribe | Complete) -> ResourceRef:
    match message:
        case GetPrompt(name=name) | Complete(prompt=name) if name:
            return ResourceRef("Prompt", name)
        case ReadResource(uri=uri) | Subscribe(uri=uri) | Complete(template=uri):
            return ResourceRef("McpResource", uri)
    raise TypeError("a message of which nothing is judged")


def _reads(call: CheckedCall, tool: Tool | None) -> bool:
    """Whether it changes nothing: then a failure is just that, and no unknown effect."""
    if call.method == "tools/call":
        return tool is not None and tool.effect is Effect.READ_ONLY
    return call.method not in {"tasks/update", "tasks/cancel"}
