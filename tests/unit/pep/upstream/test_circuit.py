"""What opens a circuit: a server that can't be reached, or doesn't answer the gate itself. No caller's calls alone."""

from __future__ import annotations

import asyncio
from typing import Final

import pytest

from sallyport.pep.model import Reply
from sallyport.pep.upstream import UpstreamBroke, UpstreamUnavailable
from sallyport.pep.upstream.circuit import Circuit
from sallyport.pep.upstream.standing import APART
from tests.support.fake_server import fake_server
from tests.support.upstream_leg import (
    LEGACY,
    MODERN,
    Got,
    Opponent,
    Say,
    against,
    echo,
    forward,
    gate,
    stream_head,
    until,
    who,
)


def hanging_up(say: bytes) -> Say:
    """To the tool that is named `bad`; any other is answered."""

    async def act(got: Got, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if got.message["params"].get("name") != "bad":
            await echo(got, reader, writer)
            return
        writer.write(say)
        if not say.startswith(b"HTTP/1.1 50"):
            writer.close()

    return act


BROKEN: Final = {
    "hangs up": b"",
    "breaks off": stream_head() + b"7\r\n: hello",
    "502": b"HTTP/1.1 502 X\r\ncontent-length: 0\r\n\r\n",
    "503": b"HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n",
    "504": b"HTTP/1.1 504 X\r\ncontent-length: 0\r\n\r\n",
}


@pytest.mark.parametrize("era", [MODERN, LEGACY])
@pytest.mark.parametrize("broken", BROKEN)
async def test_n23_what_one_callers_calls_do_to_their_answers_opens_no_circuit(broken: str, era: str) -> None:
    async with against(hanging_up(BROKEN[broken]), era, session=era == LEGACY) as (before, opponent):
        bad = forward(params={"name": "bad", "arguments": {}}, identity=who("bob"))
        began = asyncio.get_running_loop().time()
        for _ in range(40):
            with pytest.raises(UpstreamBroke):
                await before.ask(bad)
            assert before.upstreams._standing["crm"].leg.standing.circuit.is_open is False
        seconds = asyncio.get_running_loop().time() - began
        assert isinstance(await before.ask(), Reply)
        assert len(opponent.calls("server/discover")) <= 3 + seconds / APART, "a flood of the gate's own questions"
        assert len(opponent.calls()) == 41


async def test_n23_calls_that_break_all_at_once_bring_about_one_question_of_the_gates_own() -> None:
    async with against(hanging_up(b"")) as (before, opponent):
        await before.ask()
        standing = before.upstreams._standing["crm"].leg.standing
        standing._asked_at -= APART  # as if it had been asked long ago
        bad = [forward(params={"name": "bad", "arguments": {}}, identity=who(f"u{number}")) for number in range(12)]
        told = await asyncio.gather(*(before.ask(one) for one in bad), return_exceptions=True)
        assert all(isinstance(one, UpstreamBroke) for one in told)
        await until(lambda: len(opponent.calls("server/discover")) == 2)
        await until(lambda: standing._settling is None)
        assert standing.circuit.is_open is False
        assert len(opponent.calls("server/discover")) == 2


@pytest.mark.parametrize("broken", BROKEN)
async def test_a_server_that_breaks_off_whatever_it_is_asked_is_away_as_soon_as_the_gate_has_asked_too(
    broken: str,
) -> None:
    class Falling(Opponent):
        down = False

        def first(self, request: Got) -> bytes:
            return b"" if self.down else super().first(request)

    async def say(got: Got, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if opponent.down:
            writer.write(BROKEN[broken])
            writer.close()
        else:
            await echo(got, reader, writer)

    opponent = Falling(say)
    async with fake_server(opponent) as port, gate(port, MODERN) as before:
        await before.ask()
        opponent.down = True
        for _ in range(5):
            with pytest.raises((UpstreamBroke, UpstreamUnavailable)):
                await before.ask()
            before.upstreams._standing["crm"].leg.standing._asked_at -= APART
        circuit = before.upstreams._standing["crm"].leg.standing.circuit
        await until(lambda: circuit.is_open)
        with pytest.raises(UpstreamUnavailable, match=r"not tried|asked what"):
            await before.ask()


async def test_n23_a_server_that_begins_no_session_for_one_caller_is_there_for_the_others() -> None:
    class Picky(Opponent):
        refusing = False

        def first(self, request: Got) -> bytes:
            if self.refusing and request.method == "initialize":
                return b"HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n"
            return super().first(request)

    opponent = Picky(echo, LEGACY, session=True)
    async with fake_server(opponent) as port, gate(port, LEGACY) as before:
        assert isinstance(await before.ask(), Reply)
        standing = before.upstreams._standing["crm"].leg.standing
        standing._asked_at = float("inf")  # the gate doesn't ask meanwhile: only what bob's requests do is seen
        opponent.refusing = True
        for _ in range(12):
            with pytest.raises(UpstreamUnavailable, match="in the handshake"):
                await before.ask(forward(identity=who("bob")))
        assert standing.circuit.is_open is False
        assert isinstance(await before.ask(), Reply)


def test_what_callers_requests_met_opens_a_circuit_only_with_what_the_gates_own_question_met() -> None:
    now = 100.0
    circuit = Circuit(lambda: now)
    assert [circuit.doubted("cut", now) for _ in range(6)] == [False] * 4 + [True] * 2
    circuit.failed("down", now)
    before = circuit.is_open
    circuit.confirmed("down", now)
    assert (before, circuit.is_open) == (False, True)
    circuit.answered()
    now += 1
    circuit.doubted("cut", now - 2)  # somebody was answered since
    circuit.confirmed("down", now - 2)
    assert circuit.trouble == ""
