"""Which approved definitions still hold: what isn't word for word what was approved is neither listed nor callable.

Each upstream is asked every minute, when it says that its lists changed, when it is back, and when a connection to it is new
after one was lost, for another server may stand there: the first call waits for that answer, shortly. What wasn't seen within
`Pace.stale` is in quarantine, whatever the reason: an upstream that can't be asked may be saying anything (N21).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import structlog

from sallyport.contract.catalog import Catalog
from sallyport.contract.surfaces import Upstream
from sallyport.pep.upstream.failures import UpstreamBroke, UpstreamUnavailable
from sallyport.pep.upstream.listing import Fetch, Kind, ListingRefused
from sallyport.pep.upstream.pin import AMBIGUOUS_PIN, NO_PIN, pins_of
from sallyport.pep.upstream.pinned import Entry, Place, entries, kinds_of, places

Touched: TypeAlias = frozenset[tuple[str, Kind]]  # upstreams, and kinds of their lists
Hear: TypeAlias = Callable[[Mapping[str, str], Touched], None]
Wait: TypeAlias = Callable[[asyncio.Event, float], Awaitable[None]]

NEVER_APPROVED: Final = "never approved: it has no pin; run sallyport catalog pull and approve"
CHANGED: Final = "its definition isn't the approved one; run sallyport catalog diff"
GONE: Final = "its upstream no longer lists it"
AMBIGUOUS: Final = "its upstream lists it more than once, in different words"
UNPINNABLE: Final = "its definition holds what can't be pinned"
_MAX_TROUBLE: Final = 200  # characters
_HELD_ANSWERS: Final = 4  # catalogs: the one in force, and its neighbour while they are swapped
_log: Final = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds."""

    every: float = 60.0
    stale: float = 120.0  # what was seen longer ago counts as not seen
    again: float = 5.0  # after a fetch that failed
    apart: float = 5.0  # between two that lost connections brought about
    patience: float = 2.0  # of a call, for one of those
    least: float = 1.0  # between the beginnings of two fetches, however often an upstream says that it changed


@dataclass(slots=True)
class _Seen:
    """What one upstream said last."""

    pins: dict[tuple[Kind, str], str] = field(default_factory=dict)
    at: float | None = None  # when that was asked for
    kinds: frozenset[Kind] = frozenset()
    trouble: str = "not asked yet"
    refused: int = 0  # lists in a row that were none, or too much
    tried: asyncio.Event = field(default_factory=asyncio.Event)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    lost: int = 0  # connections
    known: int = 0  # how many of those were lost before the last fetch
    asking: int | None = None  # and before the one that is under way
    doubted: float = float("-inf")  # when it was last asked for a connection that was lost
    ended: asyncio.Event = field(default_factory=asyncio.Event)  # the fetch that is under way, or the next


@dataclass(frozen=True, slots=True)
class _Answer:
    catalog: Catalog  # held, so that its id stays its own
    generation: int
    until: float
    quarantined: Mapping[str, str]


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):  # wait_for may swallow a cancellation
            await event.wait()


