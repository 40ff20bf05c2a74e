"""All connections of one listener, and who has to go when there are too many."""

from __future__ import annotations

import asyncio
from typing import Generic, Protocol, TypeVar

from sallyport.pep.transport.limits import Limits


class Connection(Protocol):
    @property
    def address(self) -> str: ...
    def cut(self, detail: str) -> None: ...
    def abort(self) -> None: ...


C = TypeVar("C", bound=Connection)


class Crowd(Generic[C]):
    """Counts connections; one that waits for its peer makes room for a newcomer, one that is at work never does.

    Without that, as many silent connections as the limit allows would shut everybody out.
    """

    def __init__(self, limits: Limits) -> None:
        self._most = limits.connections
        self._share = max(1, limits.connections // 4)
        self._waiting: dict[C, None] = {}  # oldest first
        self._busy: set[C] = set()
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return len(self._waiting) + len(self._busy)

    def admit(self, newcomer: C) -> bool:
        """Take it in, if need be in the place of another; False where all are at work."""
        if len(self) >= self._most:
            victim = self._victim(newcomer.address)
            if victim is None:
                return False
            self.leave(victim)
            victim.cut("cut to make room")
        self.wait(newcomer)
        self._empty.clear()
        return True

    def wait(self, connection: C) -> None:
        """It waits for its peer from now on: for a handshake, a request, or its end."""
        self._busy.discard(connection)
        self._waiting.pop(connection, None)
        self._waiting[connection] = None

    def work(self, connection: C) -> None:
        """It has given a whole request and waits for us."""
        self._waiting.pop(connection, None)
        self._busy.add(connection)

    def leave(self, connection: C) -> None:
        self._waiting.pop(connection, None)
        self._busy.discard(connection)
        if not len(self):
            self._empty.set()

    def everyone(self) -> tuple[C, ...]:
        return (*self._waiting, *self._busy)

    async def emptied(self) -> None:
        await self._empty.wait()

    def _victim(self, address: str) -> C | None:
        same = [c for c in self._waiting if c.address == address]
        return same[0] if len(same) > self._share else next(iter(self._waiting), None)
