"""AuthZEN's port under attack: whoever asks and whatever is sent, nothing is permitted, and in bounded time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from sallyport.pdp.authzen import server
from sallyport.pdp.http import Limits
from sallyport.pdp.observer import Observers
from sallyport.runtime.problems import ConfigError
from sallyport.runtime.telemetry import Tracing
from tests.contract.authzen.running import CLIENT, GATEWAY, Pdp, evaluation, gateway, serving, settings, trusting
from tests.support import pki
from tests.support.raw_http import BOUND, RawClient, request
from tests.support.stopwatch import Stopwatch, own_garbage

EVALUATION, EVALUATIONS = "/access/v1/evaluation", "/access/v1/evaluations"
YES = json.dumps(evaluation()).encode()
KIND = ("Content-Type", "application/json")


@pytest.fixture
async def pdp(tmp_path: Path) -> AsyncIterator[Pdp]:
    async with serving(tmp_path, body_bytes=65_536, evaluations=256, connections=8, receive_seconds=BOUND) as pdp:
        yield pdp


async def still_answers(pdp: Pdp) -> None:
    assert await pdp.decision(evaluation()) is True


# Who asks


@pytest.mark.parametrize("kind", ["none", *pki.bad_clients(pki.authority())])
async def test_without_a_good_certificate_nobody_gets_to_ask(pdp: Pdp, kind: str) -> None:
    pair = None if kind == "none" else pki.bad_clients(pki.authority())[kind]
    context = pki.authority().client_context(pair, weak=True)

    async def ask() -> None:
        async with RawClient(pdp.port, context) as stranger:
            await stranger.ask(request(YES, [KIND], target=EVALUATION))

    with pytest.raises(OSError):  # noqa: PT011 — a refused handshake shows in many ways
        await ask()
    assert not pdp.memory.decisions
    await still_answers(pdp)


@pytest.mark.parametrize(
    "pair",
    [
        pki.authority().client(GATEWAY + "2"),
        pki.authority().client("spiffe://other/gateway"),
        pki.authority().client("", dns=("gateway.test",)),
        pki.authority().issue(GATEWAY),
        pki.authority().issue("two", uris=(GATEWAY, "spiffe://test/other")),
    ],
    ids=["longer", "domain", "dns", "cn", "two-uris"],
)
@pytest.mark.parametrize("target", [EVALUATION, EVALUATIONS, "/.well-known/authzen-configuration"])
async def test_a_certificate_that_is_not_listed_learns_nothing(pdp: Pdp, pair: pki.Pair, target: str) -> None:
    async with RawClient(pdp.port, trusting(pair)) as stranger:
        method = "GET" if "well-known" in target else "POST"
        # Only the head: the answer comes before any body is read.
        head = [KIND, ("Content-Length", "60000")] if method == "POST" else []
        answer = await stranger.ask(request(b"", head, target=target, method=method, length=False))
    assert (answer.status, b"decision" in answer.body) == (403, False)
    assert not pdp.memory.decisions


async def test_plain_http_is_not_spoken(pdp: Pdp) -> None:
    async with RawClient(pdp.port) as client:
        await client.send(request(YES, [KIND], target=EVALUATION))
        assert b"200" not in await client.closed()
    await still_answers(pdp)


async def test_a_certificate_that_expires_on_an_open_connection_asks_no_more(
    pdp: Pdp, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with RawClient(pdp.port, gateway()) as client:
        assert (await client.ask(request(YES, [KIND], target=EVALUATION))).status == 200
        later = time.time() + 3 * 86_400
        monkeypatch.setattr("sallyport.pdp.authzen.api.time.time", lambda: later)
        assert (await client.ask(request(YES, [KIND], target=EVALUATION))).status == 403


@pytest.mark.parametrize("broken", ["ca.crt", "server.crt", "server.key"])
async def test_n5_without_its_certificates_the_port_is_not_opened(tmp_path: Path, broken: str) -> None:
    chosen = settings(tmp_path)
    (tmp_path / broken).write_bytes(b"")
    with pytest.raises(ConfigError):
        server.listener(chosen, lambda: None, Observers(), Tracing("pdp"), seconds=1)


# What is sent


@pytest.fixture
def alone() -> Iterator[None]:
    """What tests before have left is no part of what the PDP's collector would look through."""
    with own_garbage():
        yield


def batch(count: int, item: Any) -> bytes:
    return json.dumps({**evaluation(), "evaluations": [item] * count}).encode()


