"""A listing's way through the upstreams: several at once, so that a slow one keeps nobody from what the others have.

One page of ours ends where enough is shown, never where upstreams turn theirs: how many entries a caller may not see
must not show by how often they have to ask. Only what one request may cost ends it sooner.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from sallyport.pep import release
from sallyport.pep.asked import Asked
from sallyport.pep.given import Ahead, Place
from sallyport.pep.model import Json, ListResources, ResourceRef
from sallyport.pep.pages import Pages
from sallyport.runtime import exact_json

Judge: TypeAlias = Callable[[Sequence[ResourceRef]], Awaitable[Mapping[ResourceRef, tuple[str, ...]]]]

LANES: Final = 4  # upstreams that are asked at the same time
_SHOWN: Final = 256  # entries of one lane on one page of ours
_BYTES: Final = 256 << 10  # of them
_QUESTION: Final = 256  # entries that one question names: the longest URIs still fit into it


@dataclass(slots=True)
class _Purse:
    """What one request may cost in all."""

    until: float
    pages: int = 64
    entries: int = 8192

    @property
    def spent(self) -> bool:
        return self.pages <= 0 or self.entries <= 0 or time.monotonic() >= self.until


@dataclass(slots=True)
class _Room:
    """What one lane may still show."""

    entries: int = _SHOWN
    bytes: int = _BYTES

    def takes(self, shown: Mapping[str, Json]) -> bool:
        """Whether it fits; a single one always does."""
        size = len(exact_json.encode(dict(shown)))
        fits = self.entries > 0 and (size <= self.bytes or self.entries == _SHOWN)
        if fits:
            self.entries, self.bytes = self.entries - 1, self.bytes - size
        return fits


class Walk:
    """Of one request."""

    def __init__(
        self,
        pages: Pages,
        message: ListResources,
        asked: Asked,
        judge: Judge,
        obligations: tuple[str, ...],
        seconds: float = 10.0,
    ) -> None:
        self._pages, self._message, self._asked = pages, message, asked
        self._judge, self._obligations = judge, obligations
        self._purse = _Purse(time.monotonic() + seconds)
        self._shown: dict[str, list[dict[str, Json]]] = {}

    async def through(self, ahead: Ahead) -> tuple[list[dict[str, Json]], Ahead | None]:
        """What may be shown, and where it goes on. Raises what `judge` raises."""
        order = self._pages.order(self._asked.view.catalog)
        fresh = [Place(name, "") for name in order if ahead.then and name >= ahead.then]
        waiting = deque([*ahead.begun, *fresh])
        lanes = [asyncio.create_task(self._lane(waiting)) for _ in range(min(LANES, len(waiting)))]
        if not lanes:
            return [], None
        try:
            done, _ = await asyncio.wait(lanes, return_when=asyncio.FIRST_EXCEPTION)
            left = [lane.result() for lane in done]
        finally:
            for lane in lanes:
                lane.cancel()
            await asyncio.gather(*lanes, return_exceptions=True)
        shown = [entry for upstream in sorted(self._shown) for entry in self._shown[upstream]]
        begun = tuple(sorted((place for place in left if place), key=lambda place: place.upstream))
        then = waiting[0].upstream if waiting else ""
        return shown, Ahead(begun, then) if begun or then else None

    async def _lane(self, waiting: deque[Place]) -> Place | None:
        """One upstream after the other, until one isn't done: where it goes on there."""
        room, place = _Room(), None
        while place is not None or waiting:
            place = place or waiting.popleft()
            if self._purse.spent:
                return place
            place = await self._page(place, room)
        return None

    async def _page(self, place: Place, room: _Room) -> Place | None:
        """Show what may be shown of it. It ends before what there is no room for, not where the room ends."""
        self._purse.pages -= 1
        page, done = await self._pages.page(place, self._message, self._asked), place.after
        for start in range(0, len(page.entries), _QUESTION):
            if start and self._purse.spent:
                return replace(place, after=done)
            entries = page.entries[start : start + _QUESTION]
            self._purse.entries -= len(entries)
            may = await self._judge([page.ref(entry) for entry in entries])
            for entry in entries:
                await asyncio.sleep(0)  # others come in between
                shown = self._released(entry, may.get(page.ref(entry)))
                if shown is not None and not room.takes(shown):
                    return replace(place, after=done)
                self._shown.setdefault(place.upstream, []).extend([] if shown is None else [shown])
                done = page.name(entry)
        return page.ahead

    def _released(self, entry: Mapping[str, Json], each: tuple[str, ...] | None) -> dict[str, Json] | None:
        return None if each is None else release.entry(entry, (*self._obligations, *each))
