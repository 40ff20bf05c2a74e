"""A hop on loopback that adds `Authorization` to each request and changes nothing else, not even where a piece ends.

It is for clients that can set no header, such as the conformance suite: plain HTTP/1.1 towards them, TLS towards the gate.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from asyncio import IncompleteReadError, StreamReader, StreamWriter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from tests.support.fake_server import fake_server

_PIECE: Final = 1 << 16
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]+)[ \t]*\r\n", re.IGNORECASE)
_CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding:[ \t]*chunked[ \t]*\r\n", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Way:
    """Where to, and with which token; both are asked for anew: the gate may start after the hop."""

    port: int
    token: Callable[[], str]
    tls: ssl.SSLContext | None = None


@asynccontextmanager
async def header_hop(way: Callable[[], Way]) -> AsyncIterator[int]:
    """Tell the port on which it listens."""

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        chosen = way()
        name = "localhost" if chosen.tls else None
        there, back = await asyncio.open_connection("127.0.0.1", chosen.port, ssl=chosen.tls, server_hostname=name)
        try:
            await _both_ways(_requests(reader, back, chosen.token), _answers(there, writer))
        finally:
            back.transport.abort()
            with contextlib.suppress(OSError):
                await back.wait_closed()

    async with fake_server(serve) as port:
        yield port


async def _both_ways(asking: asyncio.Future[None], answering: asyncio.Future[None]) -> None:
    """Until one side is gone; then the other is, too."""
    both = (asking, answering)
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in both:
            task.cancel()
        await asyncio.gather(*both, return_exceptions=True)


def _answers(reader: StreamReader, writer: StreamWriter) -> asyncio.Future[None]:
    async def pump() -> None:
        while piece := await reader.read(_PIECE):
            writer.write(piece)
            await writer.drain()
        writer.close()  # not aborted: the last piece may still be on its way
        await writer.wait_closed()

    return asyncio.ensure_future(pump())


def _requests(reader: StreamReader, writer: StreamWriter, token: Callable[[], str]) -> asyncio.Future[None]:
    async def pump() -> None:
        with contextlib.suppress(IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                line, rest = head.split(b"\r\n", 1)
                writer.write(line + b"\r\nAuthorization: Bearer " + token().encode() + b"\r\n" + rest)
                await _body(head, reader, writer)

    return asyncio.ensure_future(pump())


async def _body(head: bytes, reader: StreamReader, writer: StreamWriter) -> None:
    if _CHUNKED.search(head):
        await _chunks(reader, writer)
    elif length := _LENGTH.search(head):
        writer.write(await reader.readexactly(int(length[1])))
    await writer.drain()


async def _chunks(reader: StreamReader, writer: StreamWriter) -> None:
    size = -1
    while size:
        line = await reader.readuntil(b"\r\n")
        size = int(line.split(b";")[0], 16)
        writer.write(line + await reader.readexactly(size + 2))
