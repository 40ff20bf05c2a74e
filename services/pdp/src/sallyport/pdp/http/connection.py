"""One connection: aiohttp's protocol with an absolute deadline, telling neither logs nor peers what was sent."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import structlog
from aiohttp import web
from aiohttp.abc import AbstractAccessLogger

from sallyport.pdp.http.limits import Limits

Answered: TypeAlias = Callable[[int], None]  # hears the status of every answer
_log: Final = structlog.get_logger()


def unheard(_status: int) -> None:
    """For a port whose answers nobody counts."""


class _Silent(AbstractAccessLogger):
    """Who asks what stands in the audit stream; an access log would hold whatever a peer wrote into its target."""

    @property
    def enabled(self) -> bool:
        return False

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        """Nothing."""


class Connection(web.RequestHandler):
    __slots__ = ("_answered", "_arrived", "_deadline", "_gone", "_seconds", "busy", "last", "opened", "since")

    def __init__(
        self,
        manager: web.Server,
        limits: Limits,
        answered: Answered,
        arrived: Callable[[], None],
        gone: Callable[[], None],
    ) -> None:
        """`arrived` is called when HTTP takes over, and may abort the connection; `gone` at its end."""
        super().__init__(
            manager,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=limits.idle_seconds,
            access_log_class=_Silent,
            max_line_size=limits.header_bytes,
            max_field_size=limits.header_bytes,
            max_headers=limits.header_count,
            lingering_time=limits.linger_seconds,
            auto_decompress=False,  # a compressed body is refused; nothing here inflates
        )
        self._seconds, self._answered, self._arrived, self._gone = limits.request_seconds, answered, arrived, gone
        self._deadline: asyncio.TimerHandle | None = None
        self.opened = False
        self.busy = False  # has given a whole request's head and waits for us
        self.last = False  # after the answer under way it ends
        self.since = self._loop.time()  # when it began to wait, or we to work

    @property
    def certificate(self) -> bytes | None:
        """DER, verified by the TLS layer."""
        tls = None if self.transport is None else self.transport.get_extra_info("ssl_object")
        return tls.getpeercert(binary_form=True) if isinstance(tls, ssl.SSLObject) else None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.opened = True
        super().connection_made(transport)
        self._begin()
        self._arrived()

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)
        self._gone()

    def begin(self) -> None:
        """A request's head is here."""
        self.busy = True
        self._begin()

    def _begin(self) -> None:
        """The deadline counts anew. aiohttp's own ends idle connections, but not one that doesn't read its answer."""
        if self._deadline is not None:
            self._deadline.cancel()
        self.since = self._loop.time()
        self._deadline = self._loop.call_later(self._seconds, self.abort)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Once the answer is given, the place is free for others; the deadline stays, since a peer may not take it."""
        self._answered(resp.status)
        try:
            return await super().finish_response(request, resp, start_time)
        finally:
            self.busy, self.since = False, self._loop.time()

    def retire(self) -> None:
        """Take nothing more: end at once where nothing is asked, else with the answer, which says so."""
        self.last = True
        self.close()
        if not self.busy and not self._messages and self.transport is not None:
            self.transport.close()  # aiohttp leaves that to a shutdown of all

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,  # noqa: ARG002 — holds pieces of the request
        message: str | None = None,  # noqa: ARG002 — same
    ) -> web.StreamResponse:
        """For what aiohttp itself can't parse; not logged, since any stranger could fill a disk with it."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun; another can't be sent")
        response = web.Response(status=status, headers={"Cache-Control": "no-store", "Server": "sallyport"})
        response.force_close()
        return response

    def log_exception(self, *_: Any, **more: Any) -> None:
        """The kind alone: aiohttp's texts quote the request."""
        _log.warning("http connection broke", error=type(more.get("exc_info")).__name__)
