"""How a process ends that is asked to, by SIGTERM or SIGINT and at any moment: with 0, and with whatever it opened closed."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Final, Self, TypeVar

T = TypeVar("T")
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class Ending:
    """Around a process's whole life: the first signal cancels its start, or wakes `asked` once it has started."""

    def __init__(self) -> None:
        self._heard: asyncio.Queue[None] = asyncio.Queue()
        self._starting: asyncio.Task[object] | None = None
        self._cut = False

    async def __aenter__(self) -> Self:
        self._starting = asyncio.current_task()
        for number in _SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, self._hear)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> bool:
        """A start that was cut short, and whatever it broke by that, is an orderly end."""
        return self._cut and kind is not None and issubclass(kind, Exception | asyncio.CancelledError)

    async def asked(self) -> None:
        """Wait for the next signal; from the first call on the start is over."""
        self._starting = None
        await self._heard.get()

    def _hear(self) -> None:
        if self._starting is None:
            self._heard.put_nowait(None)
        elif not self._cut:
            self._cut = True
            self._starting.cancel()


async def opened(open_: Callable[[], T], close: Callable[[T], object]) -> T:
    """What `open_` gives, in a thread. Threads can't be cancelled: if we are, it is closed as soon as it is open."""
    opening = asyncio.ensure_future(asyncio.to_thread(open_))
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        with suppress(Exception):  # what couldn't be opened needs no closing
            await asyncio.to_thread(close, await opening)
        raise
