"""The hop adds one header; everything else passes as it is, when it is, and as long as both sides are there."""

from __future__ import annotations

import asyncio
from asyncio import IncompleteReadError, StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import count

import pytest

from tests.support.fake_server import Handler, fake_server
from tests.support.header_hop import Way, header_hop

BOUND = 10.0
PLAIN = b"POST /mcp HTTP/1.1\r\nhost: a\r\nX-Odd:  two  blanks\t\r\nContent-Length: 4\r\n\r\nbody"
CHUNKED = b"POST /mcp HTTP/1.1\r\nHost: a\r\ntransfer-encoding: chunked\r\n\r\n4;x=1\r\nbody\r\n0\r\n\r\n"
BARE = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def with_token(request: bytes, number: int) -> bytes:
    line, rest = request.split(b"\r\n", 1)
    return line + b"\r\nAuthorization: Bearer t%d\r\n" % number + rest


@asynccontextmanager
async def through(handle: Handler) -> AsyncIterator[tuple[StreamReader, StreamWriter]]:
    """A connection to the hop, behind which this handler serves; the token tells how often it was asked for."""
    numbers = count()
    async with fake_server(handle) as behind, header_hop(lambda: Way(behind, lambda: f"t{next(numbers)}")) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()


async def test_each_request_gets_a_token_and_no_other_byte_changes() -> None:
    sent = (PLAIN, CHUNKED, BARE, PLAIN)
    expected = b"".join(with_token(request, number) for number, request in enumerate(sent))

    async def handle(reader: StreamReader, writer: StreamWriter) -> None:
        writer.write(await reader.readexactly(len(expected)))
        await writer.drain()
        await reader.read()

    async with through(handle) as (reader, writer):
        writer.write(b"".join(sent))
        assert await asyncio.wait_for(reader.readexactly(len(expected)), BOUND) == expected


async def test_a_piece_of_an_answer_arrives_before_the_next_is_made() -> None:
    went_on = asyncio.Event()

    async def handle(reader: StreamReader, writer: StreamWriter) -> None:
        writer.write(b"data: 1\n\n")
        await went_on.wait()
        writer.write(b"data: 2\n\n")
        await writer.drain()

        await reader.read()

    async with through(handle) as (reader, _):
        assert await asyncio.wait_for(reader.readexactly(9), BOUND) == b"data: 1\n\n"
        went_on.set()
        assert await asyncio.wait_for(reader.readexactly(9), BOUND) == b"data: 2\n\n"


async def test_a_client_that_goes_is_gone_for_the_server() -> None:
    gone = asyncio.Event()

    async def handle(reader: StreamReader, writer: StreamWriter) -> None:
        writer.write(b"there")
        with suppress(ConnectionError):
            assert await reader.read() == b""
        gone.set()

    async with through(handle) as (reader, writer):
        assert await asyncio.wait_for(reader.readexactly(5), BOUND) == b"there"
        writer.close()
        await asyncio.wait_for(gone.wait(), BOUND)


async def test_a_server_that_goes_is_gone_for_the_client_who_has_all_it_said() -> None:
    async def handle(reader: StreamReader, writer: StreamWriter) -> None:
        writer.write(b"x" * 1_000_000)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with through(handle) as (reader, _):
        assert len(await asyncio.wait_for(reader.readexactly(1_000_000), BOUND)) == 1_000_000
        with pytest.raises(IncompleteReadError):
            await asyncio.wait_for(reader.readexactly(1), BOUND)
