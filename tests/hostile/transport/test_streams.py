"""Event streams over real sockets: each whole, each to its own client, and none held up by who doesn't read."""

from __future__ import annotations

import asyncio
import socket

import pytest

from sallyport.pep.model import Answer, Emit, Request
from sallyport.pep.transport import reply
from tests.hostile.transport.conftest import Gate
from tests.support.raw_http import BOUND, RawClient, request
from tests.support.upstream_leg import until

STREAMS = (("Accept", "application/json, text/event-stream"),)
ANSWER = Answer(200, ((b"content-type", b"application/json"),), b'{"jsonrpc":"2.0","id":1,"result":{}}')


async def chunks(client: RawClient) -> list[bytes]:
    """The chunked body of an answer whose head was read."""
    found = []
    while size := int((await client.reader.readuntil(b"\r\n")).strip(), 16):
        found.append(await client.reader.readexactly(size))
        await client.reader.readexactly(2)
    return found


async def test_each_frame_arrives_before_the_next_is_made_and_the_connection_goes_on(gate: Gate) -> None:
    running, go = await gate.start(), asyncio.Event()

    async def handle(request: Request, emit: Emit) -> Answer:
        await emit("notifications/progress", {"progress": 1})
        await go.wait()
        return ANSWER

    gate.handle = handle
    async with RawClient(running.port) as client:
        for _ in range(2):
            go.clear()
            await client.send(request(b"{}", STREAMS))
            head = await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), BOUND)
            assert b"content-type: text/event-stream" in head.lower()
            assert b"content-length" not in head.lower()
            await asyncio.wait_for(client.reader.readuntil(b'"progress":1'), BOUND)
            go.set()
            await asyncio.wait_for(client.reader.readuntil(b"\r\n0\r\n\r\n"), BOUND)
        gate.handle = gate.echo
        assert (await client.ask(request(b"plain", STREAMS))).body == b"plain"


async def test_n1_streams_at_the_same_time_never_cross(gate: Gate) -> None:
    running = await gate.start()

    async def handle(request: Request, emit: Emit) -> Answer:
        tag = int(request.body)
        for number in range(20):
            await emit("notifications/progress", {"tag": tag, "number": number, "pad": "x" * (tag * 50)})
            await asyncio.sleep(0)
        return ANSWER

    async def talk(tag: int) -> None:
        async with RawClient(running.port) as client:
            await client.send(request(str(tag).encode(), STREAMS))
            await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), BOUND)
            frames = await asyncio.wait_for(chunks(client), BOUND)
            assert len(frames) == 21
            assert all(b'"tag":%d,"number":%d' % (tag, number) in frame for number, frame in enumerate(frames[:-1]))

    gate.handle = handle
    await asyncio.gather(*map(talk, range(20)))


async def test_n23_a_client_that_does_not_read_is_cut_and_holds_up_nobody(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reply, "_STALLED", 0.2)
    running, ended = await gate.start(), asyncio.Event()

    async def handle(request: Request, emit: Emit) -> Answer:
        if request.body != b"deaf":
            return await gate.echo(request, emit)
        try:
            while True:
                await emit("notifications/message", {"data": "x" * 65_536})
        finally:
            ended.set()

    gate.handle = handle
    deaf = socket.create_connection(("127.0.0.1", running.port))
    with deaf:
        deaf.sendall(request(b"deaf", STREAMS))
        async with RawClient(running.port) as other, asyncio.timeout(BOUND):
            while not ended.is_set():
                assert (await other.ask(request(b"served", STREAMS))).body == b"served"
        async with asyncio.timeout(BOUND):
            while running.connections:  # noqa: ASYNC110 — the listener's own bookkeeping
                await asyncio.sleep(0.01)


async def test_a_client_that_is_silent_and_there_hears_signs_of_life(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reply, "_KEEP_ALIVE", 0.02)
    running, go = await gate.start(), asyncio.Event()

    async def handle(request: Request, emit: Emit) -> Answer:
        await emit("notifications/progress", {"progress": 1})
        await go.wait()
        return ANSWER

    gate.handle = handle
    async with RawClient(running.port) as client:
        await client.send(request(b"{}", STREAMS))
        for _ in range(3):
            await asyncio.wait_for(client.reader.readuntil(b":\n\n\r\n"), BOUND)
        go.set()
        await asyncio.wait_for(client.reader.readuntil(b"\r\n0\r\n\r\n"), BOUND)
        gate.handle = gate.echo
        assert (await client.ask(request(b"plain", STREAMS))).body == b"plain"


async def test_n23_a_stream_that_its_client_leaves_ends_at_once(gate: Gate) -> None:
    running, begun, ended = await gate.start(), asyncio.Event(), asyncio.Event()

    async def handle(request: Request, emit: Emit) -> Answer:
        await emit("notifications/progress", {"progress": 1})
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return ANSWER

    gate.handle = handle
    async with RawClient(running.port) as client:
        await client.send(request(b"{}", STREAMS))
        await asyncio.wait_for(begun.wait(), BOUND)
    await until(ended.is_set, 1)
