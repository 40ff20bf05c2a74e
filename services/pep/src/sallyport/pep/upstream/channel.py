"""HTTP to one upstream: our headers only, no redirect, proxy, cookie, retry or content coding."""

from __future__ import annotations

import asyncio
import io
import select
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Final
from weakref import WeakSet

import aiohttp
from aiohttp.client_middlewares import ClientHandlerType
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http import HttpProcessingError, RawResponseMessage
from yarl import URL

from sallyport.pep.egress import EgressRefused
from sallyport.pep.upstream.counted import AllFraming, Counted, Together
from sallyport.pep.upstream.deadline import Deadline
from sallyport.pep.upstream.failures import Disconnected, UpstreamBroke, UpstreamUnavailable

JSON: Final = "application/json"
STREAM: Final = "text/event-stream"
UNREACHABLE: Final = "its server can't be reached"
BROKE: Final = "its server broke off"
TOO_LARGE: Final = "its answer is too large"
_MAX_LINE: Final = 8190
_MAX_HEADERS: Final = 100
_MAX_HEADS: Final = 16
_RATE: Final = 256 << 10  # bytes a second of a stream without end
_BURST: Final = 4.0  # seconds of it at once
_PIECES: Final = 512 << 10  # bytes of a request that are written at once
_KEEP_ALIVE: Final = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))


@dataclass(slots=True)
class Dial:
    """One request on its way: `begun` is called once, right before the first byte that goes out for it."""

    begun: Callable[[], None]
    out: bool = False
    max_bytes: int | None = 0  # of the next answer; None: a stream without end
    received: int = 0  # bytes, of all answers, with all that stood around them
    connection: Counted | None = None
    transport: asyncio.Transport | None = None
    served: WeakSet[ResponseHandler] = field(default_factory=WeakSet)  # the channel's connections that answered before

    def start(self, connection: Connection) -> None:
        """Raises _Stale, with nothing sent, on a kept connection that its server has closed, or spoken on."""
        protocol, self.transport = connection.protocol, connection.transport
        if protocol in self.served and self.transport is not None and _is_readable(self.transport):
            raise _Stale
        if isinstance(protocol, Counted):
            self.served.add(protocol)
            self.connection = protocol
            protocol.begin(self.max_bytes)
        if not self.out:
            self.begun()
            self.out = True

    async def attach(self, request: aiohttp.ClientRequest, handler: ClientHandlerType) -> aiohttp.ClientResponse:
        """Meet the request that aiohttp makes of ours, as its middleware."""
        if isinstance(request, _Request):
            request.dial = self
        return await handler(request)

    def count(self) -> None:
        """An answer is over."""
        if self.connection is not None:
            self.received += self.connection.received
            self.connection = None

    def abort(self) -> None:
        """At once: `close` would first wait for an upstream that doesn't read."""
        if self.transport is not None:
            self.transport.abort()

    def keep_alive(self) -> None:
        """Let the system find out about a peer that vanished from an idle stream."""
        found = self.transport.get_extra_info("socket") if self.transport is not None else None
        if found is not None:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in _KEEP_ALIVE:
                if hasattr(socket, name):
                    found.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def own() -> Dial:
    """For a request of the gate's own, for which nothing is redeemed."""
    return Dial(lambda: None)


class _Request(aiohttp.ClientRequest):
    dial: Dial | None = None

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        if self.dial is not None:
            self.dial.start(conn)
        if conn.protocol is not None:
            _bound_hints(conn.protocol)
        return await super().send(conn)


class _Stale(Exception):
    """Nothing was sent on it: another connection will do."""


def _is_readable(transport: asyncio.Transport) -> bool:
    poll = select.poll()
    poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _bound_hints(protocol: ResponseHandler) -> None:
    """At most some informational responses (1xx), of which aiohttp alone would take any number."""
    read, heads = partial(ResponseHandler.read, protocol), 0

    async def bounded() -> tuple[RawResponseMessage, aiohttp.StreamReader]:
        nonlocal heads
        heads += 1
        if heads > _MAX_HEADS:
            raise HttpProcessingError(message="informational responses without end")
        return await read()

    protocol.read = bounded  # type: ignore[method-assign]  # aiohttp has no better place


