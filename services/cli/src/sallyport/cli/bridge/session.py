"""One MCP session is one server process: what is asked of it, and to whom its lines belong."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import secrets
from collections.abc import Iterator
from typing import Final

import structlog

from sallyport.cli.bridge import rpc
from sallyport.cli.bridge.child import Babble, Child, Deaf
from sallyport.cli.bridge.exchange import Exchange
from sallyport.cli.bridge.murmur import Murmur
from sallyport.runtime import exact_json, strict_json
from sallyport.runtime.strict_json import Json

MAX_RUNNING: Final = 32
_MAX_GARBAGE: Final = 64  # lines; who says more of it is no MCP server
_LAST_WORDS_SECONDS: Final = 1.0
_log: Final = structlog.get_logger()


class Busy(Exception):
    """As many requests run already as may."""


class Session:
    def __init__(self, server: Child) -> None:
        self.id = secrets.token_urlsafe(32)
        self.name = server.name  # for the log: the id is a key
        self.listener: Exchange | None = None
        self.over = False  # the server ended, or is no MCP server
        self._server = server
        self._running: dict[int, Exchange] = {}
        self._numbers = itertools.count(1)
        self._garbage = 0
        self._used = asyncio.get_running_loop().time()

    def idle(self, now: float) -> float:
        """Seconds in which nobody waited for it."""
        return 0.0 if self._running or self.listener is not None else now - self._used

    def touch(self) -> None:
        self._used = asyncio.get_running_loop().time()

    async def run(self) -> None:
        """Until the server ends, or says what no MCP server says."""
        reading = asyncio.create_task(self._read())
        murmuring = asyncio.create_task(Murmur(self.name).follow(self._server.errors))
        ending = asyncio.create_task(self._server.ended.wait())  # who got away from its keeper may keep the pipes open
        try:
            await asyncio.wait({reading, ending}, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait({reading}, timeout=_LAST_WORDS_SECONDS)
            self.fail()
            await asyncio.wait({murmuring}, timeout=_LAST_WORDS_SECONDS)
            if reading.done():
                reading.result()
        finally:
            self.fail()
            for task in (reading, murmuring, ending):
                task.cancel()
            await asyncio.gather(reading, murmuring, ending, return_exceptions=True)

    async def _read(self) -> None:
        try:
            async for line in self._server.lines():
                self._hear(line)
                if self._garbage > _MAX_GARBAGE:
                    _log.warning("session ended: the server speaks no MCP", session=self.name)
                    return
        except Babble:
            _log.warning("session ended: a line of the server is too long", session=self.name)

    def fail(self) -> None:
        """Nothing more comes from the server: whoever waits is told."""
        self.over = True
        for exchange in self._running.values():
            exchange.finish(rpc.error(exchange.id, rpc.INTERNAL_ERROR, "the server ended"))
        if self.listener is not None:
            self.listener.finish(b"")

    def tell(self, told: rpc.Posted) -> None:
        """Pass on a notification. Raises Deaf."""
        self.touch()
        if told.method != "notifications/cancelled":
            self._server.write(rpc.notification(told.method, told.params))
            return
        wanted = (told.params or {}).get("requestId")
        for number, exchange in [*self._running.items()]:
            if type(exchange.id) is type(wanted) and exchange.id == wanted:
                del self._running[number]  # what the server still says of it reaches nobody
                exchange.finish(b"")
                self._server.write(rpc.notification(told.method, {**(told.params or {}), "requestId": number}))

    @contextlib.contextmanager
    def ask(self, asked: rpc.Posted) -> Iterator[Exchange]:
        """Send a request under a number of ours; if the block ends before the answer came, the server is told.

        Raises Busy and Deaf.
        """
        if len(self._running) >= MAX_RUNNING:
            raise Busy
        number = next(self._numbers)
        params, token = _with_token(asked.params, number)
        self._server.write(rpc.request(number, asked.method, params))
        exchange = self._running[number] = Exchange(asked.id, token)
        if self.over:
            self.fail()
        try:
            yield exchange
        finally:
            self._running.pop(number, None)
            self.touch()
            if exchange.answer is None and asked.method != "initialize":
                with contextlib.suppress(Deaf):
                    self._server.write(rpc.notification("notifications/cancelled", {"requestId": number}))

    def _hear(self, line: bytes) -> None:
        try:
            said = exact_json.whole(line)
        except strict_json.JsonRefused as refused:
            self._discard(str(refused))
            return
        if not isinstance(said, dict) or said.get("jsonrpc") != "2.0":
            self._discard("no JSON-RPC message")
        elif "method" not in said:
            self._answer(said)
        elif "id" in said:
            self._refuse(said)
        else:
            self._notify(said)

    def _answer(self, said: dict[str, Json]) -> None:
        number = said.get("id")
        exchange = self._running.get(number) if type(number) is int else None
        if ("result" in said) is ("error" in said):
            self._discard("an answer with neither or both of result and error")
        elif exchange is not None:  # else it comes too late: nobody waits any more
            kind = "result" if "result" in said else "error"
            exchange.finish(rpc.message(id=exchange.id, **{kind: said[kind]}), succeeded=kind == "result")

    def _refuse(self, asked: dict[str, Json]) -> None:
        """The client declared no capability, so a server may ask only whether somebody is there."""
        number = asked["id"]
        answer = rpc.message(id=number, result={}) if asked["method"] == "ping" else None
        with contextlib.suppress(Deaf):
            self._server.write(answer or rpc.error(number, rpc.METHOD_NOT_FOUND, "the client can't do this"))

    def _notify(self, said: dict[str, Json]) -> None:
        method, params = said["method"], said.get("params")
        if not isinstance(method, str) or not isinstance(params, dict | None):
            self._discard("a notification without a method, or with params that are no object")
        elif method == "notifications/progress" or "progressToken" in (params or {}):
            number = (params or {}).get("progressToken")
            exchange = self._running.get(number) if type(number) is int else None
            if exchange is not None and exchange.token is not None:
                exchange.notify(rpc.notification(method, {**(params or {}), "progressToken": exchange.token}))
        elif method != "notifications/cancelled" and self.listener is not None:  # we have answered what it would cancel
            self.listener.notify(rpc.notification(method, params))

    def _discard(self, why: str) -> None:
        self._garbage += 1
        _log.warning("line of the server ignored", session=self.name, why=why, so_far=self._garbage)


def _with_token(params: dict[str, Json] | None, number: int) -> tuple[dict[str, Json] | None, Json]:
    """Our number as progress token too: two clients may have chosen the same one."""
    meta = (params or {}).get("_meta")
    if params is None or not isinstance(meta, dict) or "progressToken" not in meta:
        return params, None
    return {**params, "_meta": {**meta, "progressToken": number}}, meta["progressToken"]
