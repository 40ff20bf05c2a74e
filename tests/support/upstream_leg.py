"""The gate's upstream leg, and opponents that it may meet: raw servers that say what a test tells them to."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from sallyport.contract.surfaces import Upstream, UpstreamLimits
from sallyport.pep.egress import Egress
from sallyport.pep.model import Envelope, Era, Failed, Identity, Json, Reply
from sallyport.pep.settings import EgressEntry
from sallyport.pep.upstream import Forward, Upstreams, UpstreamSettings
from sallyport.pep.upstream.files import Files
from sallyport.runtime import canonical_json
from tests.support.fake_server import fake_server
from tests.support.stopwatch import Stopwatch

MODERN, LEGACY = Era.MODERN.value, Era.LEGACY.value
BOUND = 30.0  # seconds; no wait in a test is longer
_DECISIONS = itertools.count()


def who(user: str = "alice", agent: str = "coding-bot", org: str = "acme", issuer: str = "laptop") -> Identity:
    return Identity(issuer, user, agent, org, f"d-{next(_DECISIONS)}")


def forward(method: str = "tools/call", params: Mapping[str, Json] | None = None, **told: Any) -> Forward:
    """A judged request, by default the call of `echo` by alice."""
    given: dict[str, Json] = {"name": "echo", "arguments": {}} if params is None else dict(params)
    name = given.get("name") or given.get("uri") or ""
    told = {
        "envelope": Envelope(7, Era.MODERN, MODERN, method),
        "identity": who(),
        "timeout_ms": 5000,
        "result_bytes": 64 << 10,
        **told,
    }
    return Forward(method=method, name=str(name), params=canonical_json.encode(given), digest="0" * 64, **told)


def envelope(**told: Any) -> Envelope:
    return Envelope(7, Era.MODERN, MODERN, "tools/call", **told)


@dataclass
class Client:
    """What one request did to its client: whether it began, and what it heard."""

    begun: int = 0
    heard: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def begin(self) -> None:
        self.begun += 1

    async def emit(self, method: str, params: Mapping[str, Json]) -> None:
        self.heard.append((method, dict(params)))


@dataclass
class Gate:
    """The leg to one upstream."""

    upstreams: Upstreams
    upstream: Upstream
    name: str = "crm"

    async def ask(self, asked: Forward | None = None, client: Client | None = None) -> Reply | Failed:
        told = client or Client()
        return await self.upstreams.request(
            self.name, self.upstream, asked or forward(), begun=told.begin, emit=told.emit
        )

    def at(self, **limits: int) -> Gate:
        """The same upstream under other limits."""
        changed = self.upstream.model_copy(update={"limits": UpstreamLimits(**limits)})
        return Gate(self.upstreams, changed, self.name)


@asynccontextmanager
async def leg(*ports: int, tls: Files | None = None) -> AsyncIterator[Upstreams]:
    """To these ports of this machine, and nowhere else."""
    listed = [EgressEntry(destination=f"127.0.0.1:{port}") for port in ports]
    upstreams = Upstreams(UpstreamSettings("1.2.3", tls or Files(None)), Egress(listed), None)
    try:
        yield upstreams
    finally:
        await upstreams.close()


@asynccontextmanager
async def gate(port: int, era: str = "auto", **limits: int) -> AsyncIterator[Gate]:
    async with leg(port) as upstreams:
        upstream = Upstream(url=f"http://127.0.0.1:{port}/mcp", era=era, limits=UpstreamLimits(**limits))  # type: ignore[arg-type]
        yield Gate(upstreams, upstream)


@dataclass(frozen=True)
class Got:
    """One HTTP request as an upstream sees it."""

    verb: str
    target: str
    headers: dict[str, str]
    raw: bytes

    @property
    def message(self) -> dict[str, Any]:
        found = json.loads(self.raw) if self.raw else {}
        return found if isinstance(found, dict) else {}

    @property
    def method(self) -> str:
        return str(self.message.get("method", ""))

    @property
    def id(self) -> Any:
        return self.message.get("id")


async def read_request(reader: asyncio.StreamReader) -> Got | None:
    """The next one; None: the connection has ended."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    first, *lines = head.rstrip().split("\r\n")
    pairs = [line.partition(": ") for line in lines]
    headers = {name.lower(): value for name, _, value in pairs}
    assert len(headers) == len(pairs), "a header twice"
    verb, target, _ = first.split(" ")
    return Got(verb, target, headers, await reader.readexactly(int(headers.get("content-length", 0))))


