"""A load client that costs little: raw keep-alive HTTP/1.1 over asyncio, one request at a time a connection."""

from __future__ import annotations

import asyncio
import ssl
import time
from dataclasses import dataclass

from tests.bench.figures import Figures


@dataclass(frozen=True, slots=True)
class Target:
    """Where to send which request, and what a right answer holds."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    request: bytes
    expected: bytes


def http_request(target_host: str, headers: dict[str, str], body: bytes) -> bytes:
    head = [
        "POST /mcp HTTP/1.1",
        f"host: {target_host}",
        *(f"{k}: {v}" for k, v in headers.items()),
        f"content-length: {len(body)}",
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


async def measure(target: Target, *, clients: int, seconds: float) -> Figures:
    latencies: list[float] = []
    ends = time.perf_counter() + seconds
    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(_client(target, ends, latencies))
    elapsed = time.perf_counter() - started
    return Figures.of(latencies, elapsed)


async def _client(target: Target, ends: float, latencies: list[float]) -> None:
    hostname = "localhost" if target.tls else None
    reader, writer = await asyncio.open_connection(target.host, target.port, ssl=target.tls, server_hostname=hostname)
    while (now := time.perf_counter()) < ends:
        writer.write(target.request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        answer = await reader.readexactly(length)
        if target.expected not in answer:
            raise RuntimeError(f"not the expected answer: {answer[:300]!r}")
        latencies.append(time.perf_counter() - now)
    writer.close()
    await writer.wait_closed()