DEEP = b'{"subject":' + b'{"properties":' * 3_000 + b"1" + b"}" * 3_001
BODIES = {
    "deep": DEEP,
    "deep arrays": YES[:-1] + b',"context":{"x":' + b"[" * 30_000 + b"]" * 30_000 + b"}}",
    "unclosed": b"[" * 60_000,
    "duplicate key": YES[:-1] + b',"action":{"name":"write"}}',
    "nan": YES[:-1] + b',"context":{"risk":NaN}}',
    "infinity": YES[:-1] + b',"context":{"risk":1e400}}',
    "big integer": YES[:-1] + b',"context":{"risk":9007199254740993}}',
    "surrogate": YES.replace(b"alice", rb"\ud800"),
    "utf-8": YES.replace(b"alice", b"\xff"),
    "bom": b"\xef\xbb\xbf" + YES,
    "trailing": YES + b"{}",
    "two": YES + YES,
    "too many": batch(257, {}),
    "utf-16": YES.decode().encode("utf-16"),
}


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("path", [EVALUATION, EVALUATIONS])
async def test_n14_a_body_that_is_not_plain_json_is_refused_at_once(pdp: Pdp, name: str, path: str) -> None:
    if (name, path) == ("too many", EVALUATION):
        return  # there `evaluations` is a field like any other, and ignored
    begun = time.process_time()
    status, body = await pdp.send(path, BODIES[name])
    assert (status, b"decision" in body) == (400, False)
    assert time.process_time() - begun < 0.3
    assert not pdp.memory.decisions
    await still_answers(pdp)


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("count", [10_000, 257])
async def test_more_evaluations_than_the_limit_are_not_begun(tmp_path: Path, count: int) -> None:
    async with serving(tmp_path, body_bytes=1 << 20, evaluations=256) as pdp:
        begun = time.process_time()
        assert (await pdp.send(EVALUATIONS, batch(count, {})))[0] == 400
        assert time.process_time() - begun < 0.5
        assert not pdp.memory.decisions


@pytest.mark.usefixtures("alone")
async def test_the_largest_batch_stalls_nobody(tmp_path: Path) -> None:
    longest = 0.0

    async def beat() -> None:
        nonlocal longest
        while True:
            before = time.process_time()  # others' share of the machine is no stall of ours
            await asyncio.sleep(0)
            longest = max(longest, time.process_time() - before)

    async with serving(tmp_path, body_bytes=1 << 20, evaluations=1024) as pdp:
        await still_answers(pdp)
        beside = asyncio.create_task(beat())
        found = await pdp.batch({**evaluation(), "evaluations": [{"resource": {"id": f"r{n}"}} for n in range(1024)]})
        beside.cancel()
    assert not any(item["decision"] for item in found)

    assert longest < 0.2


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize(
    "shared",
    [{"input": {"a": [1.5] * 38_000}}, {"input": {f"{n:05}": 1.5 for n in range(13_000)}}, {"x": [[]] * 60_000}],
    ids=["numbers", "keys", "ignored"],
)
async def test_a_batch_that_shares_a_huge_input_costs_as_much_as_one_of_it(tmp_path: Path, shared: Any) -> None:
    async with serving(tmp_path, seconds=0.5) as pdp:
        await still_answers(pdp)
        begun = time.process_time()
        assert len(await pdp.batch({**evaluation(), "context": shared, "evaluations": [{}] * 256})) == 256
        assert time.process_time() - begun < 1.5  # client and all; 20 s, were it read again for each
        await still_answers(pdp)


@pytest.mark.parametrize("text", ["a" * 257, "é" * 129, "💥" * 65, ""])
@pytest.mark.parametrize("entity", ["subject", "action"])
async def test_an_id_over_the_contracts_limits_is_denied(pdp: Pdp, text: str, entity: str) -> None:
    asked = evaluation()
    asked[entity]["name" if entity == "action" else "id"] = text
    assert (await pdp.ask(asked))["context"]["errors"] == ["INVALID_QUESTION"]


async def test_an_input_over_the_contracts_limits_is_denied(tmp_path: Path) -> None:
    async with serving(tmp_path, body_bytes=1 << 20) as pdp:
        asked = {**evaluation(), "context": {"input": {"other": "x" * 200_000}}}
        assert (await pdp.ask(asked))["context"]["errors"] == ["INVALID_QUESTION"]


async def test_over_the_cap_a_body_is_cut_announced_or_not(pdp: Pdp) -> None:
    too_long = b"x" * 65_537
    async with RawClient(pdp.port, gateway()) as client:
        answer = await client.ask(
            request(b"", [KIND, ("Content-Length", str(1 << 40))], target=EVALUATION, length=False)
        )
        assert (answer.status, answer.headers["connection"]) == (413, "close")
        await client.closed()
    async with RawClient(pdp.port, gateway()) as client:
        head = request(b"", [KIND, ("Transfer-Encoding", "chunked")], target=EVALUATION, length=False)
        answer = await client.ask(head + b"%x\r\n" % len(too_long) + too_long)
        assert answer.status == 413
        await client.closed()
    await still_answers(pdp)


