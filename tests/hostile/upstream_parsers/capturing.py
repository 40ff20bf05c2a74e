"""What reaches an upstream of each request to a running gate, and what the PDP's own record says that it judged."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from asyncio import IncompleteReadError, StreamReader, StreamWriter
from collections.abc import AsyncIterator, Iterable
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from sallyport.audit import Masker
from sallyport.runtime import canonical_json, strict_json
from tests.hostile.upstream_parsers.bodies import TOOL
from tests.support import guarded, laptop
from tests.support.fake_server import fake_server
from tests.support.laptop import Up
from tests.support.raw_http import RawClient, request

DEFINITION: Final = {"name": TOOL, "description": "Takes anything", "inputSchema": {"type": "object"}}
_RESULTS: Final[dict[str, dict[str, Any]]] = {
    "tools/list": {"tools": [DEFINITION]},
    "tools/call": {"content": []},
    "server/discover": {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}},
}
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *([0-9]+)\r\n", re.IGNORECASE)
_METHOD: Final = re.compile(rb"\r\nmcp-method: *([a-z/]+)\r\n", re.IGNORECASE)
_ID: Final = re.compile(rb'"id":([0-9]+)')
_POLICY: Final = f'@id("anything") permit (principal, action == Action::"{TOOL}", resource);\n'


@dataclass
class Recording:
    """An upstream that keeps the bodies of tools/call, and parses nothing."""

    bodies: list[bytes] = field(default_factory=list)

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        with suppress(IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                method, body = _found(_METHOD, head), await reader.readexactly(int(_found(_LENGTH, head)))
                if method == b"tools/call":
                    self.bodies.append(body)
                writer.write(_answer(method.decode(), body))
                await writer.drain()


def _found(pattern: re.Pattern[bytes], data: bytes) -> bytes:
    found = pattern.search(data)
    assert found, data
    return found[1]


def _answer(method: str, body: bytes) -> bytes:
    result = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private", **_RESULTS[method]}
    answer = json.dumps({"jsonrpc": "2.0", "id": int(_found(_ID, body)), "result": result}).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(answer), answer)


@dataclass(frozen=True, slots=True)
class Gate:
    running: Up
    upstream: Recording

    async def captured(self, bodies: Iterable[bytes]) -> list[bytes]:
        """What reached the upstream of these requests, in order."""
        before = len(self.upstream.bodies)
        here = self.running.endpoint
        trust = ssl.create_default_context(cafile=here.ca_file)
        async with RawClient(urlsplit(here.mcp_url).port or 0, trust) as client:
            for body in bodies:
                reply = await client.ask(request(body, self._headers()))
                assert reply.status < 500, reply.body
        return self.upstream.bodies[before:]

    def judged(self) -> list[str]:
        """The PDP's keyed hash of every call that it permitted, in order."""
        found = laptop.records(self.running.directory, "pdp")
        return [one["request_hmac"] for one in found if one.get("actions") == [TOOL] and one.get("effect") == "permit"]

    def hashed(self, received: bytes) -> str:
        """The same hash, of the arguments as we read them in what the upstream received."""
        message: Any = strict_json.parse(received)
        arguments = canonical_json.encode(message["params"]["arguments"])
        masker = Masker.from_file(self.running.directory / "pki/audit/masking.key")
        return masker.request(TOOL.encode() + b"\0" + arguments)

    def _headers(self) -> list[tuple[str, str]]:
        return [
            ("Authorization", f"Bearer {laptop.token(self.running.directory)}"),
            ("Content-Type", "application/json"),
            ("Accept", "application/json, text/event-stream"),
            ("MCP-Protocol-Version", "2026-07-28"),
            ("Mcp-Method", "tools/call"),
            ("Mcp-Name", TOOL),
        ]


@asynccontextmanager
async def gate(directory: Path) -> AsyncIterator[Gate]:
    upstream = Recording()
    async with fake_server(upstream.serve) as port:
        guarded.behind(directory, f"http://127.0.0.1:{port}/mcp", _POLICY, {"tools": [guarded.tool(DEFINITION)]})
        with ExitStack() as stack:
            # In a thread: the upstream answers in this loop, and the gate isn't ready before it has.
            running = await asyncio.to_thread(stack.enter_context, laptop.up(directory, "--no-restart"))
            yield Gate(running, upstream)
