"""An HTTP client that sends whatever bytes it is given, over plain sockets or TLS."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

BOUND = 30.0  # seconds; no wait in a test is longer


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes = field(repr=False)


class RawClient:
    """One connection. Use it in `async with`; it is aborted on leaving."""

    def __init__(self, port: int, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self._where = (host, port)
        self._tls = tls
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> Self:
        name = "localhost" if self._tls else None
        opened = asyncio.open_connection(*self._where, ssl=self._tls, server_hostname=name, limit=1 << 22)
        self._reader, self._writer = await asyncio.wait_for(opened, BOUND)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, _: object, trace: TracebackType | None) -> None:
        self.abort()

    @property
    def reader(self) -> asyncio.StreamReader:
        if self._reader is None:
            raise RuntimeError("not connected")
        return self._reader

    @property
    def writer(self) -> asyncio.StreamWriter:
        if self._writer is None:
            raise RuntimeError("not connected")
        return self._writer

    def abort(self) -> None:
        self.writer.transport.abort()

    async def send(self, data: bytes) -> None:
        """Send; a peer that has already closed is no error: what it answered before is still read."""
        try:
            self.writer.write(data)
            await asyncio.wait_for(self.writer.drain(), BOUND)
        except (ConnectionError, ssl.SSLError):
            pass

    async def reply(self) -> Reply:
        """Read one whole answer; ConnectionError where the peer closes instead."""
        try:
            return await asyncio.wait_for(self._reply(), BOUND)
        except (asyncio.IncompleteReadError, ssl.SSLError) as error:
            raise ConnectionError("closed without a whole answer") from error

    async def ask(self, data: bytes) -> Reply:
        await self.send(data)
        return await self.reply()

    async def closed(self) -> bytes:
        """Wait until the peer has closed, and give what it still sent."""
        try:
            return await asyncio.wait_for(self.reader.read(), BOUND)
        except (ConnectionError, ssl.SSLError):
            return b""

    async def _reply(self) -> Reply:
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in lines[1:] if line)}
        body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return Reply(int(lines[0].split(" ")[1]), headers, body)


def request(
    body: bytes = b"",
    headers: Iterable[tuple[str, str]] = (),
    *,
    method: str = "POST",
    target: str = "/mcp",
    host: str = "localhost",
    length: bool = True,
) -> bytes:
    """A well-formed request, Content-Length included unless `length` is off."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in headers]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body
