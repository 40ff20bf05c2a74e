"""What a caller may see: lists filtered by the very decision that a call of each entry would get (N9)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from sallyport.contract.catalog import Prompt
from sallyport.pep import VERSION, answers, release
from sallyport.pep.asked import Asked
from sallyport.pep.audit import AuditUnavailable, Outcome, Recorder
from sallyport.pep.decision import Decider, Denied, EachOf, Mismatch, Permitted, Seen, Sought
from sallyport.pep.given import Ahead, Given
from sallyport.pep.model import Answer, Json, Listen, ListPrompts, ListResources, ListTools, ResourceRef, SetLevel
from sallyport.pep.pages import Pages
from sallyport.pep.refusal import Reason, Refusal
from sallyport.pep.rpc import results
from sallyport.pep.upstream.pinned import prompt_key
from sallyport.pep.walk import Judge, Walk
from sallyport.runtime.telemetry import Tracing

_AT_ONCE: Final = 256  # entries that one question names: the longest URIs still fit into it
_UNKNOWN: Final = Refusal(Reason.FOREIGN_HANDLE, "a cursor that wasn't given to this caller for this list")


class NotFiltered(Exception):
    """The PDP gave no answer, or another catalog's, in the middle of a list: nothing of it is shown."""


@dataclass(frozen=True, slots=True)
class Lists:
    """Everything that lists, and methods of the server that change nothing."""

    decider: Decider
    recorder: Recorder
    given: Given
    pages: Pages
    quarantined: Callable[[str], Mapping[str, str]]
    tracing: Tracing

    async def tools(self, message: ListTools, asked: Asked) -> Answer | Refusal | Denied | Mismatch:
        """All visible tools on one page."""
        if message.cursor is not None:
            return _UNKNOWN
        refused = await self.permitted(message, asked)
        if refused is not None:
            return refused
        names = tuple(name for name in asked.view.names if name not in self.quarantined(asked.digest))
        who = asked.who(asked.trail.traceparent)
        seen: Seen | Denied | Mismatch = Seen(frozenset(), (), (), asked.trail.revision)
        if names:
            seen = await self.decider.visible(asked.caller, who, names, asked.digest, asked.deadline)
        if not isinstance(seen, Seen):
            return seen
        tools = release.listing(asked.view.listing, seen.names)  # (8)
        return await self._shown(
            asked,
            "tools",
            len(tools),
            answers.result(message, results.listed("tools", tools, message.envelope.era, VERSION)),
        )

    async def prompts(self, message: ListPrompts, asked: Asked) -> Answer | Refusal | Denied | Mismatch:
        """As the catalog has them: what was approved is what is shown."""
        if message.cursor is not None:
            return _UNKNOWN
        refused = await self.permitted(message, asked)
        if refused is not None:
            return refused
        away = self.quarantined(asked.digest)
        offered = [prompt for prompt in asked.view.catalog.prompts if prompt_key(prompt.name) not in away]
        refs = [ResourceRef("Prompt", prompt.name) for prompt in offered]
        may = await self.may("prompts/get", refs, asked)
        if not isinstance(may, frozenset):
            return may
        shown = [_prompt(prompt) for prompt in offered if ResourceRef("Prompt", prompt.name) in may]
        result = results.listed("prompts", shown, message.envelope.era, VERSION)
        return await self._shown(asked, "prompts", len(shown), answers.result(message, result))

    async def resources(self, message: ListResources, asked: Asked) -> Answer | Refusal | Denied | Mismatch:
        """What the upstreams list now, as far as the catalog has it; the cursor is ours, so it can't skip the filter.

        Upstreams are asked, so the intent comes before.
        """
        method = message.envelope.method
        ahead: Ahead | None = Ahead((), next(iter(self.pages.order(asked.view.catalog)), ""))
        if message.cursor is not None:
            ahead = self.given.opened_cursor(asked.caller, (asked.server, method), message.cursor)
        if ahead is None:
            return _UNKNOWN
        judge = self._judge(asked)
        may = await self._asked(message, asked)
        if not isinstance(may, Permitted):
            return may
        what = "resourceTemplates" if message.templates else "resources"
        with self._listing(asked) as ended:
            await self.recorder.begun(asked.trail, asked.digest)  # (6)
            shown, ahead = await Walk(self.pages, message, asked, judge, may.obligations).through(ahead)
            ended(f"{len(shown)} {what} shown")
        cursor = "" if ahead is None else self.given.cursor(asked.caller, (asked.server, method), ahead)
        return answers.result(message, results.listed(what, shown, message.envelope.era, VERSION, cursor))

    def _judge(self, asked: Asked) -> Judge:
        """Each question has the time that there is now: what upstreams take of it isn't the PDP's."""
        left = asked.deadline - time.monotonic()

        async def judge(refs: Sequence[ResourceRef]) -> Mapping[ResourceRef, tuple[str, ...]]:
            may = await self.judged("resources/read", refs, replace(asked, deadline=time.monotonic() + left))
            if not isinstance(may, Mapping):
                raise NotFiltered
            return may

        return judge

    @contextmanager
    def _listing(self, asked: Asked) -> Iterator[Callable[[str], None]]:
        """An outcome for the intent, whatever happens in between."""
        told: list[str] = []
        try:
            yield told.append
        finally:
            if asked.trail.recorded:
                outcome = Outcome.DONE if told else Outcome.FAILED
                self.recorder.outcome(asked.trail, outcome, told[0] if told else "nothing was shown")

    async def method(self, message: SetLevel, asked: Asked) -> Answer | Refusal | Denied | Mismatch:
        """Permitted, recorded, and without effect: nothing outlives a request here."""
        refused = await self.permitted(message, asked)
        if refused is not None:
            return refused
        return await self._shown(
            asked, "levels", 0, answers.result(message, results.empty(message.envelope.era, VERSION))
        )

    async def permitted(
        self, message: ListTools | ListPrompts | ListResources | SetLevel | Listen, asked: Asked
    ) -> Denied | Mismatch | None:
        """Nothing if this caller may use the method at all. What the catalog says of itself can't be masked."""
        found = await self._asked(message, asked)
        if not isinstance(found, Permitted):
            return found
        if found.obligations:
            refused = Refusal(Reason.UNKNOWN_OBLIGATION, "an obligation that can't be fulfilled on this method")
            return Denied(refused, revision=found.revision)
        return None

    async def _asked(
        self, message: ListTools | ListPrompts | ListResources | SetLevel | Listen, asked: Asked
    ) -> Permitted | Denied | Mismatch:
        with self.tracing.span("decision", asked.trail.traceparent) as span:
            who, on = asked.who(span.traceparent), (message.envelope.method, asked.server)
            found = await self.decider.method(asked.caller, who, on, asked.digest, asked.deadline)  # (5)
        if isinstance(found, Permitted):
            asked.trail.note(found.reasons, revision=found.revision)
        return found

    async def may(
        self, action: str, refs: Sequence[ResourceRef], asked: Asked
    ) -> frozenset[ResourceRef] | Denied | Mismatch:
        """Those of `refs` on which `action` is permitted."""
        found = await self.judged(action, refs, asked)
        return frozenset(found) if isinstance(found, Mapping) else found

    async def judged(
        self, action: str, refs: Sequence[ResourceRef], asked: Asked
    ) -> Mapping[ResourceRef, tuple[str, ...]] | Denied | Mismatch:
        """The same, with what each permit demands."""
        may: dict[ResourceRef, tuple[str, ...]] = {}
        for start in range(0, len(refs), _AT_ONCE):
            sought = Sought(action, refs[start : start + _AT_ONCE])
            who = asked.who(asked.trail.traceparent)
            found = await self.decider.each(asked.caller, who, sought, asked.digest, asked.deadline)
            if not isinstance(found, EachOf):
                return found
            may |= found.permitted
        return may

    async def _shown(self, asked: Asked, what: str, count: int, answer: Answer) -> Answer | Refusal:
        """Nothing leaves before it is recorded."""
        try:
            await self.recorder.listing(asked.trail, asked.digest, count, what)  # (6)
        except AuditUnavailable as error:
            return Refusal(Reason.AUDIT_UNAVAILABLE, str(error))
        return answer


def _prompt(prompt: Prompt) -> dict[str, Json]:
    arguments: list[Json] = []
    for argument in prompt.arguments:
        told: dict[str, Json] = {"name": argument.name, "required": argument.required}
        told |= {key: text for key, text in (("title", argument.title), ("description", argument.description)) if text}
        arguments.append(told)
    listed: dict[str, Json] = {"name": prompt.name}
    listed |= {key: text for key, text in (("title", prompt.title), ("description", prompt.description)) if text}
    return listed | {"arguments": arguments}
