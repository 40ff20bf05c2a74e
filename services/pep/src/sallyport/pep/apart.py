"""Big results are released beside the event loop, one after another: nobody waits for another's megabytes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from sallyport.pep.model import Json, Output, Reply, ToolOutput

BIG: Final = 32 << 10  # characters; what has fewer takes less than a thread costs, or a few milliseconds
_MEMBER: Final = 8  # what a member or an item costs, in characters

Given = TypeVar("Given")


class Apart:
    """One thread: two would only take the interpreter from each other, and from the loop."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "release")

    async def done(self, work: Callable[[], Given]) -> tuple[Given, asyncio.CancelledError | None]:
        """What it gives. A cancellation waits until it is done, as it would if it had been done at once."""
        running = asyncio.get_running_loop().run_in_executor(self._thread, work)
        cancelled: asyncio.CancelledError | None = None
        while not running.done():
            try:
                await asyncio.wait([running])
            except asyncio.CancelledError as error:
                cancelled = error
        return running.result(), cancelled


def is_big(output: Output) -> bool:
    """Whether it has more than `BIG` characters; no more of it than those is looked at."""
    told: list[Json] = []
    if isinstance(output, ToolOutput):
        told += [*output.content, output.structured]
    elif isinstance(output, Reply):
        told += output.result.values()
    left = BIG
    while told and left >= 0:
        item = told.pop()
        if isinstance(item, str):
            left -= len(item)
        elif isinstance(item, dict | list):
            left -= _MEMBER * len(item)
            if left >= 0:
                told.extend(item.values() if isinstance(item, dict) else item)
                left -= sum(map(len, item)) if isinstance(item, dict) else 0
    return left < 0
