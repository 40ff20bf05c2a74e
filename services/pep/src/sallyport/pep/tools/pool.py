"""A bounded pool of places and threads, shared by the tools of one kind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Final, TypeVar

_T = TypeVar("_T")

WAIT: Final = 1.0  # seconds; a permit is dead by then


class PoolBusy(Exception):
    """No place came free in time; nothing has begun."""


class Pool:
    """As many threads as places, so that work which holds a place never queues behind anything."""

    def __init__(self, size: int, name: str) -> None:
        self._places = asyncio.Semaphore(size)
        self._threads = ThreadPoolExecutor(size, thread_name_prefix=name)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Wait for a place, at most a second, or raise PoolBusy."""
        try:
            async with asyncio.timeout(WAIT):
                await self._places.acquire()
        except TimeoutError:
            raise PoolBusy("all places are taken") from None
        try:
            yield
        finally:
            self._places.release()

    async def shielded_thread(self, work: Callable[[], _T], *, discard: Callable[[_T], None] | None = None) -> _T:
        """Run blocking work in a thread and wait for its end, also when cancelled: its outcome is then known.

        An interruption is raised only after the work has ended; `discard` then gets the result that nobody else will.
        """
        running = asyncio.wrap_future(self._threads.submit(work))
        interrupted: BaseException | None = None
        while not running.done():
            try:
                await asyncio.wait([running])
            except (Exception, asyncio.CancelledError, KeyboardInterrupt, SystemExit) as error:  # noqa: BLE001 — whatever it is waits: the thread uses the handles
                interrupted = error
        if interrupted is not None:
            # Reading the exception also keeps asyncio from logging it as lost.
            if running.exception() is None and discard is not None:
                discard(running.result())
            raise interrupted
        return running.result()

    def close(self) -> None:
        """Wait for running work, take no more."""
        self._threads.shutdown(wait=True)
