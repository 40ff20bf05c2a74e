"""The bridge as a process: from its listening socket to its last server's end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog
from aiohttp import web

from sallyport.cli.bridge import kernel
from sallyport.cli.bridge.door import PATH, Door
from sallyport.cli.bridge.front import Front
from sallyport.cli.bridge.guests import Guest, Guests
from sallyport.cli.bridge.plan import Plan
from sallyport.cli.bridge.sessions import Sessions
from sallyport.cli.complaint import Complaint
from sallyport.runtime import addresses
from sallyport.runtime.ending import Ending

_BACKLOG: Final = 128
_DRAIN_SECONDS: Final = 1.0
_log: Final = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Settings:
    listen: str
    secret: bytes
    sessions: int
    idle_seconds: float


async def serve(plan: Plan, settings: Settings, announce: Callable[[str], None]) -> None:
    """Until SIGTERM or SIGINT. Raises Complaint where the address can't be had."""
    kernel.hide()
    async with Ending() as ending:
        host, port = addresses.split(settings.listen)
        try:
            listener = addresses.listening(host, port, _BACKLOG)
        except OSError as error:
            raise Complaint(
                f"--listen {settings.listen} can't be bound ({os.strerror(error.errno) if error.errno else error})",
                f"name another port, such as --listen {settings.listen.rpartition(':')[0]}:0 for a free one, or end what "
                "listens there",
            ) from None
        port = listener.getsockname()[1]
        sessions = Sessions(plan, settings.sessions, settings.idle_seconds)
        front, guests = Front(Door(port, settings.secret), sessions), Guests()
        manager = web.Server(front.exchange, handler_cancellation=True)
        server = await asyncio.get_running_loop().create_server(lambda: Guest(manager, guests), sock=listener)
        watching = asyncio.create_task(sessions.watch())
        try:
            announce(f"http://{settings.listen.rpartition(':')[0]}:{port}{PATH}")
            await ending.asked()
        finally:
            watching.cancel()
            server.close()
            await asyncio.gather(sessions.end(), watching, return_exceptions=True)
            await manager.shutdown(_DRAIN_SECONDS)
    _log.info("stopped")
