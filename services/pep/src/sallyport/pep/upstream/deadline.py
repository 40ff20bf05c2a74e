"""How long one answer may take: in all, and without a sign of life once it has begun."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self


class Deadline:
    """Raises TimeoutError at its end. While the client is waited for, silence isn't the upstream's."""

    def __init__(self, seconds: float | None, idle: float | None) -> None:
        self._loop = asyncio.get_running_loop()
        self.began = self._loop.time()
        self._end = None if seconds is None else self.began + seconds
        self._idle = idle
        self._timeout = asyncio.timeout_at(self._end)

    async def __aenter__(self) -> Self:
        await self._timeout.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._timeout.__aexit__(kind, error, trace)

    @property
    def silent(self) -> bool:
        """It has ended, and before all the time was over."""
        return self._timeout.expired() and self._timeout.when() != self._end

    @property
    def over(self) -> bool:
        return self._timeout.expired()

    def for_a_piece(self) -> None:
        """The next piece of the answer is waited for."""
        if self._idle is not None:
            until = self._loop.time() + self._idle
            self._timeout.reschedule(until if self._end is None else min(self._end, until))

    def for_all(self) -> None:
        """Something else than the upstream is waited for."""
        if self._idle is not None:
            self._timeout.reschedule(self._end)

    def lift(self) -> None:
        """From now on it may last for ever: a stream without end has begun."""
        self._end = self._idle = None
        self._timeout.reschedule(None)
