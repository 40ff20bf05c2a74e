"""Bytes → one complete request within every limit → the ASGI app. Uvicorn's protocol, with the doors shut.

Differs from its base in that the app starts only when the whole request is there, every wait has an absolute deadline,
trailers and pipelining are refused, and what is refused is reported.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable
from typing import Any, Final, NoReturn

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from sallyport.pep.refusal import SHAPES, Reason
from sallyport.pep.transport import head
from sallyport.pep.transport.crowd import Crowd
from sallyport.pep.transport.cycle import Cycle
from sallyport.pep.transport.head import Bad
from sallyport.pep.transport.limits import Limits

OnRefused = Callable[[Reason, str, str], None]  # reason, detail for the record, the peer's address

_FRAMING_ALLOWANCE: Final = 65_536  # raw bytes beyond the body cap for chunk sizes, small for honest chunks


class _Stop(Exception):
    pass


class HttpProtocol(HttpToolsProtocol):
    """One connection after its handshake; made by the door, which stays its entry in the crowd."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        limits: Limits,
        on_refused: OnRefused,
        crowd: Crowd[Any],
        entry: Any,
    ) -> None:
        super().__init__(config, server_state, app_state, asyncio.get_running_loop())
        self.parser.set_dangerous_leniencies(lenient_data_after_close=False)
        self._limits, self._on_refused, self._crowd, self._entry = limits, on_refused, crowd, entry
        self._timer: asyncio.TimerHandle | None = None
        self.opened = False
        self._busy = self._deaf = self._draining = self._distrusted = self._in_head = False
        self._raw = self._header_bytes = self._body_bytes = 0
        self._bad: Bad | None = None
        self._tls: dict[object, object] | None = None

    # The connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self.client is not None:
            self.client = (self._entry.address, self.client[1])  # an IPv4 peer is one, whichever socket took it
        self.opened = True
        socket_tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        if socket_tls is not None:
            self._tls = {"client_cert_der": socket_tls.getpeercert(binary_form=True)}
        self._arm(self._limits.receive_seconds, self._too_slow)
        if self._distrusted and self._vouched:
            self._close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        self._deaf = True
        self._crowd.leave(self._entry)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        if self._busy:
            self._ignore_the_rest()
            return
        if not self._raw:
            self._arm_for_next_request()
        self._raw += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._bad = self._bad or Bad.of(Reason.INVALID_REQUEST, "upgrade")
        except httptools.HttpParserError:
            self._bad = self._bad or Bad.of(Reason.INVALID_REQUEST, "not HTTP/1.1")
        self._refuse_if(self._bad or self._over_raw())

    def answer_last(self) -> None:
        """The next answer, or the one under way, is this connection's last, and says so."""
        self._draining = True
        if self.cycle is not None:
            self.cycle.keep_alive = False

    def shutdown(self) -> None:
        """Let a request that has begun be answered; nothing else keeps the connection open."""
        self.answer_last()
        if self.opened and not self._busy and not self._raw:
            self._close()

    def distrust(self) -> None:
        """A client CA went, and the certificate here may be one of its: no further request on its word."""
        self._distrusted = True
        if self._vouched:
            self.shutdown()

    @property
    def _vouched(self) -> bool:
        return self._tls is not None and self._tls["client_cert_der"] is not None

    # The parser's callbacks

    def on_message_begin(self) -> None:
        if self._busy:
            self._ignore_the_rest()
            raise _Stop
        super().on_message_begin()
        self._header_bytes = self._body_bytes = 0
        self._in_head = True

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > self._limits.target_bytes:
            self._stop(Bad(Reason.TOO_LARGE, "target too long", 414))

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            self._stop(Bad.of(Reason.INVALID_REQUEST, "trailer field"))  # would join the headers after their check
        super().on_header(name, value)
        self._header_bytes += len(name) + len(value) + 4
        if len(self.headers) > self._limits.header_count or self._header_bytes > self._limits.header_bytes:
            self._stop(Bad(Reason.TOO_LARGE, "too many or too large header fields", 431))

    def on_headers_complete(self) -> None:
        self._in_head = False
        method = self.parser.get_method()
        target = head.check(self.parser.get_http_version(), method, self.url, self.headers, self._limits)
        if isinstance(target, Bad):
            self._stop(target)
        self.scope["method"] = method.decode("ascii")
        self.scope["path"] = target.path.decode("ascii")
        self.scope["raw_path"] = target.path
        self.scope["query_string"] = target.query
        if self._tls is not None:
            self.scope["extensions"] = {"tls": self._tls}
        if self.expect_100_continue:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.cycle = self._new_cycle()

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._body_bytes > self._limits.body_bytes:
            self._stop(Bad.of(Reason.TOO_LARGE, "body over the cap"))
        self.cycle.body += body

    def on_message_complete(self) -> None:
        self._disarm()
        self._raw = 0
        self._busy = True
        self._crowd.work(self._entry)
        self.cycle.more_body = False
        self.cycle.message_event.set()
        self._start_asgi_task(self.cycle, self.app)

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        self._busy = False
        self._crowd.wait(self._entry)
        if self.transport.is_closing():
            self._arm(self._limits.linger_seconds, self.transport.abort)
        else:
            self._arm(self._limits.idle_seconds, self._close)

    # Ends

    def _new_cycle(self) -> Cycle:
        return Cycle(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=self.parser.should_keep_alive() and not self._draining,
            on_response=self.on_response_complete,
        )

    def _stop(self, bad: Bad) -> NoReturn:
        self._bad = bad
        raise _Stop

    def _over_raw(self) -> Bad | None:
        if self._in_head and self._raw > self._limits.header_bytes + self._limits.target_bytes:
            return Bad(Reason.TOO_LARGE, "head too large", 431)
        # A body of one-byte chunks, or of chunk extensions, costs many times its size.
        if self._raw > 2 * self._limits.body_bytes + _FRAMING_ALLOWANCE:
            return Bad.of(Reason.TOO_LARGE, "framing far larger than the body")
        return None

    def _ignore_the_rest(self) -> None:
        # Pipelining: answer the first, run none of the rest, close (RFC 9112 §9.3.2 lets the client send them again).
        self._deaf = True
        self.cycle.keep_alive = False
        self._on_refused(Reason.INVALID_REQUEST, "pipelined request", self._entry.address)

    def _too_slow(self) -> None:
        self._refuse_if(Bad.of(Reason.TIMEOUT, "request not complete at the deadline"))
        self._close()

    def _refuse_if(self, bad: Bad | None) -> None:
        if bad is None or self._deaf:
            return
        if self._busy:  # an answer is on its way: a second one here would be taken for it
            self._ignore_the_rest()
            return
        self._deaf = True
        self._on_refused(bad.reason, bad.detail, self._entry.address)
        self.transport.write(_answer(bad))
        # Reads on for a moment: closing over unread bytes resets the connection, and the answer with it.
        self._arm(self._limits.linger_seconds, self._close)

    def _close(self) -> None:
        self._deaf = True
        self.transport.close()
        self._arm(self._limits.linger_seconds, self.transport.abort)

    def _arm_for_next_request(self) -> None:
        if self.cycle is not None:  # the first request's deadline runs since the connection was made
            self._arm(self._limits.receive_seconds, self._too_slow)

    def _arm(self, seconds: float, then: Callable[[], None]) -> None:
        self._disarm()
        self._timer = self.loop.call_later(seconds, then)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _answer(bad: Bad) -> bytes:
    shape = SHAPES[bad.reason]
    error = {"jsonrpc": "2.0", "id": None, "error": {"code": shape.code, "message": shape.text}}
    body = json.dumps(error, separators=(",", ":")).encode()
    return b"".join(
        (
            STATUS_LINE[bad.status],
            b"content-type: application/json\r\ncache-control: no-store\r\nx-content-type-options: nosniff\r\n",
            b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(body),
            body,
        )
    )
