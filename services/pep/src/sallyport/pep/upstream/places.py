"""Places at one upstream, and a queue of bounded length before them: who is slow takes nobody else's."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from sallyport.pep.model import Identity
from sallyport.pep.upstream.failures import UpstreamUnavailable
from sallyport.pep.upstream.sessions import Key, owner

_OWN: Final = 2  # of the gate's own questions at once: it asks a page after the other
_SHARE: Final = 4  # one caller's streams: a quarter at most
_BUSY: Final = "its server is busy"


class Places:
    """First come, first served, but who holds less goes first, and one caller holds half of the places at most.

    Who finds the queue full is refused at once, unless another has more seats in it: then the last of those is given up.
    The gate's own questions have places of their own, since on them depends what is served.
    """

    def __init__(self, places: int, queue: int) -> None:
        self._places, self._each, self._queue = places, (places + 1) // 2, queue
        self._taken: Counter[Key] = Counter()
        self._waiting: dict[asyncio.Future[None], Key] = {}
        self._own = asyncio.Semaphore(_OWN)

    @asynccontextmanager
    async def one(self, identity: Identity | None) -> AsyncIterator[None]:
        """Raises UpstreamUnavailable."""
        if identity is None:
            async with self._own:
                yield
            return
        whose = owner(identity)
        if not self._may(whose):
            await self._wait(whose)
        else:
            self._taken[whose] += 1
        try:
            yield
        finally:
            self._leave(whose)

    def _may(self, whose: Key) -> bool:
        return self._taken.total() < self._places and self._taken[whose] < self._each

    async def _wait(self, whose: Key) -> None:
        """Until a place was given to them."""
        if len(self._waiting) >= self._queue:
            self._give_up_for(whose)
        turn = asyncio.get_running_loop().create_future()
        self._waiting[turn] = whose
        try:
            await turn
        except asyncio.CancelledError:
            self._waiting.pop(turn, None)
            if not turn.cancelled() and turn.exception() is None:  # it was given one meanwhile
                self._leave(whose)
            raise

    def _give_up_for(self, whose: Key) -> None:
        seats = Counter(self._waiting.values())
        most = max(seats, key=lambda one: seats[one], default=whose)
        if seats[most] <= seats[whose] + 1:
            raise self._full()
        last = next(turn for turn, who in reversed(self._waiting.items()) if who == most)
        del self._waiting[last]
        if not last.done():  # its request is being cancelled
            last.set_exception(self._full())

    def _full(self) -> UpstreamUnavailable:
        taken = f"{self._taken.total()} of {self._places} places are taken, {self._each} a caller"
        return UpstreamUnavailable(_BUSY, f"{taken}, and {self._queue} wait")

    def _leave(self, whose: Key) -> None:
        self._taken[whose] -= 1
        if not self._taken[whose]:
            del self._taken[whose]
        able = [(turn, who) for turn, who in self._waiting.items() if self._may(who) and not turn.done()]
        if able:
            turn, who = min(able, key=lambda one: self._taken[one[1]])
            del self._waiting[turn]
            self._taken[who] += 1
            turn.set_result(None)


class Streams:
    """Places of streams that stay, apart from those of calls; the gate has its own, and one caller can't take all."""

    def __init__(self, places: int) -> None:
        self._places, self._each = places, max(1, places // _SHARE)
        self._taken: Counter[Key] = Counter()

    @contextmanager
    def one(self, identity: Identity | None) -> Iterator[None]:
        """Raises UpstreamUnavailable."""
        whose = owner(identity)
        others = self._taken.total() - self._taken[None]
        if whose is not None and (others >= self._places or self._taken[whose] >= self._each):
            raise UpstreamUnavailable(_BUSY, f"{others} of {self._places} streams are taken, {self._each} a caller")
        self._taken[whose] += 1
        try:
            yield
        finally:
            self._taken[whose] -= 1
            if not self._taken[whose]:
                del self._taken[whose]
