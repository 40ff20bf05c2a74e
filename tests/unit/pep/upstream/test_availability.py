"""Places, queues, circuits and cancellation: one upstream's trouble stays its own, and nothing is left behind."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sallyport.contract.surfaces import Upstream, UpstreamLimits
from sallyport.pep.model import Reply, TookTooLong
from sallyport.pep.upstream import UpstreamBroke, UpstreamUnavailable
from sallyport.pep.upstream.circuit import Circuit
from tests.support.fake_server import fake_server
from tests.support.upstream_leg import (
    LEGACY,
    MODERN,
    Client,
    Gate,
    Got,
    Opponent,
    against,
    answer,
    echo,
    forward,
    gate,
    leg,
    stream_head,
    until,
    who,
)

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def hang(got: Got, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until the other side hangs up."""
    await reader.read()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 — names only


@pytest.fixture(autouse=True)
async def _nothing_is_left() -> AsyncIterator[None]:
    tasks, held = asyncio.all_tasks(), descriptors()
    yield
    await until(lambda: asyncio.all_tasks() - {asyncio.current_task()} <= tasks)
    await until(lambda: descriptors() <= held)


@pytest.mark.parametrize("era", [MODERN, LEGACY])
async def test_a_cancelled_request_is_seen_by_the_upstream_within_a_second(era: str) -> None:
    async with against(hang, era, session=era == LEGACY) as (before, opponent):
        running = asyncio.create_task(before.ask())
        await until(lambda: bool(opponent.calls()))
        (call,) = opponent.calls()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        if era == LEGACY:
            await until(lambda: bool(opponent.calls("notifications/cancelled")), 1)
            (told,) = opponent.calls("notifications/cancelled")
            assert told.message["params"]["requestId"] == call.id
            assert told.headers["mcp-session-id"] == call.headers["mcp-session-id"]
        else:
            await until(lambda: opponent.open == 0, 1)


