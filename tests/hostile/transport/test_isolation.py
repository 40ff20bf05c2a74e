"""Nobody's request, answer or end touches another's."""

from __future__ import annotations

import asyncio
import json

import pytest

from sallyport.pep.model import Answer, Emit, Request
from tests.hostile.transport.conftest import Gate
from tests.support import pki
from tests.support.raw_http import BOUND, RawClient, request


async def test_n1_equal_ids_on_many_connections_never_cross(gate: Gate) -> None:
    running = await gate.start(context=gate.context())
    context = pki.authority().client_context(pki.authority().client())
    waiting: list[asyncio.Future[None]] = []

    async def handle(request: Request, emit: Emit) -> Answer:
        # Released only in reverse order of arrival, so answers and requests interleave.
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting.append(turn)
        if len(waiting) == 20:
            for other in reversed(waiting):
                other.set_result(None)
            waiting.clear()
        await turn
        return Answer(200, (), request.body)

    async def talk(tag: int) -> None:
        async with RawClient(running.port, context) as client:
            for turn in range(10):
                body = json.dumps({"jsonrpc": "2.0", "id": turn, "tag": tag, "pad": "x" * (tag * 100)}).encode()
                assert (await client.ask(request(body))).body == body

    gate.handle = handle
    await asyncio.gather(*(talk(tag) for tag in range(20)))


async def test_n23_a_client_that_leaves_cancels_its_own_call_and_no_other(gate: Gate) -> None:
    running = await gate.start()
    started, cancelled, go = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def handle(request: Request, emit: Emit) -> Answer:
        if request.body == b"leaves":
            started.set()
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()
        await go.wait()
        return Answer(200, (), request.body)

    gate.handle = handle
    async with RawClient(running.port) as good:
        await good.send(request(b"stays"))
        async with RawClient(running.port) as client:
            await client.send(request(b"leaves"))
            await asyncio.wait_for(started.wait(), BOUND)
        await asyncio.wait_for(cancelled.wait(), BOUND)
        go.set()
        assert (await good.reply()).body == b"stays"


async def test_n23_half_a_request_and_an_early_close_affect_nobody(gate: Gate) -> None:
    running = await gate.start()
    whole = request(b'{"a":1}')
    async with RawClient(running.port) as good:
        for cut in range(1, len(whole), 7):
            async with RawClient(running.port) as client:
                await client.send(whole[:cut])
            assert (await good.ask(whole)).body == b'{"a":1}'
    assert all(r.body == b'{"a":1}' for r in gate.requests)


class Odd(BaseException):
    pass


@pytest.mark.parametrize("error", [ValueError, RecursionError, MemoryError, Odd, asyncio.CancelledError])
async def test_n6_an_exception_that_gets_out_is_an_answer_without_detail(
    gate: Gate, error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    running = await gate.start()

    async def handle(request: Request, emit: Emit) -> Answer:
        raise error("s3cret")

    gate.handle = handle
    async with RawClient(running.port) as client:
        reply = await client.ask(request(b"{}"))
        assert (reply.status, json.loads(reply.body)["error"]) == (500, {"code": -32603, "message": "internal error"})
        gate.handle = gate.echo
    async with RawClient(running.port) as client:
        assert (await client.ask(request(b"{}"))).status == 200
    assert "s3cret" not in caplog.text


async def test_every_answer_forbids_storing_and_sniffing(gate: Gate) -> None:
    running = await gate.start()
    async with RawClient(running.port) as client:
        for data in [request(b"{}"), request(method="GET"), request(b"x" * 4097)]:
            reply = await client.ask(data)
            assert (reply.headers["cache-control"], reply.headers["x-content-type-options"]) == ("no-store", "nosniff")
            assert "server" not in reply.headers


async def test_a_stop_answers_what_has_begun_and_takes_nothing_new(gate: Gate) -> None:
    running = await gate.start()
    started, go = asyncio.Event(), asyncio.Event()

    async def handle(request: Request, emit: Emit) -> Answer:
        started.set()
        await go.wait()
        return Answer(200, (), b"done")

    gate.handle = handle
    async with RawClient(running.port) as busy, RawClient(running.port) as idle:
        await busy.send(request(b"{}"))
        await asyncio.wait_for(started.wait(), BOUND)
        stop = asyncio.create_task(running.stop(BOUND))
        await idle.closed()
        with pytest.raises(OSError, match=r"."):
            async with RawClient(running.port):
                pass
        go.set()
        reply = await busy.reply()
        assert (reply.body, reply.headers["connection"]) == (b"done", "close")
        await asyncio.wait_for(stop, BOUND)
    assert running.connections == 0


async def test_a_stop_out_of_patience_cancels_what_is_left(gate: Gate) -> None:
    running = await gate.start()
    started, ended = asyncio.Event(), asyncio.Event()

    async def handle(request: Request, emit: Emit) -> Answer:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return Answer(200, (), b"")

    gate.handle = handle
    async with RawClient(running.port) as client:
        await client.send(request(b"{}"))
        await asyncio.wait_for(started.wait(), BOUND)
        await asyncio.wait_for(running.stop(0.01), BOUND)
        assert ended.is_set()
        assert (await client.reply()).status == 500
    assert running.connections == 0
