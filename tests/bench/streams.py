"""`python -m tests.bench streams`: many open subscriptions, their memory, and what they cost everybody else's calls."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvloop
import yaml

from sallyport.runtime.tls import client_context
from tests.bench.figures import Figures, resident_mib, say
from tests.bench.load import Target, http_request, measure
from tests.bench.measuring import META, SECONDS, VERSION
from tests.support import laptop
from tests.support.laptop import Up

STREAMS = int(os.environ.get("STREAMS", "10000"))
_AT_ONCE = 16  # handshakes
_LISTEN = {"jsonrpc": "2.0", "id": 7, "method": "subscriptions/listen"}


def run() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        directory = laptop.init(Path(scratch) / "gate")
        roomy(directory)
        with laptop.up(directory) as running:
            uvloop.run(_measured(directory, running))
    say()


def roomy(directory: Path) -> None:
    """As many connections as streams are wanted, and some for the calls beside them."""
    path = directory / "pep.yaml"
    chosen: dict[str, Any] = yaml.safe_load(path.read_text())
    places = {"connections": min(65_536, STREAMS + 256), "streams": STREAMS, "streams_per_caller": STREAMS}
    chosen["limits"] = {**chosen.get("limits", {}), **places}
    chosen["pdp"]["deadline_ms"] = 5000  # opening them all at once isn't what is measured
    path.write_text(yaml.safe_dump(chosen))


async def _measured(directory: Path, running: Up) -> None:
    url = urlsplit(running.endpoint.mcp_url)
    host, port = str(url.hostname), int(url.port or 0)
    tls = client_context(Path(running.endpoint.ca_file))
    token = laptop.token(directory, ttl=3600)
    unary = Target(host, port, tls, _request(url.netloc, token, "tools/list", {}), b'"tools"')
    await measure(unary, clients=8, seconds=1)  # warm
    before, alone = resident_mib(running.endpoint.pep), await measure(unary, clients=8, seconds=SECONDS)
    wanted = {"notifications": {"toolsListChanged": True}}
    streams = await _opened(host, port, tls, _request(url.netloc, token, "subscriptions/listen", wanted))
    beside, after = await measure(unary, clients=8, seconds=SECONDS), resident_mib(running.endpoint.pep)
    say(
        f"{len(streams)} open streams: PEP {before:.0f} -> {after:.0f} MiB, {(after - before) * 1024 / len(streams):.0f} KiB each"
    )
    _say("tools/list alone", alone)
    _say("with the streams", beside)
    say(f"p99 with streams / alone: {beside.p99 / alone.p99:.2f}")
    for writer in streams:
        writer.transport.abort()


def _say(name: str, figures: Figures) -> None:
    say(f"c8  {name:<24}{figures.per_second:>6.0f}/s  p50 {figures.p50:.2f}  p99 {figures.p99:.2f} ms")


def _request(host: str, token: str, method: str, params: dict[str, Any]) -> bytes:
    headers = {
        "authorization": f"Bearer {token}",
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": VERSION,
        "mcp-method": method,
    }
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {"_meta": META, **params}}
    return http_request(host, headers, json.dumps(body).encode())


async def _opened(host: str, port: int, tls: ssl.SSLContext, request: bytes) -> list[asyncio.StreamWriter]:
    places = asyncio.Semaphore(_AT_ONCE)

    async def one() -> asyncio.StreamWriter:
        async with places:
            reader, writer = await asyncio.open_connection(host, port, ssl=tls, server_hostname="localhost")
            writer.write(request)
            acknowledged = await asyncio.wait_for(reader.readuntil(b"acknowledged"), 60)
            assert b"text/event-stream" in acknowledged
            return writer

    return list(await asyncio.gather(*(one() for _ in range(STREAMS))))
