"""N25: answers that grow, nest, never end or lead elsewhere are cut; the gate stays small, and other upstreams are served."""

from __future__ import annotations

import asyncio
import gzip
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pytest

from tests.hostile.through.front import Front, front, tool
from tests.support.fake_server import fake_server
from tests.support.recording_upstream import Recording, Seen
from tests.support.upstream_leg import answer, chunk, event, http, stream_head, until

TIMEOUT_MS: Final = 3000
CAP: Final = 64 << 10
GROWTH: Final = 48 << 20  # bytes of memory, for all bombs at once
LAYER: Final = gzip.compress(bytes(32 << 20))
Write = Callable[[Any], Awaitable[None]]


def forever(head: bytes, piece: Callable[[Seen], bytes]) -> Any:
    """This head, and then the same again and again, for as long as anybody reads it."""

    async def act(seen: Seen, _reader: Any, writer: Any) -> None:
        writer.write(head.replace(b"ID", str(seen.id).encode()))
        with suppress(ConnectionError):
            while not writer.transport.is_closing():
                writer.write(piece(seen))
                await writer.drain()

    return act


async def drip(_seen: Seen, _reader: Any, writer: Any) -> None:
    """A byte now and then: never idle, and never done."""
    writer.write(stream_head())
    while not writer.transport.is_closing():
        writer.write(chunk(b":"))
        await asyncio.sleep(0.2)


def once(say: Callable[[Seen], bytes]) -> Any:
    async def act(seen: Seen, _reader: Any, writer: Any) -> None:
        with suppress(ConnectionError):
            writer.write(say(seen))
            await writer.drain()

    return act


def saying(data: bytes) -> Any:
    return once(lambda _: data)


def packed(coding: str, data: bytes, kind: str = "application/json") -> Any:
    return once(lambda _: http(data, kind, content_encoding=coding))


def nested(seen: Seen, depth: int) -> bytes:
    text = '{"jsonrpc":"2.0","id":%d,"result":{"resultType":"complete","content":[],"_meta":{"a":%s}}}'
    return http((text % (seen.id, "[" * depth + "]" * depth)).encode())