class Definitions:
    """One per process. `watch` asks; `quarantined` answers from memory."""

    def __init__(
        self,
        fetch: Fetch,
        catalog: Catalog,
        *,
        pace: Pace = Pace(),
        clock: Callable[[], float] = time.monotonic,
        wait: Wait = _wait,
    ) -> None:
        self._fetch, self._pace, self._clock, self._wait = fetch, pace, clock, wait
        self._seen: dict[Place, _Seen] = {}
        self._upstreams: dict[Place, Upstream] = {}
        self._hearing: list[Hear] = []
        self._told: Mapping[str, str] = {}
        self._answers: dict[int, _Answer] = {}
        self._generation = 0
        self._moved = asyncio.Event()
        self._catalog = self._before = catalog
        self.follow(catalog)

    def follow(self, catalog: Catalog) -> None:
        """Another catalog is in force; what is known of the one before serves the calls that still name it."""
        self._before, self._catalog = self._catalog, catalog
        self._upstreams = {**places(self._before), **places(catalog)}
        dropped = [seen for place, seen in self._seen.items() if place not in self._upstreams]
        self._seen = {place: self._seen.get(place) or _Seen() for place in self._upstreams}
        for seen in dropped:
            seen.wake.set()  # whoever asks for it must learn that nobody wants it
        for place in places(catalog):
            if kinds_of(catalog, place.name) - self._seen[place].kinds:
                self._seen[place].wake.set()
        self._generation += 1
        self._moved.set()

    def on_change(self, hear: Hear) -> None:
        """`hear` is told all that is in quarantine whenever that changes, and which lists that concerns."""
        self._hearing.append(hear)

    def changed(self, upstream: str, _what: str = "") -> None:
        """An upstream says that a list of its own changed, or is back: ask it now. For `Upstreams.on_list_changed`."""
        for seen in self._of(upstream):
            seen.wake.set()

    def lost(self, upstream: str) -> None:
        """What is known of it may be another's than the next connection's. For `Upstreams.on_doubt`, as the next two."""
        for seen in self._of(upstream):
            seen.lost += 1

    def met(self, upstream: str) -> None:
        for seen in self._of(upstream):
            if seen.known < seen.lost and seen.asking is None and self._is_due(seen):
                seen.wake.set()

    async def sure(self, upstream: str) -> None:
        doubted = [seen for seen in self._of(upstream) if seen.known < seen.lost]
        if not doubted:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._pace.patience):
                for seen in doubted:
                    await self._known(seen)

    async def _known(self, seen: _Seen) -> None:
        lost = seen.lost
        while seen.known < lost and (seen.asking is not None or self._is_due(seen)):
            if seen.asking is None or seen.asking < lost:
                seen.wake.set()
            await seen.ended.wait()

    def _is_due(self, seen: _Seen) -> bool:
        """Nothing of what was never seen is served; and where each answer ends its connection, not each is a doubt."""
        if seen.at is None:
            return False
        if seen.trouble:
            return self._least(seen) <= self._pace.patience
        return self._clock() - seen.doubted >= self._pace.apart

    def _of(self, upstream: str) -> list[_Seen]:
        return [seen for place, seen in self._seen.items() if place.name == upstream]

    def quarantined(self, loaded_catalog: Catalog) -> Mapping[str, str]:
        """Exposed name -> why; prompts under `prompt_key`. What is named here is neither listed nor callable."""
        now = self._clock()
        held = self._answers.get(id(loaded_catalog))
        if held is not None and held.generation == self._generation and now < held.until:
            return held.quarantined
        there = {place.name: place for place in places(loaded_catalog)}
        found = {
            entry.key: why
            for entry in entries(loaded_catalog)
            if (why := self._why(entry, self._seen.get(there[entry.upstream]), now))
        }
        if len(self._answers) >= _HELD_ANSWERS:
            self._answers.clear()
        self._answers[id(loaded_catalog)] = _Answer(loaded_catalog, self._generation, self._until(now), found)
        return found

    def readiness(self) -> str:
        """What is wrong, for operators; "" if nothing is."""
        quarantined = self.quarantined(self._catalog)
        names = ", ".join(sorted(quarantined)[:10])
        more = f" and {len(quarantined) - 10} more" if len(quarantined) > 10 else ""  # noqa: PLR2004 — as above
        return f"{len(quarantined)} in quarantine: {names}{more}" if quarantined else ""

    async def settled(self) -> None:
        """Return once every upstream of the catalog in force was asked, with whatever success. `watch` must run."""
        await asyncio.gather(*(self._seen[place].tried.wait() for place in places(self._catalog)))

    async def watch(self) -> None:
        """Ask until cancelled; one upstream that hangs or lies keeps no other from being asked."""
        running: dict[Place, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as together:
            while True:
                self._moved.clear()
                running = {place: task for place, task in running.items() if not task.done()}
                wanted = places(self._catalog)
                for place in running.keys() - wanted.keys():
                    running.pop(place).cancel()
                for place in wanted.keys() - running.keys():
                    running[place] = together.create_task(self._watch_one(place))
                self._tell()
                await self._moved.wait()

    async def _watch_one(self, place: Place) -> None:
        while (seen := self._seen.get(place)) is not None:
            begun = self._clock()
            seen.wake.clear()
            await self._ask(place, seen, begun)
            self._tell()
            await self._wait(seen.wake, self._pause(seen))
            if seen.wake.is_set():
                await self._wait(asyncio.Event(), begun + self._least(seen) - self._clock())
            self._tell()  # what was seen may be stale by now

    def _pause(self, seen: _Seen) -> float:
        """Until the next look, and no longer than until what was seen is stale: that must be told, too."""
        pause = max(self._pace.again, self._least(seen)) if seen.trouble else self._pace.every
        left = self._pace.stale if seen.at is None else seen.at + self._pace.stale - self._clock()
        return min(pause, left) if left > 0 else pause

    def _least(self, seen: _Seen) -> float:
        """Longer after each list that was refused: megabytes were read for it, and its upstream may say that it changed."""
        if not seen.refused:
            return self._pace.least
        return min(self._pace.again * 2.0 ** (seen.refused - 1), self._pace.every)

    async def _ask(self, place: Place, seen: _Seen, begun: float) -> None:
        kinds = kinds_of(self._catalog, place.name)
        seen.asking = lost = seen.lost
        if seen.known < lost:
            seen.doubted = begun
        try:
            listing = await self._fetch(place.name, self._upstreams[place], kinds)
            # Megabytes may have to be hashed, and calls go on meanwhile.
            pins = await asyncio.to_thread(pins_of, {kind: listing.of(kind) for kind in kinds})
        except (ListingRefused, UpstreamUnavailable, UpstreamBroke) as error:
            seen.refused += not isinstance(error, UpstreamUnavailable)
            seen.trouble = "".join(char if char.isprintable() else "?" for char in str(error)[:_MAX_TROUBLE])
        except Exception as error:  # noqa: BLE001 — whatever an upstream brings about, the next minute is another try
            seen.trouble = type(error).__name__
        else:
            seen.pins, seen.kinds, seen.at, seen.trouble, seen.refused = pins, kinds, begun, "", 0
        finally:
            self._generation += 1
            seen.tried.set()
            seen.known, seen.asking = lost, None
            seen.ended.set()
            seen.ended = asyncio.Event()
        if seen.trouble:
            _log.warning("an upstream's definitions can't be fetched", upstream=place.name, why=seen.trouble)

    def _why(self, entry: Entry, seen: _Seen | None, now: float) -> str:
        if entry.pin is None:
            return NEVER_APPROVED
        if seen is None or seen.at is None or now - seen.at >= self._pace.stale or entry.kind not in seen.kinds:
            trouble = seen.trouble if seen is not None and seen.trouble else "not asked yet"
            return f"its definition wasn't seen in the last {self._pace.stale:g} seconds: {trouble}"
        now_there = seen.pins.get((entry.kind, entry.there))
        if now_there is None:
            return GONE
        if now_there == AMBIGUOUS_PIN:
            return AMBIGUOUS
        if now_there.startswith(NO_PIN):
            return f"{UNPINNABLE}: {now_there.removeprefix(NO_PIN)}"
        return "" if now_there == entry.pin else CHANGED

    def _until(self, now: float) -> float:
        """Until when an answer holds if nothing is fetched: the next moment at which something becomes stale."""
        ends = (seen.at + self._pace.stale for seen in self._seen.values() if seen.at is not None)
        return min((end for end in ends if end > now), default=float("inf"))

    def _tell(self) -> None:
        """Not of upstreams that weren't asked yet: every start would begin with an alarm."""
        tried = {place.name for place in places(self._catalog) if self._seen[place].tried.is_set()}
        known = {entry.key: entry for entry in entries(self._catalog) if entry.upstream in tried}
        quarantined = {key: why for key, why in self.quarantined(self._catalog).items() if key in known}
        before, self._told = self._told, quarantined
        if {key: _kind_of(why) for key, why in quarantined.items()} == {
            key: _kind_of(why) for key, why in before.items()
        }:
            return
        moved = (known[key] for key in quarantined.keys() ^ before.keys() if key in known)
        touched = frozenset((entry.upstream, entry.kind) for entry in moved)
        for hear in self._hearing:
            try:
                hear(quarantined, touched)
            except Exception as error:  # noqa: BLE001 — who can't be told must not end the watch
                _log.error("a change of quarantine couldn't be told", error=type(error).__name__)


def _kind_of(why: str) -> str:
    """Without what an upstream that is away said last: that changes from one try to the next."""
    return why.partition(":")[0]
