"""Sizes, counts and deadlines, at the socket."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from sallyport.pep.model import Answer, Emit, Request
from sallyport.pep.refusal import Reason
from tests.hostile.transport.conftest import HURRIED, LIMITS, Gate
from tests.support.raw_http import BOUND, RawClient, request
from tests.support.stopwatch import Stopwatch

CHUNKED = request(headers=[("Transfer-Encoding", "chunked")], length=False)


async def trickle(client: RawClient, data: bytes) -> None:
    """Send a byte every 20 ms for ever: the deadline must not care."""
    while not client.writer.transport.is_closing():
        await client.send(data)
        await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("begin", "drop"), [(b"", b"P"), (b"POST /mcp HTTP/1.1\r\nX-A: ", b"a"), (request(b"x" * 4096)[:-4000], b"x")]
)
async def test_n24_a_slow_request_is_cut_at_the_deadline_while_another_is_served(
    gate: Gate, begin: bytes, drop: bytes
) -> None:
    running = await gate.start(HURRIED)
    async with RawClient(running.port) as slow, RawClient(running.port) as good:
        since = Stopwatch()
        await slow.send(begin)
        drip = asyncio.create_task(trickle(slow, drop))
        assert (await good.ask(request(b"{}"))).status == 200
        answer = await slow.closed()
        taken = since.seconds
        drip.cancel()
        assert answer.startswith((b"HTTP/1.1 408 ", b"HTTP/1.1 400 "))
        assert taken < 2
        assert (await good.ask(request(b"{}"))).status == 200


async def test_n24_a_silent_connection_is_cut_at_the_deadline(gate: Gate) -> None:
    running = await gate.start(HURRIED)
    async with RawClient(running.port) as silent:
        assert (await silent.closed()).startswith(b"HTTP/1.1 408 ")
    await gate.refusals.wait_for(Reason.TIMEOUT)


async def test_n24_the_deadline_holds_for_the_second_request_too(gate: Gate) -> None:
    running = await gate.start(HURRIED)
    async with RawClient(running.port) as client:
        assert (await client.ask(request(b"{}"))).status == 200
        await client.send(b"POST /mcp")
        assert (await client.closed()).startswith(b"HTTP/1.1 408 ")


async def test_an_idle_connection_is_closed_without_a_word(gate: Gate) -> None:
    running = await gate.start(dataclasses.replace(LIMITS, idle_seconds=0.1))
    async with RawClient(running.port) as client:
        assert (await client.ask(request(b"{}"))).status == 200
        assert await client.closed() == b""
    assert gate.refusals.seen == []


@pytest.mark.parametrize(
    ("data", "status", "part"),
    [
        (request(b"x" * 4097), 413, "Content-Length"),
        (request(headers=[("Content-Length", "99999999999")], length=False), 413, "Content-Length"),
        (CHUNKED + b"1001\r\n" + b"x" * 4097, 413, "body over"),
        (CHUNKED + b"800\r\n" + b"x" * 2048 + b"\r\n" + b"801\r\n" + b"x" * 2049, 413, "body over"),
        (CHUNKED + b"1;" + b"e" * 80_000 + b"\r\n", 413, "framing"),
        (request(headers=[(f"X-{i}", "a") for i in range(10_000)]), 431, "header"),
        (request(headers=[(f"X-{i}", "a") for i in range(64)]), 431, "header"),
        (request(headers=[("X-Long", "a" * 20_000)]), 431, "head"),
        (b"POST /mcp HTTP/1.1\r\nHost: a\r\nX-Endless: " + b"a" * 30_000, 431, "head"),
        (request(target="/mcp?" + "a" * 3_000), 414, "target"),
    ],
)
async def test_n24_what_is_too_large_is_refused_at_the_cap(gate: Gate, data: bytes, status: int, part: str) -> None:
    running = await gate.start()
    async with RawClient(running.port) as client:
        assert (await client.ask(data)).status == status
        await client.closed()
    await gate.refusals.wait_for(Reason.TOO_LARGE, part)
    assert not gate.requests


@pytest.mark.parametrize("target", ["/mcp", "/nothing", "/mcp/", "/.well-known/x"])
async def test_n24_the_body_cap_holds_on_every_path(gate: Gate, target: str) -> None:
    running = await gate.start()
    async with RawClient(running.port) as client:
        assert (await client.ask(request(b"x" * 4097, target=target))).status == 413


async def test_a_body_at_the_cap_is_taken_plain_and_chunked(gate: Gate) -> None:
    running = await gate.start()
    async with RawClient(running.port) as client:
        assert (await client.ask(request(b"x" * 4096))).body == b"x" * 4096
        assert (await client.ask(CHUNKED + b"1000\r\n" + b"x" * 4096 + b"\r\n0\r\n\r\n")).body == b"x" * 4096


async def test_a_client_that_asks_first_is_told_to_go_on(gate: Gate) -> None:
    running = await gate.start()
    data = request(b"hello", [("Expect", "100-continue")])
    async with RawClient(running.port) as client:
        await client.send(data[:-5])
        assert (await client.reply()).status == 100
        assert (await client.ask(b"hello")).body == b"hello"


async def test_n26_silent_connections_give_way_to_a_newcomer(gate: Gate) -> None:
    running = await gate.start(dataclasses.replace(LIMITS, connections=4))
    silent = [await RawClient(running.port).__aenter__() for _ in range(12)]
    async with RawClient(running.port) as client:
        assert (await client.ask(request(b"{}"))).status == 200
    await gate.refusals.wait_for(Reason.OVERLOADED, "make room")
    assert running.connections <= 4
    for connection in silent:
        connection.abort()


async def test_n26_a_connection_at_work_is_never_cut_for_a_newcomer(gate: Gate) -> None:
    running = await gate.start(dataclasses.replace(LIMITS, connections=1))
    started, go = asyncio.Event(), asyncio.Event()

    async def handle(request: Request, emit: Emit) -> Answer:
        started.set()
        await go.wait()
        return Answer(200, (), b"done")

    gate.handle = handle
    async with RawClient(running.port) as first:
        await first.send(request(b"{}"))
        await asyncio.wait_for(started.wait(), BOUND)
        async with RawClient(running.port) as second:
            await second.closed()
        await gate.refusals.wait_for(Reason.OVERLOADED, "at work")
        go.set()
        assert (await first.reply()).body == b"done"


async def test_n24_500_slow_connections_are_all_cut_and_the_descriptors_come_back(gate: Gate) -> None:
    running = await gate.start(HURRIED)
    slow = [await RawClient(running.port).__aenter__() for _ in range(500)]
    async with RawClient(running.port) as good:
        assert (await good.ask(request(b"{}"))).status == 200
        await asyncio.gather(*(client.closed() for client in slow))
        assert (await good.ask(request(b"{}"))).status == 200
    for client in slow:
        client.abort()
    await asyncio.wait_for(running.emptied(), BOUND)
