"""Streams of changes, in either era: told in the same words, bounded by frame, and closed with their listener."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from typing import Any

import pytest

from sallyport.pep.model import Identity, Json
from sallyport.pep.upstream import UpstreamBroke, UpstreamUnavailable
from tests.support.fake_server import fake_server
from tests.support.upstream_leg import (
    LEGACY,
    Client,
    Gate,
    Got,
    Opponent,
    against,
    answer,
    chunk,
    event,
    forward,
    gate,
    http,
    result,
    saying,
    stream_head,
    until,
    who,
)

ACK = "notifications/subscriptions/acknowledged"
TAG = "io.modelcontextprotocol/subscriptionId"
WANTED: dict[str, Json] = {"notifications": {"toolsListChanged": True, "resourceSubscriptions": ["x:1", "x:2"]}}

Frame = tuple[str, Mapping[str, Any]]


def listening(before: Gate, client: Client | None = None, identity: Identity | None = None) -> AsyncGenerator[Frame]:
    asked = forward("subscriptions/listen", WANTED, timeout_ms=2000, identity=identity or who())
    return before.upstreams.listen(before.name, before.upstream, asked, begun=(client or Client()).begin)


async def all_of(before: Gate, client: Client | None = None) -> list[Frame]:
    async with aclosing(listening(before, client)) as frames:
        return [frame async for frame in frames]


def frame(got: Got, method: str, tag: Any = None, **params: Any) -> bytes:
    told = {**params, "_meta": {TAG: got.id if tag is None else tag}}
    return chunk(event({"jsonrpc": "2.0", "method": method, "params": told}))


def script(*more: Any) -> Any:
    return saying(
        stream_head(),
        lambda got: frame(got, ACK, notifications={"toolsListChanged": True}),
        lambda got: frame(got, "notifications/tools/list_changed"),
        lambda got: frame(got, "notifications/resources/updated", uri="x:1"),
        *more,
    )


FRAMES: list[Frame] = [
    (ACK, {"notifications": {"toolsListChanged": True}}),
    ("notifications/tools/list_changed", {}),
    ("notifications/resources/updated", {"uri": "x:1"}),
]


async def test_a_modern_stream_gives_its_frames_until_its_answer() -> None:
    async with against(script(lambda got: chunk(event(result(got))))) as (before, opponent):
        heard: list[tuple[str, str]] = []
        before.upstreams.on_list_changed(lambda *told: heard.append(told))
        client = Client()
        assert await all_of(before, client) == FRAMES
        assert (client.begun, heard) == (1, [("crm", "tools")])
        (got,) = opponent.calls("subscriptions/listen")
        assert got.message["params"]["notifications"] == WANTED["notifications"]
        assert "progressToken" not in got.message["params"]["_meta"]


async def test_n2_a_frame_of_another_subscription_and_any_other_message_is_dropped() -> None:
    more = script(
        lambda got: frame(got, "notifications/resources/updated", tag=got.id + 1, uri="x:other"),
        lambda got: frame(got, "notifications/message", level="error", data="x"),
        lambda got: frame(got, "notifications/progress", progressToken=1, progress=1),
        chunk(event({"jsonrpc": "2.0", "id": 1, "method": "roots/list"})),
        lambda got: chunk(event(result(got))),
    )
    async with against(more) as (before, _):
        assert await all_of(before) == FRAMES


async def test_a_listener_who_leaves_closes_the_stream_within_a_second() -> None:
    async def hold(got: Got, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await script()(got, reader, writer)
        await reader.read()

    async with against(hold) as (before, opponent):
        seen: list[Frame] = []

        async def listen() -> None:
            async with aclosing(listening(before)) as frames:
                async for one in frames:
                    seen.append(one)  # noqa: PERF401 — seen from outside

        running = asyncio.create_task(listen())
        await until(lambda: len(seen) == 3)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await until(lambda: opponent.open == 0, 1)


async def test_a_silent_stream_outlives_the_limits_of_an_answer() -> None:
    async def hold(got: Got, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await script()(got, reader, writer)
        await writer.drain()
        await asyncio.sleep(1.5)
        writer.write(frame(got, "notifications/resources/updated", uri="x:2") + chunk(event(result(got))))

    async with against(hold, idle_ms=500) as (before, _):
        asked = forward("subscriptions/listen", WANTED, timeout_ms=1000)
        async with aclosing(before.upstreams.listen("crm", before.upstream, asked, begun=lambda: None)) as frames:
            assert len([one async for one in frames]) == 4


async def test_a_listener_who_takes_their_time_is_never_cancelled_by_the_legs_own_clock() -> None:
    async def stream(got: Got, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(stream_head() + chunk(b""))

    opponent = Older(stream, LEGACY, session=True)
    async with fake_server(opponent) as port, gate(port) as before:
        asked = forward("subscriptions/listen", WANTED, timeout_ms=1000)
        async with aclosing(before.upstreams.listen("crm", before.upstream, asked, begun=lambda: None)) as frames:
            async for _ in frames:
                await asyncio.sleep(1.5)


async def test_a_stream_that_doesnt_begin_ends_in_time() -> None:
    async def hang(got: Got, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with against(hang) as (before, opponent):
        asked = forward("subscriptions/listen", WANTED, timeout_ms=1000)
        with pytest.raises(UpstreamBroke):
            await anext(before.upstreams.listen("crm", before.upstream, asked, begun=lambda: None))
        await until(lambda: opponent.open == 0, 1)


async def test_a_frame_over_256_kib_ends_the_stream() -> None:
    big = script(lambda got: frame(got, "notifications/resources/updated", uri="x" * (300 << 10)))
    async with against(big) as (before, opponent):
        with pytest.raises(UpstreamBroke):
            await all_of(before)
        await until(lambda: opponent.open == 0, 1)


async def test_streams_take_no_place_of_calls_and_are_bounded_themselves() -> None:
    async def hold(got: Got, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if got.method == "tools/call":
            writer.write(answer(got))
            return
        await script()(got, reader, writer)
        await reader.read()

    async with against(hold, connections=2) as (before, _):
        streams = [listening(before, identity=who(name)) for name in ("alice", "bob")]
        for stream in streams:
            await anext(stream)
        with pytest.raises(UpstreamUnavailable):
            await anext(listening(before, identity=who("carol")))
        await before.ask()
        for stream in streams:
            await stream.aclose()


@pytest.mark.parametrize("refusal", [http(b"", "text/plain", "404 X"), http(b"{}"), http(b"", "text/plain", "307 X")])
async def test_a_server_that_offers_no_stream_is_told_of(refusal: bytes) -> None:
    async with against(saying(refusal)) as (before, _):
        with pytest.raises(UpstreamBroke):
            await all_of(before)


class Older(Opponent):
    """A legacy server with sessions, which subscribes x:1 and refuses x:2."""

    def first(self, request: Got) -> bytes:
        if request.method == "resources/subscribe":
            if request.message["params"] == {"uri": "x:1"}:
                return answer(request, {})
            return http(b'{"jsonrpc":"2.0","id":%d,"error":{"code":-32602,"message":"no"}}' % request.id)
        return super().first(request)


async def test_a_legacy_servers_own_stream_is_told_in_the_same_words() -> None:
    async def stream(got: Got, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert got.verb == "GET"
        writer.write(stream_head())
        writer.write(chunk(event({"jsonrpc": "2.0", "id": 3, "method": "roots/list"})))
        writer.write(chunk(event({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})))
        told = {"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": "x:1"}}
        writer.write(chunk(event(told)) + chunk(b""))

    opponent = Older(stream, LEGACY, session=True)
    async with fake_server(opponent) as port, gate(port) as before:
        client = Client()
        granted = {"notifications": {"toolsListChanged": True, "resourceSubscriptions": ["x:1"]}}
        assert await all_of(before, client) == [(ACK, granted), *FRAMES[1:]]
        assert client.begun == 1
        (got,) = [one for one in opponent.got if one.verb == "GET"]
        assert got.headers["accept"] == "text/event-stream"
        (declined,) = [one for one in opponent.got if one.id == 3]
        assert declined.message["error"]["code"] == -32601
        await until(lambda: len(opponent.sessions) == 1)  # the gate's own


async def test_n2_each_legacy_stream_has_a_session_of_its_own() -> None:
    async def stream(got: Got, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(stream_head())
        await reader.read()

    opponent = Older(stream, LEGACY, session=True)
    async with fake_server(opponent) as port, gate(port) as before:
        streams = [listening(before, identity=identity) for identity in (who(), who(), who("bob"))]
        for one in streams:
            await anext(one)
        pending = [asyncio.ensure_future(anext(one)) for one in streams]
        await until(lambda: len([got for got in opponent.got if got.verb == "GET"]) == 3)
        assert len({got.headers["mcp-session-id"] for got in opponent.got if got.verb == "GET"}) == 3
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        for one in streams:
            await one.aclose()
        await until(lambda: len(opponent.sessions) == 1)


async def test_a_legacy_server_without_a_stream_is_told_of() -> None:
    opponent = Older(saying(http(b"", "text/plain", "405 Method Not Allowed")), LEGACY, session=True)
    async with fake_server(opponent) as port, gate(port) as before:
        with pytest.raises(UpstreamBroke):
            await all_of(before)


async def hold(got: Got, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A stream that stays open."""
    await script()(got, reader, writer)
    await reader.read()


async def held(before: Gate, identity: Identity | None, stack: AsyncExitStack) -> None:
    """One stream, open until the stack is left."""
    asked = replace(forward("subscriptions/listen", WANTED, timeout_ms=2000), identity=identity)
    frames = before.upstreams.listen(before.name, before.upstream, asked, begun=lambda: None)
    await stack.enter_async_context(aclosing(frames))
    await anext(frames)


async def test_n26_one_caller_takes_a_quarter_of_the_streams_and_the_gate_has_its_own() -> None:
    async with against(hold, connections=8) as (before, _), AsyncExitStack() as stack:
        for _ in range(2):
            await held(before, who("alice"), stack)
        with pytest.raises(UpstreamUnavailable):
            await held(before, who("alice"), stack)
        for name in ("bob", "carol", "dave"):
            for _ in range(2):
                await held(before, who(name), stack)
        with pytest.raises(UpstreamUnavailable):
            await held(before, who("erin"), stack)
        await held(before, None, stack)


async def test_a_stream_that_ends_gives_its_place_back() -> None:
    async with against(hold, connections=1) as (before, _):
        for _ in range(3):
            async with AsyncExitStack() as stack:
                await held(before, who("alice"), stack)
