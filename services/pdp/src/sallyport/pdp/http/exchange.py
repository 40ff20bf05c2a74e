"""A request as a handler sees it, and what goes back. Framing is checked here, before any route is looked at."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import aiohttp
import structlog
from aiohttp import web
from aiohttp.http import HttpVersion11

from sallyport.pdp.guard import without_values
from sallyport.pdp.http.connection import Connection
from sallyport.pdp.http.limits import Limits

_REQUEST_ID: Final = re.compile(r"[ -~]{1,256}")
_UNSPOKEN: Final = ("Upgrade", "Expect", "Content-Encoding")  # each would make a second reading of the same bytes
_log: Final = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)


class Refused(Exception):
    """The request isn't answered by its handler. `text` goes to the peer and holds nothing of the request."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


class Request:
    """What a handler may look at: one header by its name, the body within its limits, the verified certificate."""

    __slots__ = ("_limits", "_raw")

    def __init__(self, raw: web.BaseRequest, limits: Limits) -> None:
        self._raw, self._limits = raw, limits

    @property
    def certificate(self) -> bytes | None:
        """DER, verified by the TLS layer."""
        protocol = self._raw.protocol
        return protocol.certificate if isinstance(protocol, Connection) else None

    def header(self, name: str) -> str | None:
        """Raises Refused where it stands there twice: two readers would take two different ones."""
        values = self._raw.headers.getall(name, [])
        if len(values) > 1:
            raise Refused(400, f"{name} is repeated")
        return values[0] if values else None

    async def body(self) -> bytes:
        """Raises Refused over the cap, or when it takes too long."""
        if (self._raw.content_length or 0) > self._limits.body_bytes:
            raise Refused(413, f"the body is over {self._limits.body_bytes} bytes")
        found = bytearray()
        try:
            async with asyncio.timeout(self._limits.receive_seconds):
                async for chunk in self._raw.content.iter_any():
                    found += chunk
                    if len(found) > self._limits.body_bytes:
                        raise Refused(413, f"the body is over {self._limits.body_bytes} bytes")
        except TimeoutError:
            raise Refused(408, "the body took too long") from None
        except (web.RequestPayloadError, aiohttp.ClientError):
            raise Refused(400, "the body isn't framed as its head says") from None
        return bytes(found)


Handler: TypeAlias = Callable[[Request], Awaitable[Answer]]
Routes: TypeAlias = Mapping[str, Mapping[str, Handler]]  # path, exactly as sent -> method -> handler


def plain(status: int, text: str) -> Answer:
    return Answer(status, f"{text}\n".encode())


async def exchange(raw: web.BaseRequest, routes: Routes, limits: Limits) -> web.Response:
    """Never raises but for cancellation; whatever breaks is a 500 that tells nothing."""
    if isinstance(raw.protocol, Connection):
        raw.protocol.begin()
    try:
        answer = await _answer(raw, routes, limits)
    except Refused as refused:
        answer = plain(refused.status, refused.text)
    except Exception as error:  # noqa: BLE001 — any exception is no decision, and so a denial
        _log.error("http request not answered", **without_values(error))
        answer = plain(500, "internal error")
    return _response(raw, answer)


async def _answer(raw: web.BaseRequest, routes: Routes, limits: Limits) -> Answer:
    request = Request(raw, limits)
    _check_framing(raw, request)
    methods = routes.get(raw.raw_path)
    if methods is None:
        return plain(404, "no such path")
    handler = methods.get(raw.method)
    if handler is None:
        return Answer(405, b"method not allowed\n", headers={"Allow": ", ".join(methods)})
    if raw.method == "GET" and raw.body_exists:
        return plain(400, "a GET has no body here")
    return await handler(request)


def _check_framing(raw: web.BaseRequest, request: Request) -> None:
    if raw.version != HttpVersion11:
        raise Refused(505, "HTTP/1.1 is spoken here")
    if request.header("Host") is None:  # RFC 9112 §3.2
        raise Refused(400, "Host is missing")
    for name in _UNSPOKEN:
        if name in raw.headers:
            raise Refused(400, f"{name} isn't understood here")
    # RFC 9112 §6.1: a request with both is an attempt at smuggling, whatever the parser made of it.
    if "Transfer-Encoding" in raw.headers and (
        "Content-Length" in raw.headers or request.header("Transfer-Encoding") != "chunked"
    ):
        raise Refused(400, "the body's length is said twice, or in a way not understood here")


def _response(raw: web.BaseRequest, answer: Answer) -> web.Response:
    headers = {
        "Cache-Control": "no-store",
        "Server": "sallyport",
        "X-Content-Type-Options": "nosniff",
        **answer.headers,
        "Content-Type": answer.content_type,
    }
    given = raw.headers.getall("X-Request-ID", [])
    if len(given) == 1 and _REQUEST_ID.fullmatch(given[0]):
        headers["X-Request-ID"] = given[0]
    response = web.Response(status=answer.status, body=answer.body, headers=headers)
    last = isinstance(raw.protocol, Connection) and raw.protocol.last
    if last or answer.status != 200:  # noqa: PLR2004 — what follows may be the rest of what was refused
        response.force_close()
    return response
