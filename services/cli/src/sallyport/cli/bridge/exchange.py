"""What one HTTP request waits for: notifications that may get lost under load, and one answer that may not."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from sallyport.cli.bridge.rpc import Id
from sallyport.runtime.strict_json import Json

_WAITING_BYTES: Final = 1 << 20


@dataclass(slots=True)
class Exchange:
    id: Id | None  # the client's; None: a stream that nobody answers on
    token: Json = None  # the client's progress token
    answer: bytes | None = None
    succeeded: bool = False  # the answer is a result
    dropped: int = 0  # notifications for a client that reads too slowly
    _notices: deque[bytes] = field(default_factory=deque)
    _size: int = 0
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def notify(self, message: bytes) -> None:
        if self._size + len(message) > _WAITING_BYTES:
            self.dropped += 1
            return
        self._notices.append(message)
        self._size += len(message)
        self._news.set()

    def finish(self, answer: bytes, *, succeeded: bool = False) -> None:
        """The first one counts; an empty one says that none will come."""
        if self.answer is None:
            self.answer, self.succeeded = answer, succeeded
            self._news.set()

    async def next(self) -> bytes | None:
        """The next notification, or None once there is no more before the answer."""
        while not self._notices:
            if self.answer is not None:
                return None
            self._news.clear()
            await self._news.wait()
        message = self._notices.popleft()
        self._size -= len(message)
        return message
