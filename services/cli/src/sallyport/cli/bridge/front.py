"""Streamable HTTP of MCP 2025-11-25, for one server program: POST, GET and DELETE of one path."""

from __future__ import annotations

import asyncio
from typing import Final

import aiohttp
from aiohttp import web

from sallyport.cli.bridge import rpc
from sallyport.cli.bridge.child import Deaf
from sallyport.cli.bridge.door import Door, Refused, one
from sallyport.cli.bridge.exchange import Exchange
from sallyport.cli.bridge.guests import Guest
from sallyport.cli.bridge.session import Busy, Session
from sallyport.cli.bridge.sessions import Full, Sessions
from sallyport.runtime.strict_json import Json

SESSION: Final = "Mcp-Session-Id"
MAX_BODY: Final = 1 << 20
START_SECONDS: Final = 30.0
_RECEIVE_SECONDS: Final = 10.0
_TAKE_SECONDS: Final = 30.0  # for a client to take one event of a stream
_HEADERS: Final = {"Server": "sallyport", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_EVENTS: Final = "text/event-stream"


class Front:
    def __init__(self, door: Door, sessions: Sessions) -> None:
        self._door, self._sessions = door, sessions
        self._methods = {"POST": self._post, "GET": self._listen, "DELETE": self._delete}

    async def exchange(self, request: web.BaseRequest) -> web.StreamResponse:
        guest = request.protocol
        try:
            self._door.admit(request)
            if isinstance(guest, Guest):
                guest.welcome()
            return await self._answer(request)
        except Refused as refused:
            body = rpc.error(None, rpc.INVALID_REQUEST, refused.text)
            response = _json(body, refused.status, refused.headers)
            response.force_close()  # what follows may be the rest of what was refused
            return response
        finally:
            if isinstance(guest, Guest):
                guest.rest()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        version = one(request, "MCP-Protocol-Version")
        if version and version not in rpc.VERSIONS:
            data: dict[str, Json] = {"supported": [*rpc.VERSIONS], "requested": version}
            return _json(rpc.error(None, rpc.UNSUPPORTED_VERSION, "this version isn't spoken here", data), 400)
        handler = self._methods.get(request.method)
        if handler is None:
            raise Refused(405, "POST, GET and DELETE are answered here", Allow=", ".join(self._methods))
        try:
            return await handler(request)
        except rpc.Malformed as malformed:
            return _json(rpc.error(None, malformed.code, malformed.text), 400)
        except Busy:
            raise Refused(429, "too many requests of this session are running", **{"Retry-After": "1"}) from None
        except Full:
            raise Refused(
                503, "too many sessions are open; end one, or see --sessions", **{"Retry-After": "5"}
            ) from None
        except Deaf:
            raise Refused(503, "the server doesn't read what it is sent", **{"Retry-After": "1"}) from None

    async def _post(self, request: web.BaseRequest) -> web.StreamResponse:
        if one(request, "Content-Type").partition(";")[0].strip().lower() != "application/json":
            raise Refused(415, "the body is application/json")
        posted = rpc.posted(await _body(request))
        if posted.method == "initialize" and posted.id is not None:
            return await self._begin(request, posted)
        session = self._session(request)
        if posted.id is None:
            session.tell(posted)
            return web.Response(status=202, headers=_HEADERS)
        with session.ask(posted) as exchange:
            if _EVENTS not in one(request, "Accept"):
                answer = await _only_answer(exchange)
                return _json(answer) if answer else web.Response(status=202, headers=_HEADERS)
            notice = await exchange.next()
            if notice is None and exchange.answer:
                return _json(exchange.answer)
            return await _stream(request, exchange, notice)  # given up: a stream that ends, as clients take it

    async def _begin(self, request: web.BaseRequest, posted: rpc.Posted) -> web.StreamResponse:
        if SESSION in request.headers:
            raise Refused(400, "a session begins without the id of another")
        begun = False
        session = await self._open()
        try:
            # What a server may ask of its client is answered by nobody here, so it isn't promised either.
            params = {**(posted.params or {}), "capabilities": {}}
            with session.ask(rpc.Posted(posted.method, params, posted.id)) as exchange:
                async with asyncio.timeout(START_SECONDS):
                    answer = await _only_answer(exchange)
            begun = exchange.succeeded and self._sessions.find(session.id) is not None
            return _json(answer, 200, {SESSION: session.id} if begun else {})
        except TimeoutError:
            raise Refused(503, "the server didn't answer initialize in time; its log may say why") from None
        finally:
            if not begun:
                self._sessions.close(session)

    async def _open(self) -> Session:
        try:
            return await self._sessions.open()
        except OSError:
            raise Refused(503, "the server can't be started; the bridge's log says why") from None

    async def _listen(self, request: web.BaseRequest) -> web.StreamResponse:
        session = self._session(request)
        if _EVENTS not in one(request, "Accept"):
            raise Refused(406, "a GET is answered with a stream of events")
        if session.listener is not None:
            raise Refused(409, "another stream of this session is open")
        session.listener = exchange = Exchange(None)
        try:
            return await _stream(request, exchange, None)
        finally:
            session.listener = None
            session.touch()

    async def _delete(self, request: web.BaseRequest) -> web.StreamResponse:
        self._sessions.close(self._session(request))
        return web.Response(status=204, headers=_HEADERS)

    def _session(self, request: web.BaseRequest) -> Session:
        given = one(request, SESSION)
        if not given:
            raise Refused(400, f"{SESSION} is missing: a session begins with initialize")
        session = self._sessions.find(given)
        if session is None:
            raise Refused(404, "no such session, or it has ended; begin another with initialize")
        return session


async def _body(request: web.BaseRequest) -> bytes:
    """Raises Refused over the cap, or when it takes too long."""
    if "Content-Encoding" in request.headers:
        raise Refused(415, "a body isn't compressed here")
    found = bytearray()
    try:
        async with asyncio.timeout(_RECEIVE_SECONDS):
            async for chunk in request.content.iter_any():
                found += chunk
                if len(found) > MAX_BODY:
                    raise Refused(413, f"the body is over {MAX_BODY} bytes")
    except TimeoutError:
        raise Refused(408, "the body took too long") from None
    except (web.RequestPayloadError, aiohttp.ClientError):
        raise Refused(400, "the body isn't framed as its head says") from None
    return bytes(found)


async def _only_answer(exchange: Exchange) -> bytes:
    while await exchange.next() is not None:
        pass
    return exchange.answer or b""


async def _stream(request: web.BaseRequest, exchange: Exchange, notice: bytes | None) -> web.StreamResponse:
    """Notifications as they come, and the answer, if there is one to come, as the last event."""
    response = web.StreamResponse(headers={**_HEADERS, "Content-Type": _EVENTS})
    await response.prepare(request)
    while notice is not None or (notice := await exchange.next()) is not None:
        await _event(response, notice)
        notice = None
    if exchange.answer:
        await _event(response, exchange.answer)
    await response.write_eof()
    return response


async def _event(response: web.StreamResponse, message: bytes) -> None:
    try:
        async with asyncio.timeout(_TAKE_SECONDS):
            await response.write(b"event: message\ndata: " + message + b"\n\n")
    except TimeoutError:
        raise ConnectionError("the client doesn't take what it is sent") from None


def _json(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(
        body=body, status=status, content_type="application/json", headers={**_HEADERS, **(headers or {})}
    )
