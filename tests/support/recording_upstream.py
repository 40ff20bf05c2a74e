"""An upstream that keeps every byte it is sent, with the time, and says what a test tells it to, in either era."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.support.fake_server import fake_server
from tests.support.upstream_leg import LEGACY, MODERN, Got, answer, chunk, event, http, stream_head

_OPEN = {"type": "object"}


@dataclass(frozen=True)
class Seen(Got):
    """One HTTP request, to the byte."""

    whole: bytes = b""
    at: float = 0.0
    written: int = 0  # what `watched` was when it came

    @property
    def pairs(self) -> list[tuple[str, str]]:
        head = self.whole.partition(b"\r\n\r\n")[0].decode("latin-1")
        return [(name.lower(), value.strip()) for name, _, value in (x.partition(":") for x in head.split("\r\n")[1:])]

    @property
    def params(self) -> dict[str, Any]:
        found: dict[str, Any] = self.message.get("params", {})
        return found

    @property
    def arguments(self) -> dict[str, Any]:
        found: dict[str, Any] = self.params.get("arguments", {})
        return found


Act = Callable[[Seen, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def said(seen: Seen, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """What a tool answers that nobody told anything else."""
    writer.write(answer(seen, complete(str(seen.arguments.get("tag", "said")))))


def complete(text: str) -> dict[str, Any]:
    return {"resultType": "complete", "content": [{"type": "text", "text": text}]}


def definition(name: str, **told: Any) -> dict[str, Any]:
    return {"name": name, "description": f"Does {name}", "inputSchema": _OPEN, **told}


@dataclass
class Recording:
    """`acts` are by tool or, where it isn't a tool's, by method. `watched` is noted with each request."""

    era: str = MODERN
    sessions: bool = False
    tools: dict[str, dict[str, Any]] = field(default_factory=dict)
    acts: dict[str, Act] = field(default_factory=dict)
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    watched: Callable[[], int] = lambda: 0
    seen: list[Seen] = field(default_factory=list)
    left: dict[Any, float] = field(default_factory=dict)  # id of a request whose client hung up -> when
    given: dict[str, str] = field(default_factory=dict)  # session -> for whom it was begun
    ears: set[asyncio.StreamWriter] = field(default_factory=set)
    port: int = 0
    _numbers: Any = field(default_factory=itertools.count)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    def calls(self, tool: str = "", method: str = "tools/call") -> list[Seen]:
        found = [one for one in self.seen if one.method == method]
        return [one for one in found if not tool or one.params.get("name") == tool]

    def offer(self, name: str, act: Act = said, **told: Any) -> dict[str, Any]:
        """Have one more tool; its definition."""
        self.acts[name], self.tools[name] = act, definition(name, **told)
        return self.tools[name]

    def tell(self, kind: str = "tools") -> None:
        """Say to whom listens that a list has changed."""
        for writer in self.ears:
            writer.write(chunk(event({"jsonrpc": "2.0", "method": f"notifications/{kind}/list_changed"})))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (seen := await self._read(reader)) is not None:
                self.seen.append(seen)
                await self._answer(seen, reader, writer)
                await writer.drain()
                if writer.transport.is_closing():
                    return
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            self.ears.discard(writer)

    async def hang(self, seen: Seen, reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        """Never answer, and note when the client has had enough."""
        try:
            await reader.read()
        finally:
            self.left[seen.id] = time.time()

    async def _read(self, reader: asyncio.StreamReader) -> Seen | None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return None
        at, written = time.time(), self.watched()
        first, *lines = head.decode("latin-1").rstrip().split("\r\n")
        verb, target, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        return Seen(verb, target, headers, body, head + body, at, written)

    async def _answer(self, seen: Seen, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        act = self.acts.get(str(seen.params.get("name"))) if seen.method == "tools/call" else self.acts.get(seen.method)
        lost = self.sessions and self.era == LEGACY and seen.method != "initialize"
        if lost and seen.headers.get("mcp-session-id") not in self.given:
            writer.write(http(b"", "text/plain", "404 Not Found"))
        elif act is not None:
            await act(seen, reader, writer)
        elif seen.method == "subscriptions/listen" and self.era == MODERN:
            await self._listen(seen, reader, writer)
        else:
            writer.write(self._first(seen))

    async def _listen(self, seen: Seen, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wanted = seen.params.get("notifications", {})
        acknowledged = {"method": "notifications/subscriptions/acknowledged", "params": {"notifications": wanted}}
        writer.write(stream_head() + chunk(event({"jsonrpc": "2.0", **acknowledged})))
        self.ears.add(writer)
        await reader.read()
        self.left[seen.id] = time.time()

    def _first(self, seen: Seen) -> bytes:
        listed = {"tools/list": {"tools": [*self.tools.values()]}, **self.results}
        if seen.method == "server/discover" and self.era == MODERN:
            return answer(seen, _page(supportedVersions=[MODERN], capabilities={"tools": {"listChanged": True}}))
        if seen.method in listed:
            return answer(seen, _page(**listed[seen.method]))
        if self.era == MODERN:
            return http(b"", "text/plain", "404 Not Found")
        return self._legacy(seen)

    def _legacy(self, seen: Seen) -> bytes:
        if seen.method == "initialize":
            given = {
                "protocolVersion": LEGACY,
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "r", "version": "1"},
            }
            if not self.sessions:
                return answer(seen, given)
            session = f"s-{next(self._numbers)}"
            self.given[session] = seen.headers.get("sallyport-identity", "")
            return answer(seen, given, mcp_session_id=session)
        if seen.method.startswith("notifications/"):
            return http(b"", "text/plain", "202 Accepted")
        if seen.verb == "GET":
            return http(b"", "text/plain", "405 Method Not Allowed")
        return http(b"", "text/plain", "200 OK" if seen.verb == "DELETE" else "400 Bad Request")


def _page(**told: Any) -> Mapping[str, Any]:
    return {"resultType": "complete", "ttlMs": 0, "cacheScope": "private", **told}


@asynccontextmanager
async def recording(upstream: Recording) -> AsyncIterator[Recording]:
    async with fake_server(upstream.serve) as upstream.port:
        yield upstream
