"""Upstreams that lie, flood, drip and lead astray: each ends with a refusal, and the next request is none the worse."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gzip
import json
import os
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from sallyport.pep.model import Failed, Reply
from sallyport.pep.upstream import UpstreamBroke, UpstreamUnavailable
from tests.support.fake_server import fake_server
from tests.support.stopwatch import Stopwatch
from tests.support.upstream_leg import (
    BOUND,
    LEGACY,
    MODERN,
    Client,
    Gate,
    Got,
    Opponent,
    Say,
    against,
    answer,
    chunk,
    envelope,
    event,
    forward,
    gate,
    http,
    read_request,
    result,
    saying,
    stream_head,
    until,
)

CAP = 64 << 10


@pytest.fixture(autouse=True)
async def _no_task_is_left() -> AsyncIterator[None]:
    tasks = asyncio.all_tasks()
    yield
    await until(lambda: asyncio.all_tasks() - {asyncio.current_task()} <= tasks)


def message(got: Got, **over: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": got.id, "result": {"content": []}, **over}).encode()


def raw(text: str) -> Callable[[Got], bytes]:
    """A JSON body; ID stands for the request's."""
    return lambda got: http(text.replace("ID", str(got.id)).encode())


LIES: dict[str, Callable[[Got], bytes]] = {
    "another id": lambda got: http(message(got, id=got.id + 1)),
    "the id as text": lambda got: http(message(got, id=str(got.id))),
    "the id as a float": raw('{"jsonrpc":"2.0","id":ID.0,"result":{}}'),
    "no id": raw('{"jsonrpc":"2.0","result":{}}'),
    "null for an id": lambda got: http(message(got, id=None)),
    "true for an id": lambda got: http(message(got, id=True)),
    "result and error": lambda got: http(message(got, error={"code": 1, "message": "x"})),
    "neither": raw('{"jsonrpc":"2.0","id":ID}'),
    "an error with no code": raw('{"jsonrpc":"2.0","id":ID,"error":{"message":"x"}}'),
    "an error with a code of 1.5": raw('{"jsonrpc":"2.0","id":ID,"error":{"code":1.5,"message":"x"}}'),
    "an error that is text": raw('{"jsonrpc":"2.0","id":ID,"error":"x"}'),
    "a result that is a list": lambda got: http(message(got, result=[])),
    "a type that nobody knows": lambda got: http(message(got, result={"resultType": "surprise"})),
    "a type that is no text": lambda got: http(message(got, result={"resultType": ["complete"]})),
    "no version": raw('{"id":ID,"result":{}}'),
    "a batch": lambda got: http(b"[" + message(got) + b"]"),
    "two answers": lambda got: http(message(got) + message(got)),
    "a duplicate key": raw('{"jsonrpc":"2.0","id":ID,"result":{"a":1},"result":{"a":2}}'),
    "a duplicate key inside": raw('{"jsonrpc":"2.0","id":ID,"result":{"a":1,"a":2}}'),
    "NaN": raw('{"jsonrpc":"2.0","id":ID,"result":{"a":NaN}}'),
    "a number of 22 digits": raw('{"jsonrpc":"2.0","id":ID,"result":{"a":1000000000000000000000}}'),
    "a number beyond any double": raw('{"jsonrpc":"2.0","id":ID,"result":{"a":1e400}}'),
    "a number beyond a double": raw('{"jsonrpc":"2.0","id":ID,"result":{"a":1e999}}'),
    "a lone surrogate": raw('{"jsonrpc":"2.0","id":ID,"result":{"a":"\\ud800"}}'),
    "65 levels": raw('{"jsonrpc":"2.0","id":ID,"result":{"a":' + "[" * 65 + "]" * 65 + "}}"),
    "a BOM": lambda got: http(b"\xef\xbb\xbf" + message(got)),
    "invalid UTF-8": lambda got: http(message(got).replace(b"content", b"\xff\xfe")),
    "a question in place of an answer": raw('{"jsonrpc":"2.0","id":ID,"method":"sampling/createMessage"}'),
    "HTML": lambda got: http(b"<html>", "text/html"),
    "JSON that says it is text": lambda got: http(message(got), "text/plain"),
    "nothing": lambda _: http(b""),
    "no content type": lambda _: b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
    "a switch of protocols": lambda _: b"HTTP/1.1 101 X\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n",
    "a body cut short": lambda got: http(message(got))[:-1],
    "a chunk that is longer than it says": lambda got: stream_head() + b"4\r\n" + event(result(got)) + b"\r\n0\r\n\r\n",
    "a chunk of no length": lambda got: stream_head() + b"zz\r\n" + event(result(got)) + b"\r\n",
    "a chunk of a huge length": lambda got: stream_head() + b"f" * 20 + b"\r\n" + event(result(got)),
    "a length and chunks": lambda got: (
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n"
        + chunk(message(got)) + chunk(b"")
    ),
    "two lengths": lambda got: (
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 5\r\ncontent-length: 999\r\n\r\n"
        + message(got)
    ),
    "a stream that ends without an answer": lambda _: stream_head() + chunk(b": bye\n\n") + chunk(b""),
    "a stream with another's answer": lambda got: stream_head() + chunk(event({**result(got), "id": got.id - 1})),
    "a stream of no JSON": lambda _: stream_head() + chunk(b"data: hello\n\n"),
    "garbage": lambda _: b"\x00\xff" * 100,
    "a status that is no number": lambda _: b"HTTP/1.1 OK\r\n\r\n",
    "a head that is too long": lambda got: answer(got, x_pad="x" * 20_000),
    "too many headers": lambda got: answer(got, **{f"x_{n}": "y" for n in range(500)}),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
async def test_no_lie_is_believed(lie: str) -> None:
    async with against(saying(LIES[lie], end="cut short" in lie)) as (before, opponent):
        client = Client()
        with pytest.raises(UpstreamBroke):
            await before.ask(forward(envelope=envelope(progress_token=1)), client)
        assert (client.begun, client.heard) == (1, [])
        assert len(opponent.calls()) == 1
        opponent.say = saying(answer)
        assert isinstance(await before.ask(), Reply)


@pytest.mark.parametrize("status", ["301 X", "302 X", "303 X", "307 X", "308 X"])
async def test_n19_no_redirect_is_followed_on_any_kind_of_request(status: str) -> None:
    canary = Opponent(saying(answer))
    async with fake_server(canary) as there:
        target = f"http://127.0.0.1:{there}/mcp"
        moved = http(b"", "text/plain", status, location=target)
        async with against(saying(moved)) as (before, _):
            with pytest.raises(UpstreamBroke):
                await before.ask()
            with pytest.raises(UpstreamBroke):
                await before.ask(forward("tools/list", {}))

        nearby = http(b"", "text/plain", status, location="/elsewhere")
        async with against(saying(nearby)) as (before, opponent):
            with pytest.raises(UpstreamBroke):
                await before.ask()
            assert {got.target for got in opponent.got} == {"/mcp"}

        class Moving(Opponent):
            def first(self, request: Got) -> bytes:
                return moved

        for asked in (MODERN, LEGACY, "auto"):
            async with fake_server(Moving(saying(moved))) as port, gate(port, asked) as before:
                with pytest.raises(UpstreamUnavailable):
                    await before.ask()
        assert canary.connections == 0


@functools.cache
def bomb(coding: str) -> bytes:
    zeros = b'{"jsonrpc":"2.0","id":1,"result":"' + b" " * (16 << 20) + b'"}'
    if coding == "gzip":
        return gzip.compress(zeros, 9)
    return gzip.compress(gzip.compress(zeros, 9)) if coding == "gzip, gzip" else zlib.compress(zeros, 9)


@pytest.mark.parametrize("status", ["200 OK", "307 X", "400 X", "404 X", "500 X"])
@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip, gzip", "GZIP"])
async def test_n25_a_content_coding_is_never_undone_on_any_status(coding: str, status: str) -> None:
    packed = bomb(coding)
    async with against(saying(http(packed, status=status, content_encoding=coding))) as (before, opponent):
        with pytest.raises(UpstreamBroke, match="coding"):
            await before.ask()
        assert opponent.calls()[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("status", ["200 OK", "400 Bad Request", "500 Oops"])
@pytest.mark.parametrize("kind", ["application/json", "text/event-stream"])
async def test_n25_an_answer_without_end_is_cut_at_its_cap(kind: str, status: str) -> None:
    sent = 0

    async def flood(got: Got, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        head = f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n"
        writer.write(head.encode())
        while sent < 500 << 20:
            writer.write(chunk(b": " + b"x" * 4096 + b"\n"))
            await writer.drain()
            sent += 4096

    async with against(flood) as (before, opponent):
        with pytest.raises(UpstreamBroke):
            await before.ask(forward(result_bytes=CAP))
        await until(lambda: opponent.open == 0)
        assert sent < 50 << 20  # what the sockets hold


async def test_an_answer_that_says_it_is_too_large_isnt_read() -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 999999999\r\n\r\n"
    async with against(saying(head)) as (before, _):
        with pytest.raises(UpstreamBroke, match="over"):
            await before.ask(forward(result_bytes=CAP))


async def test_an_answer_of_exactly_its_cap_passes_and_of_one_more_doesnt() -> None:
    def sized(size: int) -> Say:
        def said(got: Got) -> bytes:
            body = message(got, result={"t": ""})
            return http(message(got, result={"t": "x" * (size - len(body))}))

        return saying(said)

    async with against(sized(CAP)) as (before, opponent):
        assert isinstance(await before.ask(forward(result_bytes=CAP)), Reply)
        opponent.say = sized(CAP + 1)
        with pytest.raises(UpstreamBroke):
            await before.ask(forward(result_bytes=CAP))


async def test_an_endless_stream_of_small_signs_of_life_ends_in_time() -> None:
    async def drip(got: Got, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(stream_head())
        while True:
            writer.write(chunk(b":\n"))
            await writer.drain()
            await asyncio.sleep(0.01)

    async with against(drip, idle_ms=500) as (before, opponent):
        since = Stopwatch()
        with pytest.raises(TimeoutError):
            await before.ask(forward(timeout_ms=1000))
        assert since.seconds < 3
        await until(lambda: opponent.open == 0)


async def test_a_head_that_drips_ends_in_time() -> None:
    async def drip(got: Got, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for byte in b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 90:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.01)

    async with against(drip) as (before, _):
        with pytest.raises(TimeoutError):
            await before.ask(forward(timeout_ms=1000))


@pytest.mark.parametrize("after", [0, 10, 60, 100])
async def test_a_reset_in_the_middle_leaves_the_effect_unknown(after: int) -> None:
    async def cut(got: Got, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(got, {"content": [{"text": "x" * 500}]})[:after])
        await writer.drain()
        writer.transport.abort()

    async with against(cut) as (before, opponent):
        with pytest.raises(UpstreamBroke):
            await before.ask()
        assert len(opponent.calls()) == 1


async def test_early_hints_are_read_over() -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nlink: <x>\r\n\r\n" * 3
    async with against(saying(lambda got: hints + answer(got))) as (before, _):
        assert isinstance(await before.ask(), Reply)


async def test_hints_without_end_hold_up_nobody_else() -> None:
    async def flood(got: Got, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"HTTP/1.1 103 X\r\n\r\n" * 2000)
            await writer.drain()

    async with against(flood) as (before, opponent):
        with pytest.raises(UpstreamBroke):
            await before.ask(forward(timeout_ms=30_000))
        await until(lambda: opponent.open == 0)


async def test_an_answer_that_nobody_asked_for_is_nobodys() -> None:
    async def twice(got: Got, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(got, {"for": got.id}))
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.write(answer(got, {"for": got.id}))

    async with against(twice) as (before, opponent):
        answered = 0
        for _ in range(10):
            try:
                found = await before.ask()
            except UpstreamBroke:
                continue
            assert isinstance(found, Reply)
            assert found.result["for"] == opponent.calls()[-1].id
            answered += 1
            await asyncio.sleep(0.1)
        assert answered


async def test_n17_cookies_are_neither_kept_nor_sent() -> None:
    async with against(saying(lambda got: answer(got, set_cookie="session=stolen; Path=/"))) as (before, opponent):
        for _ in range(3):
            await before.ask()
    assert not any("cookie" in got.headers for got in opponent.got)


async def test_n19_proxy_variables_lead_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    canary = Opponent(saying(answer))
    async with fake_server(canary) as there, against(saying(answer)) as (before, _):
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{there}")
        monkeypatch.setenv("no_proxy", "")
        assert isinstance(await before.ask(), Reply)
    assert canary.connections == 0


async def test_an_upstream_that_never_reads_holds_no_descriptor_after_its_time() -> None:
    class Deaf(Opponent):
        async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            request = await read_request(reader)
            assert request is not None
            writer.write(self.first(request))
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(60)  # by then the sockets' buffers are full

    async with fake_server(Deaf(saying(answer))) as port, gate(port) as before:
        held = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 — names only
        asked = forward(params={"name": "echo", "arguments": {"x": "y" * (16 << 20)}}, timeout_ms=2000)
        with pytest.raises(TimeoutError):
            await before.ask(asked)
        await until(lambda: len(os.listdir("/proc/self/fd")) <= held + 1)  # noqa: PTH208 — the opponent's own end


async def test_a_flood_of_changed_lists_costs_no_more_than_its_cap() -> None:
    flood = chunk(event({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})) * 400
    heard: list[str] = []

    async def say(got: Got, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(stream_head())
        while True:
            writer.write(flood)
            await writer.drain()

    async with against(say) as (before, _):
        before.upstreams.on_list_changed(lambda _, kind: heard.append(kind))
        with pytest.raises(UpstreamBroke):
            await before.ask(forward(result_bytes=1 << 20))
    assert 0 < len(heard) <= (1 << 20) // 60


async def test_what_an_upstream_says_is_never_shown_as_ours() -> None:
    async with against(saying(http(b"secret stack trace", "text/plain", "403 secret-reason"))) as (before, _):
        found = await before.ask()
    assert isinstance(found, Failed)
    assert "secret" not in found.message


async def test_a_server_that_hangs_in_discovery_holds_each_caller_for_their_own_time_only() -> None:
    class Mute(Opponent):
        async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()

    async with fake_server(Mute(saying(answer))) as port, gate(port) as before:
        clients = [Client() for _ in range(5)]
        told = await asyncio.gather(
            *(before.ask(forward(timeout_ms=200), client) for client in clients), return_exceptions=True
        )
        assert all(isinstance(one, UpstreamUnavailable) for one in told)
        assert not any(client.begun for client in clients)


async def test_gates_own_requests_work_without_anybody() -> None:
    async with against(saying(lambda got: answer(got, {"tools": []}))) as (before, _):
        assert isinstance(before, Gate)
        asked = forward("tools/list", {}, envelope=None, identity=None)
        assert await before.ask(asked) == Reply({"tools": []})


CHUNKED = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
AROUND: dict[str, tuple[bytes, bytes]] = {
    "a chunk extension": (CHUNKED + b"1;", b"x" * 60_000),
    "chunk extensions of chunks of one byte": (CHUNKED, (b"1;" + b"x" * 30_000 + b"\r\n \r\n") * 2),
    "trailers": (CHUNKED + chunk(b"{}") + b"0\r\n", b"a: b\r\n" * 10_000),
    "a trailer": (CHUNKED + chunk(b"{}") + b"0\r\na: ", b"x" * 60_000),
    "a stream of chunks of one byte": (stream_head(), b"1\r\n:\r\n1\r\n\n\r\n" * 5000),
}


def without_end(head: bytes, piece: bytes, sent: list[int]) -> Say:
    async def flood(got: Got, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while sum(sent) < 500 << 20:
            writer.write(piece)
            await writer.drain()
            sent.append(len(piece))

    return flood


@pytest.mark.parametrize("around", AROUND)
async def test_n25_what_stands_around_an_answer_is_bounded_as_what_stands_in_it(around: str) -> None:
    sent: list[int] = []
    async with against(without_end(*AROUND[around], sent)) as (before, opponent):
        with pytest.raises(UpstreamBroke):
            await before.ask(forward(result_bytes=CAP, timeout_ms=30_000))
        await until(lambda: opponent.open == 0)
        assert sum(sent) < 20 << 20  # what the sockets hold
        opponent.say = saying(answer)
        assert isinstance(await before.ask(), Reply)


@pytest.mark.parametrize(
    "piece",
    [b"1;" + b"x" * 60_000, b"x" * 60_000, (b"1;" + b"x" * 30_000 + b"\r\n:\r\n") * 2, b"1\r\n:\r\n" * 10_000],
    ids=["extensions of nothing", "one extension", "extensions of one byte", "one byte"],
)
async def test_n25_a_stream_that_is_all_framing_is_cut(piece: bytes) -> None:
    sent: list[int] = []
    head = stream_head() + chunk(event({"jsonrpc": "2.0", "method": "notifications/message"}))
    first = head + (b"1;" if piece.startswith(b"x") else b"")
    async with against(without_end(first, piece, sent)) as (before, opponent):

        async def listen() -> None:
            asked = forward("subscriptions/listen", {"notifications": {}})
            listening = before.upstreams.listen("crm", before.upstream, asked, begun=lambda: None)
            async with contextlib.aclosing(listening) as frames:
                async for _ in frames:
                    pass

        with pytest.raises(UpstreamBroke):
            await asyncio.wait_for(listen(), BOUND)
        await until(lambda: opponent.open == 0)
        assert sum(sent) < 20 << 20
        assert before.upstreams._standing["crm"].leg.standing.circuit.trouble == ""
