"""The connections: who hasn't shown the token is cut after a while, and takes no place from who has."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import structlog
from aiohttp import web
from aiohttp.abc import AbstractAccessLogger

_STRANGERS: Final = 64
_KNOWN: Final = 1024
_SHOW_SECONDS: Final = 5.0  # until a request with the token is there
_REST_SECONDS: Final = 60.0  # between the requests of who has shown it; also for taking an answer
_LINE: Final = 8190
_OURS: Final = 500
_log: Final = structlog.get_logger()


class _Silent(AbstractAccessLogger):
    """The gate's audit stream says who asked for what."""

    @property
    def enabled(self) -> bool:
        return False

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        """Nothing."""


class Guest(web.RequestHandler):
    def __init__(self, manager: web.Server, guests: Guests) -> None:
        super().__init__(
            manager,
            loop=asyncio.get_running_loop(),
            access_log_class=_Silent,
            max_line_size=_LINE,
            max_field_size=_LINE,
            max_headers=64,
            lingering_time=0.5,
            auto_decompress=False,
        )
        self._guests = guests
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._wait(_SHOW_SECONDS)
        self._guests.enter(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._stop_waiting()
        self._guests.leave(self)
        super().connection_lost(exc)

    def welcome(self) -> None:
        """The request at hand has shown the token: it may take as long as the server takes."""
        self._stop_waiting()
        self._guests.know(self)

    def rest(self) -> None:
        """Its answer is made."""
        if self.transport is not None:
            self._wait(_REST_SECONDS)

    def cut(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 — holds pieces of the request
    ) -> web.StreamResponse:
        """Logged only if it is our fault: any stranger could fill a disk with the rest."""
        if status == _OURS:
            _log.error("http request not answered", error=type(exc).__name__)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun; another can't be sent")
        response = web.Response(status=status, headers={"Server": "sallyport"})
        response.force_close()
        return response

    def log_exception(self, *_: Any, **more: Any) -> None:
        _log.warning("http connection broke", error=type(more.get("exc_info")).__name__)

    def _wait(self, seconds: float) -> None:
        self._stop_waiting()
        self._timer = asyncio.get_running_loop().call_later(seconds, self.cut)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


class Guests:
    def __init__(self) -> None:
        self._strangers: dict[Guest, None] = {}  # the longest waiting first
        self._known: set[Guest] = set()

    def enter(self, guest: Guest) -> None:
        if len(self._strangers) >= _STRANGERS:
            next(iter(self._strangers)).cut()
        self._strangers[guest] = None

    def know(self, guest: Guest) -> None:
        self._strangers.pop(guest, None)
        self._known.add(guest)
        if len(self._known) > _KNOWN:
            guest.cut()

    def leave(self, guest: Guest) -> None:
        self._strangers.pop(guest, None)
        self._known.discard(guest)
