"""Big results are released and written beside the event loop: nobody waits for another's megabytes.

Callers take turns, however much waits for one of them. What nobody waits for any more is dropped.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from sallyport.pep.model import Json, Output, Reply, ToolOutput

BIG: Final = 32 << 10  # characters; what has fewer takes less than a thread costs, or a few milliseconds
HEAVY: Final = 256 << 10  # characters; what has more is no hindrance to what has fewer
MOST: Final = 16 << 20  # characters of one caller that wait: a few of the biggest results
_MEMBER: Final = 8  # what a member or an item costs, in characters

Given = TypeVar("Given")


class Crowded(Exception):
    """Too much of this caller's waits already."""


class Apart:
    """A thread for the light and one for the heavy: more would only take the interpreter from each other, and from the loop."""

    def __init__(self) -> None:
        self._light, self._heavy = _Lane("release"), _Lane("release-heavy")

    async def done(
        self, whose: Hashable, size: int, work: Callable[[], Given]
    ) -> tuple[Given, asyncio.CancelledError | None]:
        """What it gives. Cancelled before its turn it is never done; later, the cancellation waits until it is.

        Raises Crowded.
        """
        return await self._lane(size).done(whose, size, work)

    def expect(self, whose: Hashable, size: int) -> None:
        """Raises Crowded where something of this size would have to wait, and may not."""
        self._lane(size).expect(whose, size)

    def _lane(self, size: int) -> _Lane:
        return self._heavy if size > HEAVY else self._light


class _Lane:
    def __init__(self, name: str) -> None:
        self._thread = ThreadPoolExecutor(1, name)
        self._busy = False
        self._waiting: dict[Hashable, deque[asyncio.Future[None]]] = {}  # whose turn is next stands first
        self._sizes: Counter[Hashable] = Counter()

    async def done(
        self, whose: Hashable, size: int, work: Callable[[], Given]
    ) -> tuple[Given, asyncio.CancelledError | None]:
        await self._turn(whose, size)
        try:
            running = asyncio.get_running_loop().run_in_executor(self._thread, work)
            cancelled: asyncio.CancelledError | None = None
            while not running.done():
                try:
                    await asyncio.wait([running])
                except asyncio.CancelledError as error:
                    cancelled = error
            return running.result(), cancelled
        finally:
            self._pass_on(whose)

    def expect(self, whose: Hashable, size: int) -> None:
        if self._busy and self._sizes[whose] + size > MOST:
            raise Crowded

    async def _turn(self, whose: Hashable, size: int) -> None:
        self.expect(whose, size)
        if not self._busy:
            self._busy = True
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(whose, deque()).append(turn)
        self._sizes[whose] += size
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it was given meanwhile
                self._pass_on(whose)
            raise
        finally:
            self._sizes[whose] -= size
            if not self._sizes[whose]:
                del self._sizes[whose]

    def _pass_on(self, whose: Hashable) -> None:
        """Who just had a turn comes behind all others."""
        if whose in self._waiting:
            self._waiting[whose] = self._waiting.pop(whose)
        while self._waiting:
            following, row = next(iter(self._waiting.items()))
            turn = row.popleft()
            if not row:
                del self._waiting[following]
            if not turn.done():
                turn.set_result(None)
                return
        self._busy = False


def size_of(output: Output, most: int) -> int:
    """Its characters, roughly. Where it has more members than are worth a look, it counts as big, and as `most` at least."""
    told: list[Json] = []
    if isinstance(output, ToolOutput):
        told += [*output.content, output.structured]
    elif isinstance(output, Reply):
        told += output.result.values()
    size = members = 0
    while told:
        item = told.pop()
        if isinstance(item, str):
            size += len(item)
        elif isinstance(item, dict | list):
            members += len(item)
            if members * _MEMBER > BIG:
                return max(size, most, BIG + 1)
            told.extend(item.values() if isinstance(item, dict) else item)
            size += sum(map(len, item)) if isinstance(item, dict) else 0
    return size + members * _MEMBER
