"""One task does the work; whoever comes meanwhile waits for the same outcome, and may leave without ending it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Flight(Generic[T]):
    """The task is nobody's who waits: entering and leaving from requests' own tasks is how others leaked sessions."""

    def __init__(self, work: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._task = asyncio.get_running_loop().create_task(work())
        self._task.add_done_callback(_seen)

    async def join(self) -> T:
        return await asyncio.shield(self._task)

    def left(self, over: Callable[[T | None], None]) -> None:
        """Nobody joins any more: `over` is told what comes of it, None if nothing does."""
        self._task.add_done_callback(lambda task: over(_outcome(task)))

    async def end(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


def _seen(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()  # those who wait have it; if nobody waits any more, nobody needs it


def _outcome(task: asyncio.Task[T]) -> T | None:
    return None if task.cancelled() or task.exception() is not None else task.result()
