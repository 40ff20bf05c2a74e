"""Sessions of a legacy upstream that keeps state: one for each caller, never shared, bounded, closed when idle."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from sallyport.contract.surfaces import UpstreamLimits
from sallyport.pep.model import Identity
from sallyport.pep.upstream.failures import UpstreamUnavailable
from sallyport.pep.upstream.flight import Flight
from sallyport.pep.upstream.notices import LEVELS

_SHARE: Final = 4  # one caller's streams: a quarter of the sessions at most
_SWEEP: Final = 0.5  # seconds at least between two looks
_BUSY: Final = "its server is busy"
Key: TypeAlias = tuple[str, str, str, str] | None  # None: the gate itself


@dataclass(slots=True, eq=False)
class Session:
    """An id that the upstream gave out for this caller."""

    id: str
    version: str
    identity: Identity | None
    level: int = len(LEVELS)  # of its messages; so far none were asked for
    users: int = 0
    used_at: float = 0.0
    levelling: asyncio.Lock = field(default_factory=asyncio.Lock)


Open: TypeAlias = Callable[[Identity | None], Coroutine[Any, Any, Session]]


class Sessions:
    """By (issuer, user, agent, org); the upstream is the owner's. The one used longest ago is the first to go."""

    def __init__(self, limits: UpstreamLimits, begin: Open, end: Callable[[Session], None]) -> None:
        self._most, self._idle = limits.sessions, float(limits.session_idle_seconds)
        self._begin, self._end = begin, end
        self._open: OrderedDict[Key, Session] = OrderedDict()
        self._beginning: dict[Key, Flight[Session]] = {}
        self._apart: Counter[Key] = Counter()  # streams, each with its own
        self._left: set[Flight[Session]] = set()  # those whose listener went before they had begun
        self._sweep: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def of(self, identity: Identity | None) -> AsyncIterator[Session]:
        """The caller's, begun if need be; it isn't closed while it is used. Raises UpstreamUnavailable."""
        key = owner(identity)
        session = self._open.get(key) or await self._begun(key, identity)
        session.users += 1
        try:
            yield session
        finally:
            session.users -= 1
            self._rest(session)

    @asynccontextmanager
    async def apart(self, identity: Identity | None) -> AsyncIterator[Session]:
        """One for a long stream, which nothing else uses; it ends with it."""
        whose, each = owner(identity), max(1, self._most // _SHARE)
        if whose is not None and self._apart[whose] >= each:
            raise UpstreamUnavailable(_BUSY, f"{each} sessions of streams are begun, as many as a caller may have")
        self._make_room()
        self._apart[whose] += 1
        flight = Flight(lambda: self._begin(identity))
        try:
            session = await flight.join()
        except BaseException:
            self._left.add(flight)
            flight.left(lambda late: self._over(whose, late, flight))
            raise
        try:
            yield session
        finally:
            self._over(whose, session)

    def _over(self, whose: Key, session: Session | None, flight: Flight[Session] | None = None) -> None:
        """A stream's session has ended, or has begun too late for its listener, or never did."""
        self._apart[whose] -= 1
        if not self._apart[whose]:
            del self._apart[whose]
        if flight is not None:
            self._left.discard(flight)
        if session is not None:
            self._end(session)

    def adopt(self, session: Session) -> None:
        """Take one in that was begun elsewhere, if there is room."""
        try:
            self._make_room()
        except UpstreamUnavailable:
            self._end(session)
            return
        replaced = self._open.pop(owner(session.identity), None)
        if replaced is not None:
            self._end(replaced)
        self._open[owner(session.identity)] = session
        self._rest(session)

    def forget(self, session: Session) -> None:
        """The upstream doesn't know it any more."""
        key = owner(session.identity)
        if self._open.get(key) is session:
            del self._open[key]

    async def close(self) -> list[Session]:
        """Begin no more, and hand over those that are open."""
        if self._sweep is not None:
            self._sweep.cancel()
        for flight in [*self._beginning.values(), *self._left]:
            await flight.end()
        sessions = [*self._open.values()]
        self._open.clear()
        return sessions

    def __len__(self) -> int:
        return len(self._open) + len(self._beginning) + self._apart.total()

    async def _begun(self, key: Key, identity: Identity | None) -> Session:
        flight = self._beginning.get(key)
        if flight is None:
            self._make_room()
            flight = self._beginning[key] = Flight(lambda: self._start(key, identity))
        return await flight.join()

    async def _start(self, key: Key, identity: Identity | None) -> Session:
        try:
            session = await self._begin(identity)
            self._open[key] = session
            self._rest(session)
            return session
        finally:
            del self._beginning[key]

    def _make_room(self) -> None:
        if len(self) < self._most:
            return
        oldest = next((one for one in self._open.values() if not one.users), None)
        if oldest is None:
            raise UpstreamUnavailable(_BUSY, f"all {self._most} sessions are in use")
        self.forget(oldest)
        self._end(oldest)

    def _rest(self, session: Session) -> None:
        loop = asyncio.get_running_loop()
        session.used_at = loop.time()
        key = owner(session.identity)
        if self._open.get(key) is session:
            self._open.move_to_end(key)
        if self._sweep is None:
            self._sweep = loop.call_later(self._idle, self._close_idle)

    def _close_idle(self) -> None:
        self._sweep = None
        loop = asyncio.get_running_loop()
        limit = loop.time() - self._idle
        for session in [one for one in self._open.values() if not one.users and one.used_at <= limit]:
            self.forget(session)
            self._end(session)
        if self._open:
            due = min(one.used_at for one in self._open.values()) + self._idle
            self._sweep = loop.call_at(max(due, loop.time() + _SWEEP), self._close_idle)


def owner(identity: Identity | None) -> Key:
    """Whose it is."""
    return None if identity is None else (identity.issuer, identity.user, identity.agent, identity.org)
