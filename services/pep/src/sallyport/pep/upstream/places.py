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

_SHARE: Final = 4  # one caller's streams: a quarter at most
_BUSY: Final = "its server is busy"


class Places:
    """First come, first served; who finds the queue full is refused at once."""

    def __init__(self, places: int, queue: int) -> None:
        self._free = asyncio.Semaphore(places)
        self._places, self._queue = places, queue
        self._waiting = 0

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Raises UpstreamUnavailable."""
        if self._free.locked() and self._waiting >= self._queue:
            raise UpstreamUnavailable(_BUSY, f"all {self._places} places are taken, and {self._queue} wait")
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._free.release()


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