JSON_HEAD: Final = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
CHUNKED: Final = JSON_HEAD + b"transfer-encoding: chunked\r\n\r\n"
BOMBS: Final[dict[str, Any]] = {
    "gzip": packed("gzip", LAYER),
    "gzip.twice": packed("gzip, gzip", gzip.compress(LAYER)),
    "deflate": packed("deflate", LAYER),
    "br": packed("br", bytes.fromhex("5bffffff032046c20000") * 64),
    "zstd": packed("zstd", bytes.fromhex("28b52ffda40000002054") + bytes(64)),
    "gzip.of.an.error": once(lambda _: http(LAYER, status="500 X", content_encoding="gzip")),
    "gzip.stream": packed("gzip", LAYER, "text/event-stream"),
    "endless.json": forever(CHUNKED + chunk(b'{"jsonrpc":"2.0","id":ID,"result":{"a":"'), lambda _: chunk(bytes(8192))),
    "endless.blanks": forever(CHUNKED, lambda _: chunk(b" " * 8192)),
    "a.long.length": once(lambda _: JSON_HEAD + b"content-length: 99999999999\r\n\r\n" + b" " * 8192),
    "an.endless.error": forever(CHUNKED.replace(b"200 OK", b"500 X"), lambda _: chunk(bytes(8192))),
    "endless.comments": forever(stream_head(), lambda _: chunk(b": x\n\n" * 1000)),
    "an.endless.event": forever(stream_head() + chunk(b"data: "), lambda _: chunk(b"x" * 8192)),
    "endless.data.lines": forever(stream_head(), lambda _: chunk(b"data: x\n" * 1000)),
    "endless.notices": forever(stream_head(), lambda seen: chunk(b"".join([event(noise(seen))] * 100))),
    "deep.70": once(lambda seen: nested(seen, 70)),
    "deep.30000": once(lambda seen: nested(seen, 30_000)),
    "many.keys": once(lambda seen: answer(seen, {f"k{number}": number for number in range(200_000)})),
    "a.long.text": once(lambda seen: answer(seen, {"resultType": "complete", "content": text_of(CAP * 16)})),
    "long.header": forever(JSON_HEAD + b"x-pad: ", lambda _: b"y" * 8192),
    "many.headers": forever(JSON_HEAD, lambda _: b"x-pad: y\r\n" * 500),
    "endless.hints": forever(b"", lambda _: b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" * 100),
    "drip": drip,
    "endless.trailers": forever(CHUNKED + b"0\r\n", lambda _: b"x-pad: y\r\n" * 500),
}


def noise(seen: Seen) -> dict[str, Any]:
    params = {"progressToken": seen.id + 1, "progress": 1}
    return {"jsonrpc": "2.0", "method": "notifications/progress", "params": params}


def text_of(size: int) -> list[dict[str, Any]]:
    return [{"type": "text", "text": "x" * size}]


class Canary:
    """Where redirects lead: nobody may come."""

    def __init__(self) -> None:
        self.connections = 0

    async def serve(self, _reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        self.connections += 1


@pytest.fixture(scope="module")
async def canary() -> AsyncIterator[Canary]:
    """Redirects to it are among the bombs."""
    made = Canary()
    async with fake_server(made.serve) as port:
        for status in ("301 X", "302 X", "303 X", "307 X", "308 X"):
            for where in (f"http://127.0.0.1:{port}/mcp", "/elsewhere"):
                moved = http(bytes(CAP * 4), status=status, location=where)
                BOMBS[f"redirect.{status[:3]}.{'elsewhere' in where}"] = saying(moved)
        yield made


@pytest.fixture(scope="module")
def hostile(canary: Canary) -> Recording:
    made = Recording()
    for name, act in BOMBS.items():
        made.offer(name, act)
    return made


@pytest.fixture(scope="module")
async def gate(tmp_path_factory: pytest.TempPathFactory, hostile: Recording) -> AsyncIterator[Front]:
    fair = Recording()
    fair.offer("fair")
    limits = {"timeout_ms": TIMEOUT_MS, "result_bytes": CAP}
    catalog = {
        "tools": [
            *(tool(name, found, limits=limits) for name, found in hostile.tools.items()),
            tool("fair", fair.tools["fair"]),
        ]
    }
    directory = tmp_path_factory.mktemp("bombs") / "laptop"
    async with fake_server(hostile.serve) as port:
        # An upstream each: of one that fails so often, the circuit would be open.
        entries: dict[str, Any] = {name: {"url": f"http://127.0.0.1:{port}/mcp"} for name in BOMBS}
        async with front(directory, {"fair": fair}, catalog, entries={**entries, "fair": {}}) as made:
            yield made


def memory(gate: Front) -> int:
    """What the PEP holds in memory now, and what it held at most."""
    text = Path(f"/proc/{gate.running.endpoint.pep}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", text)
    assert found
    return int(found[1]) << 10


async def test_n25_every_bomb_is_cut_and_the_gate_stays_small(gate: Front, hostile: Recording, canary: Canary) -> None:
    """All at once, while calls to another upstream go on."""
    for _ in range(20):
        await gate.call("fair")
    before, most, served = memory(gate), 0, 0
    watch = gate.stopwatch()

    async def cut(name: str) -> None:
        answered = await gate.call(name)
        assert answered.size < CAP, name
        assert "result" not in answered.message or answered.result["isError"], (name, answered)
        assert b"xxxxxxxx" not in str(answered.message).encode()

    bombs = asyncio.gather(*(cut(name) for name in BOMBS))
    while not bombs.done():
        assert (await gate.call("fair", {"tag": "y"})).text == "y"
        most, served = max(most, memory(gate)), served + 1
    await bombs
    assert watch.seconds < TIMEOUT_MS / 1000 * 4
    assert served >= 3  # while the slowest bomb alone takes its whole time, of which opponents here take their part
    assert most - before < GROWTH
    assert canary.connections == 0
    assert {call.params["name"] for call in hostile.calls()} == BOMBS.keys()
    assert {seen.target for seen in hostile.seen} == {"/mcp"}
    await until(lambda: len(outcomes(gate)) == len(BOMBS))
    assert {*outcomes(gate)} == {"failed"}


def outcomes(gate: Front) -> list[str]:
    """Of all calls but the fair ones."""
    ends = {one["decision_id"]: one["outcome"] for one in gate.record("outcome")}
    bombs = [one for one in gate.record("intent") if one.get("tool") in BOMBS]
    return [ends[one["decision_id"]] for one in bombs if one["decision_id"] in ends]
