"""What a caller may see: lists filtered by the very decision that a call of each entry would get (N9)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sallyport.contract.catalog import Prompt
from sallyport.pep import VERSION, answers, release
from sallyport.pep.asked import Asked
from sallyport.pep.audit import AuditUnavailable, Recorder
from sallyport.pep.decision import Decider, Denied, EachOf, Mismatch, Seen, Sought
from sallyport.pep.given import Given, Place
from sallyport.pep.model import Answer, Json, Listen, ListPrompts, ListResources, ListTools, ResourceRef, SetLevel
from sallyport.pep.pages import Page, Pages
from sallyport.pep.refusal import Reason, Refusal
from sallyport.pep.rpc import results
from sallyport.pep.upstream.definitions import prompt_key
from sallyport.runtime.telemetry import Tracing

_AT_ONCE: Final = 256  # entries that one question names: the longest URIs still fit into it
_MAX_PAGES: Final = 8  # upstream pages for one of ours, where the filter leaves nothing of them
_UNKNOWN: Final = Refusal(Reason.FOREIGN_HANDLE, "a cursor that wasn't given to this caller for this list")


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
        """What the upstreams list now, as far as the catalog has it; the cursor is ours, so it can't skip the filter."""
        method = message.envelope.method
        place = Place(next(iter(self.pages.order(asked.view.catalog)), ""), "")
        if message.cursor is not None:
            found = self.given.opened_cursor(asked.caller, (asked.server, method), message.cursor)
            if found is None:
                return _UNKNOWN
            place = found
        refused = await self.permitted(message, asked)
        if refused is not None:
            return refused
        shown: list[dict[str, Json]] = []
        ahead: Place | None = place if place.upstream else None
        for _ in range(_MAX_PAGES):
            if ahead is None or shown:
                break
            page: Page = await self.pages.page(ahead, message, asked)
            may = await self.may("resources/read", [page.ref(entry) for entry in page.entries], asked)
            if not isinstance(may, frozenset):
                return may
            shown = [entry for entry in page.entries if page.ref(entry) in may]
            ahead = page.ahead
        cursor = "" if ahead is None else self.given.cursor(asked.caller, (asked.server, method), ahead)
        what = "resourceTemplates" if message.templates else "resources"
        result = results.listed(what, shown, message.envelope.era, VERSION, cursor)
        return await self._shown(asked, what, len(shown), answers.result(message, result))

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
        """Nothing if this caller may use the method at all."""
        with self.tracing.span("decision", asked.trail.traceparent) as span:
            who, method = asked.who(span.traceparent), message.envelope.method
            found = await self.decider.method(asked.caller, who, method, asked.digest, asked.deadline)  # (5)
        if isinstance(found, Denied | Mismatch):
            return found
        asked.trail.note(found.reasons, revision=found.revision)
        return None

    async def may(
        self, action: str, refs: Sequence[ResourceRef], asked: Asked
    ) -> frozenset[ResourceRef] | Denied | Mismatch:
        """Those of `refs` on which `action` is permitted."""
        may: set[ResourceRef] = set()
        for start in range(0, len(refs), _AT_ONCE):
            sought = Sought(action, refs[start : start + _AT_ONCE])
            who = asked.who(asked.trail.traceparent)
            found = await self.decider.each(asked.caller, who, sought, asked.digest, asked.deadline)
            if not isinstance(found, EachOf):
                return found
            may |= found.permitted
        return frozenset(may)

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