def http(body: bytes, kind: str = "application/json", status: str = "200 OK", **headers: str) -> bytes:
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n{more}\r\n".encode() + body


def stream_head(**headers: str) -> bytes:
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n{more}\r\n".encode()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def event(message: Any) -> bytes:
    return b"event: message\ndata: " + json.dumps(message).encode() + b"\n\n"


def result(request: Got, value: Any = None) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": request.id, "result": value if value is not None else {"resultType": "complete"}}


def answer(request: Got, value: Any = None, **headers: str) -> bytes:
    return http(json.dumps(result(request, value)).encode(), **headers)


Say = Callable[[Got, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Opponent:
    """Answers what has to come first as its era does, and leaves the rest to `say`."""

    say: Say
    era: str = MODERN
    session: bool = False  # legacy: give out session ids
    got: list[Got] = field(default_factory=list)
    connections: int = 0
    open: int = 0
    sessions: set[str] = field(default_factory=set)
    serials: Any = field(default_factory=itertools.count)

    def calls(self, method: str = "tools/call") -> list[Got]:
        return [one for one in self.got if one.method == method]

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        try:
            while (request := await read_request(reader)) is not None:
                self.got.append(request)
                first = self.first(request)
                if first:
                    writer.write(first)
                else:
                    await self.say(request, reader, writer)
                await writer.drain()
                if writer.transport.is_closing():
                    return
        except ConnectionError:
            return
        finally:
            self.open -= 1
            writer.close()

    def first(self, request: Got) -> bytes:  # noqa: PLR0911 — a case each
        """The answer to what isn't the test's own; none: leave it to `say`."""
        if request.method == "server/discover":
            if self.era == MODERN:
                return answer(request, {"resultType": "complete", "supportedVersions": [MODERN], "capabilities": {}})
            return http(b"", "text/plain", "400 Bad Request")
        if request.method == "initialize":
            given = {"protocolVersion": LEGACY, "capabilities": {}, "serverInfo": {"name": "s", "version": "1"}}
            if not self.session:
                return answer(request, given)
            session = f"s-{next(self.serials)}"
            self.sessions.add(session)
            return answer(request, given, mcp_session_id=session)
        if self.era == LEGACY and request.verb == "DELETE":
            self.sessions.discard(request.headers["mcp-session-id"])
            return http(b"", "text/plain")
        if self.era == LEGACY and request.method.startswith("notifications/"):
            return http(b"", "text/plain", "202 Accepted")
        lost = request.headers.get("mcp-session-id") not in self.sessions
        return http(b"", "text/plain", "404 Not Found") if self.session and lost else b""


@asynccontextmanager
async def against(
    say: Say, era: str = MODERN, *, asked: str = "auto", session: bool = False, **limits: int
) -> AsyncIterator[tuple[Gate, Opponent]]:
    """The gate before an opponent that speaks `era`; the catalog says `asked`."""
    opponent = Opponent(say, era, session)
    async with fake_server(opponent) as port, gate(port, asked, **limits) as before:
        yield before, opponent


async def echo(request: Got, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer with what was asked."""
    writer.write(answer(request, {"resultType": "complete", "content": [], "got": request.message["params"]}))


def saying(*pieces: bytes | Callable[[Got], bytes], end: bool = False) -> Say:
    """Write these, one after the other, and at the end hang up or not."""

    async def say(request: Got, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece if isinstance(piece, bytes) else piece(request))
            await writer.drain()
            await asyncio.sleep(0)
        if end:
            writer.close()

    return say


async def until(condition: Callable[[], bool], seconds: float = BOUND) -> None:
    """Look again and again until it holds."""
    since = Stopwatch()
    while not condition():
        assert since.seconds < seconds, "it never came to be"
        await asyncio.sleep(0.005)