class Exchange:
    """An answer whose head is there."""

    def __init__(self, response: aiohttp.ClientResponse, deadline: Deadline, max_bytes: int | None) -> None:
        self._response, self._deadline = response, deadline
        self._left = max_bytes
        self._paid = 0.0  # until when the bytes that came would have taken, at the rate of a stream
        self.status = response.status
        self.kind = response.content_type
        self.handed_on = False  # somebody else sees to its end
        coding = response.headers.get("Content-Encoding", "identity")
        if coding.strip().lower() != "identity":  # never asked for: it could only be a bomb (N25)
            raise UpstreamBroke(BROKE, "an answer in a content coding that wasn't asked for")
        if max_bytes is not None and (response.content_length or 0) > max_bytes:
            raise UpstreamBroke(TOO_LARGE, f"an answer of over {max_bytes} bytes")

    def header(self, name: str) -> str:
        """Its value, if it stands there once."""
        values = self._response.headers.getall(name, [])
        return values[0] if len(values) == 1 else ""

    async def piece(self) -> bytes:
        """The next bytes; none: that was all. While nobody asks for them, no more than a buffer is read."""
        content = self._response.content
        try:
            data = content.read_nowait()
            if not data and not content.at_eof():
                self._deadline.for_a_piece()
                data = await content.readany()
                self._deadline.for_all()
        except AllFraming as error:
            raise UpstreamBroke(TOO_LARGE, str(error)) from None
        except (aiohttp.ClientError, OSError) as error:
            raise UpstreamBroke(BROKE, f"{type(error).__name__} in its answer", fault=True) from None
        if self._left is None:
            await self._throttle(len(data))
        else:
            self._left -= len(data)
            if self._left < 0:
                raise UpstreamBroke(TOO_LARGE, "an answer over its cap")
        return data

    async def _throttle(self, size: int) -> None:
        """A stream without a cap has a rate in its place: a flood of what nobody asked for costs time, too."""
        now = asyncio.get_running_loop().time()
        self._paid = max(self._paid, now - _BURST) + size / _RATE
        if self._paid > now:
            await asyncio.sleep(self._paid - now)

    async def whole(self) -> bytes:
        pieces = []
        while data := await self.piece():
            pieces.append(data)
        return b"".join(pieces)

    @property
    def ended(self) -> bool:
        return self._response.content.at_eof()

    async def drain(self, seconds: float) -> None:
        """Let the stream end by itself, so that its connection can serve again; one that says more is cut."""
        try:
            async with asyncio.timeout(seconds):
                await self._response.content.readany()
        except (TimeoutError, aiohttp.ClientError, OSError):
            return
        finally:
            self._response.close()  # without effect where it ended: then the connection is back already


class Channel:
    """The connections to one upstream. How many there are is for others to bound."""

    def __init__(
        self, url: str, connector: aiohttp.TCPConnector, together: Together, *, agent: str, connect: float
    ) -> None:
        self._url, self._together = URL(url, encoded=True), together
        self._served: WeakSet[ResponseHandler] = WeakSet()
        made = partial(Counted, asyncio.get_running_loop(), together)
        connector._factory = made  # type: ignore[assignment]  # noqa: SLF001 — aiohttp has no better place
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers={"User-Agent": agent, "Accept-Encoding": "identity"},
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, connect=connect, sock_connect=connect),
            auto_decompress=False,
            trust_env=False,
            request_class=_Request,
            max_line_size=_MAX_LINE,
            max_field_size=_MAX_LINE,
            max_headers=_MAX_HEADERS,
        )

    @asynccontextmanager
    async def exchange(
        self,
        method: str,
        headers: Mapping[str, str],
        body: bytes | None,
        dial: Dial,
        deadline: Deadline,
        max_bytes: int | None,
    ) -> AsyncIterator[Exchange]:
        """Raises UpstreamUnavailable before the first byte, UpstreamBroke after it; leaves no connection half used."""
        response: aiohttp.ClientResponse | None = None
        whole = False
        dial.max_bytes = max_bytes
        try:
            response = await self._send(method, headers, body, dial)
            exchange = Exchange(response, deadline, max_bytes)
            yield exchange
            whole = exchange.handed_on
        finally:
            dial.count()
            if not whole:
                _let_go(response, dial)

    async def _send(
        self, method: str, headers: Mapping[str, str], body: bytes | None, dial: Dial
    ) -> aiohttp.ClientResponse:
        dial.served = self._served
        data = io.BytesIO(body) if body is not None and len(body) > _PIECES else body
        try:
            return await self._session.request(
                method, self._url, headers=headers, data=data, allow_redirects=False, middlewares=(dial.attach,)
            )
        except _Stale:
            return await self._send(method, headers, body, dial)  # there are as many as there are connections
        except (EgressRefused, aiohttp.ClientError, OSError) as error:
            if not dial.out:
                self._together.lost()
                raise UpstreamUnavailable(UNREACHABLE, _told(error), fault=True) from None
            if isinstance(error, AllFraming):
                raise UpstreamBroke(TOO_LARGE, str(error)) from None
            if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError):
                raise Disconnected(BROKE, _told(error), fault=True) from None
            raise UpstreamBroke(BROKE, _told(error), fault=True) from None

    async def close(self) -> None:
        await self._session.close()


def _let_go(response: aiohttp.ClientResponse | None, dial: Dial) -> None:
    # A response read to its end has given its connection back: unless that is closing, it may be another's by now.
    if response is None or not response.closed:
        if response is not None:
            response.close()
        dial.abort()
    elif dial.transport is not None and dial.transport.is_closing():
        dial.abort()


def _told(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        cause = error.os_error  # a server that only hangs up leaves it without a text
        return f"{type(error).__name__}: {str(cause) or cause.strerror or type(cause).__name__}"
    return f"{type(error).__name__}: {error}" if isinstance(error, EgressRefused) else type(error).__name__