@pytest.mark.parametrize("era", [MODERN, LEGACY])
async def test_a_stream_that_is_cancelled_in_the_middle_is_closed_within_a_second(era: str) -> None:
    async def begin(got: Got, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(stream_head())
        await hang(got, reader, writer)

    async with against(begin, era) as (before, opponent):
        running = asyncio.create_task(before.ask())
        await until(lambda: bool(opponent.calls()))
        await asyncio.sleep(0.05)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        if era == MODERN:
            await until(lambda: opponent.open == 0, 1)
        else:
            await until(lambda: bool(opponent.calls("notifications/cancelled")), 1)


async def test_what_takes_too_long_ends_in_time_with_the_effect_unknown() -> None:
    async with against(hang) as (before, opponent):
        client = Client()
        with pytest.raises(TookTooLong) as late:
            await before.ask(forward(timeout_ms=1000, timeout_by="limits.timeout_ms"), client)
        assert late.value.public == "took longer than its limit of 1000 ms"
        assert str(late.value) == "took longer than its limit of 1000 ms (limits.timeout_ms)"
        assert client.begun == 1
        await until(lambda: opponent.open == 0, 1)


async def test_a_stream_that_falls_silent_is_cut_at_the_idle_limit() -> None:
    async def begin(got: Got, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(stream_head() + b"7\r\n: hello\r\n")
        await hang(got, reader, writer)

    async with against(begin, idle_ms=500) as (before, _):
        began = asyncio.get_running_loop().time()
        with pytest.raises(TookTooLong) as late:
            await before.ask(forward(timeout_ms=60_000))
        assert late.value.public == "was silent for longer than its server's limit of 500 ms"
        assert str(late.value).endswith("(the upstream's limits.idle_ms)")
        assert asyncio.get_running_loop().time() - began < 30


async def test_n26_a_full_queue_refuses_at_once_and_holds_nobody() -> None:
    async with against(hang, connections=2, queue=3) as (before, opponent):
        running = [asyncio.create_task(before.ask(forward(identity=who(f"u{number}")))) for number in range(5)]
        await until(lambda: len(opponent.calls()) == 2)
        client = Client()
        with pytest.raises(UpstreamUnavailable):
            await before.ask(client=client)
        assert client.begun == 0
        running[4].cancel()
        await asyncio.gather(running[4], return_exceptions=True)
        running.append(asyncio.create_task(before.ask()))
        await asyncio.sleep(0)
        assert not running[5].done()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        assert len(opponent.calls()) == 2


async def test_n23_a_slow_upstream_takes_no_place_of_another() -> None:
    fast, slow = Opponent(echo), Opponent(hang)
    async with fake_server(fast) as quick, fake_server(slow) as late, leg(quick, late) as upstreams:
        limits = UpstreamLimits(connections=4, queue=4)
        to = [
            Gate(upstreams, Upstream(url=f"http://127.0.0.1:{port}/mcp", limits=limits), str(port))
            for port in (quick, late)
        ]
        stuck = [asyncio.create_task(to[1].ask(forward(identity=who(f"u{number}")))) for number in range(8)]
        await until(lambda: len(slow.calls()) == 4)
        for number in range(50):
            assert isinstance(await to[0].ask(forward(identity=who(f"u{number}"))), Reply)
        assert not any(task.done() for task in stuck)
        for task in stuck:
            task.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)


async def test_n26_one_caller_who_takes_all_they_can_leaves_half_of_an_upstream_to_others() -> None:
    async def say(got: Got, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await (hang if got.message["params"].get("name") == "slow" else echo)(got, reader, writer)

    async with against(say, connections=4, queue=4) as (before, opponent):
        asked = forward(params={"name": "slow", "arguments": {}}, identity=who("bob"))
        stuck = [asyncio.create_task(before.ask(asked)) for _ in range(20)]
        await until(lambda: sum(task.done() for task in stuck) == 14)
        assert len(opponent.calls()) == 2
        refused = {str(task.exception()) for task in stuck if task.done()}
        assert refused == {"2 of 4 places are taken, 2 a caller, and 4 wait"}
        for number in range(10):
            assert isinstance(await before.ask(forward(identity=who(f"u{number}"))), Reply)
        for task in stuck:
            task.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)
        assert isinstance(await before.ask(forward(identity=who("bob"))), Reply)


async def test_n26_who_holds_less_goes_first_and_a_caller_who_leaves_the_queue_leaves_their_place_in_it() -> None:
    async with against(hang, connections=2, queue=8) as (before, opponent):

        def ask(name: str, user: str) -> asyncio.Task[object]:
            return asyncio.create_task(before.ask(forward(params={"name": name, "arguments": {}}, identity=who(user))))

        def asked() -> list[str]:
            return [got.message["params"]["name"] for got in opponent.calls()]

        first, second = ask("bob 1", "bob"), ask("carol 1", "carol")
        await until(lambda: len(asked()) == 2)
        waiting = []
        for name, user in (("bob 2", "bob"), ("gone", "dora"), ("bob 3", "bob"), ("alice 1", "alice")):
            waiting.append(ask(name, user))
            await asyncio.sleep(0)
        waiting[1].cancel()
        await asyncio.gather(waiting[1], return_exceptions=True)
        second.cancel()
        await until(lambda: len(asked()) == 3)
        assert asked()[2] == "alice 1"
        first.cancel()
        await until(lambda: len(asked()) == 4)
        assert asked()[3] == "bob 2"
        for task in (first, second, *waiting):
            task.cancel()
        await asyncio.gather(first, second, *waiting, return_exceptions=True)


async def test_n26_who_has_more_seats_in_a_full_queue_gives_the_last_of_them_up() -> None:
    async with against(hang, connections=2, queue=3) as (before, opponent):

        def ask(user: str) -> asyncio.Task[object]:
            return asyncio.create_task(before.ask(forward(identity=who(user))))

        running = [ask(user) for user in ("a", "b", "bob", "bob", "bob")]
        await until(lambda: len(opponent.calls()) == 2)
        assert not any(task.done() for task in running)
        running.append(ask("alice"))
        await until(running[4].done)
        assert isinstance(running[4].exception(), UpstreamUnavailable)
        with pytest.raises(UpstreamUnavailable):
            await before.ask(forward(identity=who("bob")))
        running.append(ask("carol"))
        await until(running[3].done)
        with pytest.raises(UpstreamUnavailable):
            await before.ask(forward(identity=who("dora")))
        assert [task.done() for task in running] == [False, False, False, True, True, False, False]
        running[0].cancel()
        await until(lambda: len(opponent.calls()) == 3)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def test_n21_the_gates_own_question_finds_a_place_while_all_others_are_taken() -> None:
    async def say(got: Got, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await (hang if got.method == "tools/call" else echo)(got, reader, writer)

    async with against(say, connections=2, queue=0) as (before, opponent):
        stuck = [asyncio.create_task(before.ask(forward(identity=who(user)))) for user in ("bob", "carol")]
        await until(lambda: len(opponent.calls()) == 2)
        with pytest.raises(UpstreamUnavailable):
            await before.ask()
        own = forward("tools/list", {}, envelope=None, identity=None)
        assert isinstance(await before.ask(own), Reply)
        for task in stuck:
            task.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)


async def test_what_is_refused_was_never_begun_and_opens_the_circuit() -> None:
    port = free_port()
    async with gate(port) as before:
        clients = [Client() for _ in range(8)]
        for client in clients:
            with pytest.raises(UpstreamUnavailable):
                await before.ask(client=client)
        assert not any(client.begun for client in clients)
        assert "Connect" in before.upstreams.health()["crm"]
        opponent, heard = Opponent(echo), []
        before.upstreams.on_list_changed(lambda name, kind: heard.append((name, kind)))
        server = await asyncio.start_server(opponent, "127.0.0.1", port)
        with pytest.raises(UpstreamUnavailable, match="not tried"):
            await before.ask()
        assert opponent.connections == 0  # it is open: nobody is asked
        async with asyncio.timeout(60):
            while not heard:
                try:
                    await before.ask()
                except UpstreamUnavailable:
                    await asyncio.sleep(0.05)
        assert heard == [("crm", "tools")]
        assert before.upstreams.health() == {"crm": ""}
        server.close()


async def test_a_probe_is_the_gates_own_request_and_only_one_is_sent() -> None:
    down = True

    class Weak(Opponent):
        def first(self, request: Got) -> bytes:
            return b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n" if down else super().first(request)

    opponent = Weak(echo)
    async with fake_server(opponent) as port, gate(port) as before:
        for _ in range(5):
            with pytest.raises(UpstreamUnavailable):
                await before.ask()
        opponent.got.clear()
        circuit = before.upstreams._standing["crm"].leg.standing.circuit
        await until(lambda: asyncio.get_running_loop().time() >= circuit._until)
        told = await asyncio.gather(*(before.ask() for _ in range(20)), return_exceptions=True)
        assert all(isinstance(one, UpstreamUnavailable) for one in told)
        assert [got.method for got in opponent.got] == ["server/discover"]
        down = False
        await until(lambda: asyncio.get_running_loop().time() >= circuit._until)
        assert isinstance(await before.ask(), Reply)


async def test_one_callers_slow_tool_doesnt_shut_out_those_who_are_answered() -> None:
    async def say(got: Got, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await (hang if got.message["params"]["name"] == "slow" else echo)(got, reader, writer)

    async with against(say) as (before, opponent):
        await before.ask()
        asked = forward(params={"name": "slow", "arguments": {}}, timeout_ms=1500)
        slow = [asyncio.create_task(before.ask(asked)) for _ in range(12)]
        await until(lambda: len(opponent.calls()) == 13)
        assert isinstance(await before.ask(), Reply)
        told = await asyncio.gather(*slow, return_exceptions=True)
        assert all(isinstance(one, TimeoutError) for one in told)
        assert before.upstreams._standing["crm"].leg.standing.circuit.is_open is False
        assert isinstance(await before.ask(), Reply)


async def test_a_call_is_never_sent_twice_and_what_has_no_effect_once_more() -> None:
    async def drop(got: Got, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with against(drop) as (before, opponent):
        with pytest.raises(UpstreamBroke):
            await before.ask()
        assert len(opponent.calls()) == 1
        client = Client()
        with pytest.raises(UpstreamBroke):
            await before.ask(forward("tools/list", {}), client)
        assert (client.begun, len(opponent.calls("tools/list"))) == (1, 2)


async def test_a_kept_connection_that_its_server_closed_isnt_used_for_a_call() -> None:
    async def leave(got: Got, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(got, {"content": []}))
        writer.close()

    async with against(leave) as (before, opponent):
        for number in range(20):
            client = Client()
            assert isinstance(await before.ask(client=client), Reply)
            assert (client.begun, len(opponent.calls())) == (1, number + 1)


async def test_a_read_survives_a_connection_that_its_server_closed_meanwhile() -> None:
    async def once(got: Got, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(opponent.calls("tools/list")) == 1:
            writer.close()
        else:
            writer.write(answer(got, {"tools": []}))

    async with against(once) as (before, opponent):
        assert await before.ask(forward("tools/list", {})) == Reply({"tools": []})


async def test_an_entry_that_changes_gets_another_leg_and_the_old_one_ends_with_its_last_request() -> None:
    held = asyncio.Event()

    async def say(got: Got, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await held.wait()
        writer.write(answer(got, {"content": []}))

    async with against(say) as (before, opponent):
        first = asyncio.create_task(before.ask())
        await until(lambda: len(opponent.calls()) == 1)
        second = asyncio.create_task(before.at(connections=5).ask())
        await until(lambda: len(opponent.calls()) == 2)
        held.set()
        assert all(isinstance(found, Reply) for found in await asyncio.gather(first, second))
        await until(lambda: not before.upstreams._retiring)
        assert opponent.connections == 2  # one of each leg


async def test_n19_an_address_that_egress_doesnt_list_is_never_called(tmp_path: Path) -> None:
    async with fake_server(Opponent(echo)) as port, leg(port + 1) as upstreams:
        before = Gate(upstreams, Upstream(url=f"http://127.0.0.1:{port}/mcp"))
        client = Client()
        with pytest.raises(UpstreamUnavailable, match="egress") as refused:
            await before.ask(client=client)
        assert client.begun == 0
        assert str(port) not in refused.value.public
        assert "egress" in upstreams.health()["crm"]


def test_a_circuit_doubles_its_pause_up_to_thirty_seconds_and_forgets_all_at_an_answer() -> None:
    now = 100.0
    circuit = Circuit(lambda: now)
    for _ in range(4):
        circuit.failed("down", now)
    circuit.check()
    pauses = []
    for _ in range(9):
        for _ in range(3):  # what was under way counts once
            circuit.failed("down", now)
        with pytest.raises(UpstreamUnavailable):
            circuit.check()
        pauses.append(circuit._until - now)
        now = circuit._until
        circuit.check()
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert circuit.answered()
    circuit.failed("down", now + 1)
    circuit.check()


@pytest.mark.parametrize("status", ["500 Oops", "501 X", "505 X", "400 X", "409 X"])
async def test_what_one_caller_makes_a_server_answer_shuts_out_nobody(status: str) -> None:
    async def say(got: Got, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if got.message["params"]["name"] == "bad":
            writer.write(f"HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n".encode())
        else:
            await echo(got, reader, writer)

    async with against(say) as (before, opponent):
        bad = forward(params={"name": "bad", "arguments": {}}, identity=who("bob"))
        for _ in range(12):
            with pytest.raises(UpstreamBroke):
                await before.ask(bad)
        assert isinstance(await before.ask(), Reply)
        assert before.upstreams.health() == {"crm": ""}
        assert len(opponent.calls("server/discover")) == 1


@pytest.mark.parametrize("status", ["500 X", "502 X", "503 X", "504 X"])
async def test_a_server_that_says_so_also_to_the_gate_is_away(status: str) -> None:
    class Away(Opponent):
        def first(self, request: Got) -> bytes:
            return f"HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n".encode()

    opponent = Away(echo)
    async with fake_server(opponent) as port, gate(port) as before:
        for _ in range(5):
            with pytest.raises(UpstreamUnavailable, match="HTTP"):
                await before.ask()
        with pytest.raises(UpstreamUnavailable, match="not tried"):
            await before.ask()


async def test_slow_calls_alone_open_no_circuit_where_the_server_answers_the_gate() -> None:
    async with against(echo) as (before, opponent):
        await before.ask()  # what comes first has come: in so short a time only a call is sent
        opponent.say = hang
        slow = forward(timeout_ms=200, identity=who("bob"))
        for _ in range(12):
            with pytest.raises(TimeoutError):
                await before.ask(slow)
        await until(lambda: len(opponent.calls("server/discover")) > 1)
        circuit = before.upstreams._standing["crm"].leg.standing.circuit
        assert circuit.is_open is False
        opponent.say = echo
        assert isinstance(await before.ask(), Reply)


async def test_a_server_that_answers_nothing_any_more_is_asked_by_the_gate_and_its_circuit_opens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sallyport.pep.upstream.footing._SECONDS", 0.5)

    class Falling(Opponent):
        mute = False

        def first(self, request: Got) -> bytes:
            return b"" if self.mute else super().first(request)

    async def say(got: Got, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await (hang if opponent.mute else echo)(got, reader, writer)

    opponent = Falling(say)
    async with fake_server(opponent) as port, gate(port, MODERN) as before:
        await before.ask()
        opponent.mute = True
        for _ in range(5):
            with pytest.raises(TimeoutError):
                await before.ask(forward(timeout_ms=200))
        circuit = before.upstreams._standing["crm"].leg.standing.circuit
        await until(lambda: circuit.is_open)
        with pytest.raises(UpstreamUnavailable, match=r"not tried|in time"):
            await before.ask()