async def test_a_body_that_trickles_is_cut_by_an_absolute_deadline(tmp_path: Path) -> None:
    async with serving(tmp_path, receive_seconds=0.3) as pdp, RawClient(pdp.port, gateway()) as client:
        since = Stopwatch()
        await client.send(request(YES, [KIND], target=EVALUATION)[: -len(YES)])

        async def trickle() -> None:
            for byte in YES:
                await client.send(bytes([byte]))
                await asyncio.sleep(0.02)

        trickling = asyncio.create_task(trickle())
        assert (await client.reply()).status == 408
        assert since.seconds < 10
        trickling.cancel()
        await still_answers(pdp)


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (request(YES, [KIND, ("Transfer-Encoding", "chunked")], target=EVALUATION), 400),
        (request(YES, [KIND, ("Content-Length", "3")], target=EVALUATION), 400),
        (request(YES, [KIND, ("Content-Length", str(len(YES)))], target=EVALUATION), 400),
        (request(YES, [KIND, ("Content-Length ", "3")], target=EVALUATION, length=False), 400),
        (request(YES, [KIND, ("Content-Length", "+10")], target=EVALUATION, length=False), 400),
        (request(YES, [KIND, ("Content-Length", "-1")], target=EVALUATION, length=False), 400),
        (
            request(b"0\r\n\r\n", [KIND, ("Transfer-Encoding", "chunked, chunked")], target=EVALUATION, length=False),
            400,
        ),
        (request(b"0\r\n\r\n", [KIND, ("Transfer-Encoding", "identity")], target=EVALUATION, length=False), 400),
        (request(b"0\r\n\r\n", [KIND, ("Transfer-Encoding", "xchunked")], target=EVALUATION, length=False), 400),
        (request(YES, [KIND, ("Content-Encoding", "gzip")], target=EVALUATION), 400),
        (request(YES, [KIND, ("Expect", "100-continue")], target=EVALUATION), 400),
        (request(YES, [KIND, ("Connection", "Upgrade"), ("Upgrade", "websocket")], target=EVALUATION), 400),
        (request(YES, [KIND, KIND], target=EVALUATION), 400),
        (request(YES, [KIND, ("traceparent", "a"), ("Traceparent", "b")], target=EVALUATION), 400),
        (request(YES, [KIND, ("Host", "other")], target=EVALUATION), 400),
        (request(YES, [KIND, ("X-Folded", "a\r\n b")], target=EVALUATION), 400),
        (request(YES, [KIND], target=EVALUATION).replace(b"HTTP/1.1", b"HTTP/1.0"), 400),
        (request(YES, [KIND], target=EVALUATION).replace(b"Host: localhost\r\n", b""), 400),
        (request(YES, [KIND], target=EVALUATION).replace(b"\r\n", b"\n", 1), 400),
        (request(YES, [KIND], target=f"https://localhost{EVALUATION}"), 404),
        (request(YES, [KIND], target=EVALUATION + "?x=1"), 404),
        (request(YES, [KIND], target=EVALUATION + "/"), 404),
        (request(YES, [KIND], target="/x/.." + EVALUATION), 404),
        (request(YES, [KIND], target="/access/v1/%65valuation"), 404),
        (request(YES, [KIND], target=EVALUATION.upper()), 404),
        (request(YES, [KIND], target=EVALUATION, method="GET"), 405),
        (request(YES, [KIND], target=EVALUATION, method="post"), 400),
        (request(YES, [KIND], target="/.well-known/authzen-configuration", method="GET"), 400),
        (request(YES, [KIND, *((f"X-{n}", "x") for n in range(100))], target=EVALUATION), 400),
        (request(YES, [KIND, ("X-Long", "x" * 20_000)], target=EVALUATION), 400),
        (request(YES, [KIND], target=EVALUATION + "x" * 20_000), 400),
    ],
    ids=range(31),
)
async def test_a_request_that_two_readers_could_read_in_two_ways_is_refused_and_ends_the_connection(
    pdp: Pdp, raw: bytes, status: int
) -> None:
    async with RawClient(pdp.port, gateway()) as client:
        # What follows must not be answered, whoever believes that it is a request of its own.
        await client.send(raw + request(YES, [KIND], target=EVALUATION))
        answer = await client.reply()
        rest = await client.closed()
    assert (answer.status, b"HTTP/1.1" in rest) == (status, False)
    assert not pdp.memory.decisions
    await still_answers(pdp)


