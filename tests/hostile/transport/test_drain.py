"""A listener that is about to stop: nobody is cut off, and everybody is sent elsewhere."""

from __future__ import annotations

import asyncio

from sallyport.pep.model import Answer, Emit, Request
from tests.hostile.transport.conftest import Gate
from tests.support.pki import authority
from tests.support.raw_http import BOUND, RawClient, request


async def is_the_last(client: RawClient) -> None:
    reply = await client.reply()
    assert (reply.status, reply.headers["connection"]) == (200, "close")
    assert await client.closed() == b""


async def test_who_waits_is_left_alone_and_answered_once_more(gate: Gate) -> None:
    running = await gate.start()
    async with RawClient(running.port) as kept, RawClient(running.port) as silent:
        assert (await kept.ask(request(b"{}"))).headers.get("connection") is None
        running.drain()
        assert running.connections == 2
        for client in (kept, silent):
            await client.send(request(b"{}"))
            await is_the_last(client)


async def test_a_newcomer_is_answered_once(gate: Gate) -> None:
    running = await gate.start()
    running.drain()
    async with RawClient(running.port) as client:
        await client.send(request(b"{}"))
        await is_the_last(client)


async def test_what_has_begun_is_answered_and_is_the_last(gate: Gate) -> None:
    let_go, begun = asyncio.Event(), asyncio.Event()

    async def slow(request: Request, emit: Emit) -> Answer:
        begun.set()
        await let_go.wait()
        return Answer(200, (), request.body)

    gate.handle = slow
    running = await gate.start()
    whole = request(b"{}", [("Expect", "100-continue")])
    async with RawClient(running.port) as at_work, RawClient(running.port) as half:
        await at_work.send(request(b"{}"))
        await asyncio.wait_for(begun.wait(), BOUND)
        await half.send(whole[:-2])
        assert (await half.reply()).status == 100  # the head has come, and the body hasn't
        running.drain()
        let_go.set()
        await half.send(whole[-2:])
        for client in (at_work, half):
            await is_the_last(client)


async def test_a_stop_answers_who_is_still_shaking_hands(gate: Gate) -> None:
    running = await gate.start(context=gate.context("none"))
    async with RawClient(running.port) as client:
        async with asyncio.timeout(BOUND):
            while not running.connections:  # noqa: ASYNC110 — accept has no event
                await asyncio.sleep(0.01)
        stopped = asyncio.create_task(running.stop(BOUND))
        await asyncio.sleep(0)  # it has begun, and waits
        await client.writer.start_tls(authority().client_context(), server_hostname="localhost")
        await client.send(request(b"{}"))
        await is_the_last(client)
        await asyncio.wait_for(stopped, BOUND)
