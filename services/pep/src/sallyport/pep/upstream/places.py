"""Places at one upstream, and a queue of bounded length before them: who is slow takes nobody else's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sallyport.pep.upstream.failures import UpstreamUnavailable


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
            raise UpstreamUnavailable(
                "its server is busy", f"all {self._places} places are taken, and {self._queue} wait"
            )
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._free.release()