@pytest.mark.parametrize("given", [b"a\x01b", b"\xff\xfe", b"x" * 257, b"a\tb"])
async def test_a_request_id_that_no_log_should_hold_is_not_given_back(pdp: Pdp, given: bytes) -> None:
    raw = request(YES, [KIND, ("X-Request-ID", "MARK")], target=EVALUATION).replace(b"MARK", given)
    async with RawClient(pdp.port, gateway()) as client:
        answer = await client.ask(raw)
    assert answer.status in {200, 400}
    assert "x-request-id" not in answer.headers


# Who keeps places


async def test_n26_silent_connections_make_room_for_one_that_asks(pdp: Pdp) -> None:
    async with asyncio.timeout(BOUND):
        silent = [await asyncio.open_connection("127.0.0.1", pdp.port) for _ in range(200)]
        await still_answers(pdp)
        assert len(pdp.listener._strangers) <= 128
        # The oldest had to go; those that came last may still wait for their handshake.
        assert [await reader.read() for reader, _ in silent[:64]] == [b""] * 64
        for _, writer in silent:
            writer.transport.abort()


@pytest.mark.parametrize("pair", [None, pki.authority().client(GATEWAY + "2")], ids=["silent", "unlisted"])
async def test_n26_no_stranger_takes_the_place_of_one_who_may_ask(tmp_path: Path, pair: pki.Pair | None) -> None:
    async with asyncio.timeout(BOUND), serving(tmp_path, connections=2) as pdp, contextlib.AsyncExitStack() as held:
        fresh, asked = [await held.enter_async_context(RawClient(pdp.port, gateway())) for _ in range(2)]
        assert (await asked.ask(request(YES, [KIND], target=EVALUATION))).status == 200
        context = None if pair is None else trusting(pair)
        for _ in range(4):
            await held.enter_async_context(RawClient(pdp.port, context))
        while len(pdp.listener._strangers) < 4:  # noqa: ASYNC110 — as below
            await asyncio.sleep(0)
        for client in (fresh, asked):
            assert (await client.ask(request(YES, [KIND], target=EVALUATION))).status == 200


async def test_n26_connections_that_have_been_answered_make_room_for_another(tmp_path: Path) -> None:
    async with asyncio.timeout(BOUND), serving(tmp_path, connections=4) as pdp, contextlib.AsyncExitStack() as held:
        answered = [await held.enter_async_context(RawClient(pdp.port, gateway())) for _ in range(4)]
        for client in answered:
            assert (await client.ask(request(YES, [KIND], target=EVALUATION))).status == 200
        newcomer = await held.enter_async_context(RawClient(pdp.port, gateway()))
        assert (await newcomer.ask(request(YES, [KIND], target=EVALUATION))).status == 200
        assert await answered[0].closed() == b""  # it had waited longest
        assert (await answered[1].ask(request(YES, [KIND], target=EVALUATION))).status == 200


async def test_n24_where_all_are_at_work_a_newcomer_has_to_go(tmp_path: Path) -> None:
    head = request(YES, [KIND], target=EVALUATION)[: -len(YES)]
    async with asyncio.timeout(BOUND), serving(tmp_path, connections=2) as pdp, contextlib.AsyncExitStack() as held:
        clients = [await held.enter_async_context(RawClient(pdp.port, gateway())) for _ in range(2)]
        for client in clients:
            await client.send(head)
        while sum(door.connection.busy for door in pdp.listener._doors) < 2:  # noqa: ASYNC110 — nothing tells
            await asyncio.sleep(0)
        newcomer = await held.enter_async_context(RawClient(pdp.port, gateway()))
        assert await newcomer.closed() == b""
        for client in clients:
            assert (await client.ask(YES)).status == 200


async def test_n24_a_peer_that_does_not_read_its_answers_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def impatient(**given: Any) -> Limits:
        return Limits(**{**given, "request_seconds": 0.5, "idle_seconds": 0.5})

    monkeypatch.setattr(server, "Limits", impatient)
    async with serving(tmp_path, {**CLIENT}, evaluations=1024, body_bytes=1 << 20) as pdp:
        async with RawClient(pdp.port, gateway()) as client:
            client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.reader._transport.pause_reading()  # type: ignore[attr-defined]
            asked = request(batch(1024, 0), [KIND], target=EVALUATIONS)
            sending = asyncio.create_task(client.send(asked * 16))
            async with asyncio.timeout(BOUND):
                while pdp.listener._doors:
                    await asyncio.wait([sending], timeout=0.01)
            sending.cancel()
        await still_answers(pdp)


async def test_n23_early_closes_leave_nothing_behind(pdp: Pdp) -> None:
    whole = request(YES, [KIND], target=EVALUATION)
    for cut in range(0, len(whole), 37):
        async with RawClient(pdp.port, gateway()) as client:
            await client.send(whole[:cut])
    await still_answers(pdp)
    async with asyncio.timeout(BOUND):
        while len(pdp.listener._doors) > 1:
            await still_answers(pdp)
