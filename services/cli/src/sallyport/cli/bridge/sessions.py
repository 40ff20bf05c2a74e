"""The open sessions: so many and no more, and none that nobody uses."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from sallyport.cli.bridge.child import started
from sallyport.cli.bridge.plan import Plan
from sallyport.cli.bridge.session import Session

_LOOK_SECONDS: Final = 0.5
_log: Final = structlog.get_logger()


class Full(Exception):
    """As many sessions run already, or still end, as may."""


class Sessions:
    def __init__(self, plan: Plan, most: int, idle_seconds: float) -> None:
        self._plan, self._most, self._idle_seconds = plan, most, idle_seconds
        self._open: dict[str, tuple[Session, asyncio.Task[None] | None]] = {}
        self._kept: set[asyncio.Task[None]] = set()  # also those that start or end

    async def open(self) -> Session:
        """Start a server of its own. Raises Full and OSError."""
        if len(self._kept) >= self._most:
            raise Full
        ready: asyncio.Future[Session] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._keep(ready))
        self._kept.add(task)
        task.add_done_callback(self._kept.discard)
        try:
            return await ready
        except asyncio.CancelledError:
            task.cancel()
            raise

    def find(self, session_id: str) -> Session | None:
        session, _ = self._open.get(session_id, (None, None))
        return None if session is None or session.over else session

    def close(self, session: Session) -> None:
        """At once nobody finds it; its server ends by and by."""
        _, task = self._open.pop(session.id, (None, None))
        if task is not None and not session.over:  # else it ends by itself, and its last words are still to be logged
            task.cancel()

    async def watch(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            now = asyncio.get_running_loop().time()
            for session, _ in list(self._open.values()):
                if session.idle(now) >= self._idle_seconds:
                    _log.info("session ended: idle", session=session.name)
                    self.close(session)

    async def end(self) -> None:
        tasks = list(self._kept)
        for task in tasks:
            if not task.cancelling():  # twice would cut short the end of a server that is under way
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep(self, ready: asyncio.Future[Session]) -> None:
        try:
            async with started(self._plan) as server:
                session = Session(server)
                if ready.done():  # who wanted it has gone
                    return
                self._open[session.id] = session, asyncio.current_task()
                ready.set_result(session)
                _log.info("session begun", session=session.name)
                try:
                    await session.run()
                finally:
                    session.fail()
                    self._open.pop(session.id, None)
        except OSError as error:
            _log.warning("server not started", why=error.strerror)
            if not ready.done():
                ready.set_exception(error)
