"""Answers as streams: what passes before the answer, in which form, and that nothing passes after it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Any

import pytest

from sallyport.pep.model import Json, Reply
from sallyport.pep.upstream import UpstreamBroke
from sallyport.pep.upstream.sse import Events, TooLarge
from tests.support.upstream_leg import (
    LEGACY,
    MODERN,
    Client,
    Got,
    against,
    chunk,
    envelope,
    event,
    forward,
    http,
    result,
    saying,
    stream_head,
    until,
)


def note(method: str, **params: Any) -> bytes:
    return chunk(event({"jsonrpc": "2.0", "method": f"notifications/{method}", "params": params}))


def progress(number: float, **more: Any) -> Any:
    def said(got: Got) -> bytes:
        token = got.message["params"].get("_meta", {}).get("progressToken")
        return note("progress", **{"progressToken": token, "progress": number, **more})

    return said


def last(got: Got) -> bytes:
    return chunk(event(result(got, {"resultType": "complete", "content": []})))


END = chunk(b"")
TOLD = {"level": "error", "data": "x" * 99}
WATCHED = envelope(progress_token="theirs", log_level="warning")


async def test_progress_passes_with_the_callers_token_only_while_it_increases() -> None:
    script = saying(
        stream_head(),
        progress(1, total=10, message="one", _meta={"x": 1}, other=2),
        progress(1),
        progress(0.5),
        progress(2, progressToken="theirs"),
        progress(3, progressToken=True),
        progress(float("1e9"), total="many", message=4),
        lambda got: chunk(event({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progress": 4}})),
        last,
        END,
    )
    async with against(script) as (gate, _):
        client = Client()
        await gate.ask(forward(envelope=WATCHED), client)
        assert client.heard == [
            ("notifications/progress", {"progressToken": "theirs", "progress": 1, "total": 10, "message": "one"}),
            ("notifications/progress", {"progressToken": "theirs", "progress": 1e9}),
        ]
        assert gate.upstreams.dropped() == {"crm": 5}


async def test_messages_pass_only_if_they_were_asked_for_and_not_below_their_level() -> None:
    script = saying(
        stream_head(),
        note("message", level="info", data="below"),
        note("message", level="error", logger="db", data={"a": [1]}, _meta={}),
        note("message", level="loud", data=1),
        note("message", level="error"),
        note("message", level="error", data="x" * (65 << 10)),
        last,
        END,
    )
    async with against(script) as (gate, _):
        client, silent = Client(), Client()
        await gate.ask(forward(envelope=WATCHED, result_bytes=1 << 20), client)
        await gate.ask(forward(envelope=envelope(), result_bytes=1 << 20), silent)
    assert client.heard == [("notifications/message", {"level": "error", "logger": "db", "data": {"a": [1]}})]
    assert silent.heard == []


@pytest.mark.parametrize("era", [MODERN, LEGACY])
async def test_nothing_else_passes_and_nothing_after_the_answer(era: str) -> None:
    script = saying(
        stream_head(),
        chunk(b": ping\n\nid: 4\nretry: 10\ndata:\n\nevent: other\ndata: {}\n\n"),
        note("elicitation/complete", elicitationId="1"),
        note("resources/updated", uri="file:///x"),
        note("cancelled", requestId=1),
        last,
        progress(9),
        last,
        END,
    )
    async with against(script, era) as (gate, _):
        client = Client()
        assert await gate.ask(forward(envelope=WATCHED), client) == Reply({"content": []})
    assert client.heard == []


class Masked(Client):
    """For whom there is something to do with each notification."""

    async def emit(self, method: str, params: Mapping[str, Json]) -> None:
        began = time.thread_time()
        while time.thread_time() - began < 0.003:
            pass


async def test_while_what_comes_before_an_answer_is_worked_off_others_have_their_turn() -> None:
    notes = b"".join(event({"jsonrpc": "2.0", "method": "notifications/message", "params": TOLD}) for _ in range(100))
    gaps, before = list[float](), time.thread_time()

    async def turn() -> None:
        nonlocal before
        while True:
            gaps.append(time.thread_time() - before)
            before = time.thread_time()
            await asyncio.sleep(0)

    async with against(saying(stream_head(), chunk(notes), last, END)) as (gate, _):
        turning = asyncio.create_task(turn())
        await gate.ask(forward(envelope=WATCHED), Masked())
        turning.cancel()
    assert sum(gaps) > 0.3
    assert max(gaps) < 0.1


async def test_a_changed_list_is_told_to_the_gate_and_not_to_the_client() -> None:
    kinds = ("tools", "prompts", "resources")
    script = saying(stream_head(), *(note(f"{kind}/list_changed") for kind in kinds), last, END)
    async with against(script) as (gate, _):
        heard: list[tuple[str, str]] = []
        gate.upstreams.on_list_changed(lambda name, kind: heard.append((name, kind)))
        client = Client()
        await gate.ask(forward(envelope=WATCHED), client)
    assert heard == [("crm", kind) for kind in kinds]
    assert client.heard == []


async def test_a_question_of_a_legacy_server_is_declined_and_a_modern_one_is_dropped() -> None:
    questions = [
        {"jsonrpc": "2.0", "id": 5, "method": "sampling/createMessage", "params": {"messages": []}},
        {"jsonrpc": "2.0", "id": "e", "method": "elicitation/create", "params": {}},
        {"jsonrpc": "2.0", "id": 6, "method": "ping"},
    ]
    script = saying(stream_head(), *(chunk(event(question)) for question in questions), last, END)
    async with against(script, LEGACY, session=True) as (gate, opponent):
        assert isinstance(await gate.ask(), Reply)
        answers = [got for got in opponent.got if got.verb == "POST" and not got.method]
        assert [(got.id, "error" in got.message) for got in answers] == [(5, True), ("e", True), (6, False)]
        assert answers[0].message["error"]["code"] == -32601
        (call,) = opponent.calls()
        assert {got.headers["mcp-session-id"] for got in answers} == {call.headers["mcp-session-id"]}
    async with against(script, MODERN) as (gate, opponent):
        assert isinstance(await gate.ask(), Reply)
        assert all(got.method for got in opponent.got)
        assert gate.upstreams.dropped() == {"crm": 3}


async def test_a_legacy_server_that_asks_without_end_is_cut() -> None:
    many = [chunk(event({"jsonrpc": "2.0", "id": n, "method": "roots/list"})) for n in range(40)]
    async with against(saying(stream_head(), *many, last, END), LEGACY) as (gate, opponent):
        with pytest.raises(UpstreamBroke):
            await gate.ask()
        assert len([got for got in opponent.got if not got.method]) == 16


async def test_while_the_client_takes_nothing_no_more_is_read_than_a_buffer() -> None:
    written = 0
    flood = note("message", level="error", data="x" * 1000)

    async def say(got: Got, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(stream_head())
        while written < 40_000:
            writer.write(flood)
            await writer.drain()
            written += 1

    held, release = asyncio.Event(), asyncio.Event()

    async def slowly(method: str, params: Any) -> None:
        held.set()
        await release.wait()

    async with against(say) as (gate, _):
        asked = forward(envelope=WATCHED, result_bytes=60 << 20, timeout_ms=60_000)
        running = asyncio.create_task(
            gate.upstreams.request("crm", gate.upstream, asked, begun=lambda: None, emit=slowly)
        )
        await held.wait()
        seen = -1
        while seen != written:  # until it stands still
            seen = written
            await asyncio.sleep(0.05)
        assert written < 20_000
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


async def test_a_clients_slowness_isnt_taken_for_the_upstreams() -> None:
    async def slowly(method: str, params: Any) -> None:
        await asyncio.sleep(1.5)

    async with against(saying(stream_head(), progress(1), last, END), idle_ms=1000) as (gate, _):
        asked = forward(envelope=WATCHED)
        found = await gate.upstreams.request("crm", gate.upstream, asked, begun=lambda: None, emit=slowly)
    assert isinstance(found, Reply)


async def test_the_connection_of_a_stream_that_ended_serves_again() -> None:
    async with against(saying(stream_head(), last, END)) as (gate, opponent):
        for _ in range(5):
            await gate.ask()
            await until(lambda: not gate.upstreams._standing["crm"].leg._background._tasks)
        assert opponent.connections == 1


async def test_the_level_of_a_legacy_session_is_set_once_and_only_finer() -> None:
    async with against(saying(stream_head(), last, END), LEGACY, session=True) as (gate, opponent):
        for level in ("warning", "error", "warning", "debug", "info"):
            await gate.ask(forward(envelope=envelope(log_level=level)))
    assert [got.message["params"] for got in opponent.calls("logging/setLevel")] == [
        {"level": "warning"},
        {"level": "debug"},
    ]


EVENTS = b'\xef\xbb\xbfdata: {"a":1}\r\n\r\n: note\rdata:2\ndata: 3\n\nevent: other\ndata: no\n\nevent: message\rdata: 4\r\rdata: 5'


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 1000])
def test_events_are_the_same_however_their_bytes_are_cut(size: int) -> None:
    events = Events(1000)
    found = [data for at in range(0, len(EVENTS), size) for data in events.feed(EVENTS[at : at + size])]
    assert found == [b'{"a":1}', b"2\n3", b"4"]


@pytest.mark.parametrize("flood", [b"data: " + b"x" * 100, b"x" * 7, b"data:\n", b": c"])
def test_an_event_that_doesnt_end_is_cut_at_its_bound(flood: bytes) -> None:
    events = Events(5000)
    with pytest.raises(TooLarge):
        [events.feed(flood) for _ in range(40_000 // len(flood))]


def test_comments_and_empty_events_take_no_room() -> None:
    events = Events(100)
    assert events.feed(b": ping\n\n" * 1000 + b"id: 1\n" * 1000) == []
    assert events.feed(b"data: 1\n\n") == [b"1"]


def test_any_json_survives_the_way() -> None:
    value: Json = {"text": "a\nb\rc\u2028d", "n": [1.5, None]}
    (data,) = Events(1000).feed(event(value))
    assert json.loads(data) == value


async def test_a_rest_that_is_refused_leaves_the_effect_unknown_and_repeats_nothing() -> None:
    async def say(got: Got, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if got.verb == "GET":
            assert got.headers["last-event-id"] == "e-1"
            writer.write(http(b"", "text/plain", "404 Not Found"))
        else:
            writer.write(stream_head() + chunk(b"id: e-1\nretry: 1\ndata:\n\n") + END)

    async with against(say, LEGACY, session=True) as (gate, opponent):
        with pytest.raises(UpstreamBroke):
            await gate.ask()
        assert [got.verb for got in opponent.got if got.verb == "GET" or got.method == "tools/call"] == ["POST", "GET"]
    async with against(say, MODERN) as (gate, opponent):
        with pytest.raises(UpstreamBroke):
            await gate.ask()
        assert not [got for got in opponent.got if got.verb == "GET"]
