"""Sessions of legacy upstreams: one for each caller at one upstream, never shared, bounded, and closed at the end."""

from __future__ import annotations

import asyncio
from collections import defaultdict

import pytest

from sallyport.pep.model import Identity, Reply
from sallyport.pep.upstream import UpstreamUnavailable
from tests.support.fake_server import fake_server
from tests.support.upstream_leg import (
    BOUND,
    LEGACY,
    Client,
    Gate,
    Got,
    Opponent,
    against,
    answer,
    echo,
    forward,
    gate,
    http,
    read_request,
    saying,
    until,
    who,
)

SESSION = "mcp-session-id"


async def test_n2_no_two_callers_share_a_session_whichever_part_of_them_differs() -> None:
    people = [who(), who(user="bob"), who(agent="chat-bot"), who(org="globex"), who(issuer="other"), None]
    seen: dict[int, set[str]] = defaultdict(set)
    async with against(echo, LEGACY, session=True) as (before, opponent):

        async def one(number: int, identity: Identity | None) -> None:
            asked = forward(params={"name": "echo", "arguments": {"n": number}}, identity=identity)
            assert isinstance(await before.ask(asked), Reply)

        await asyncio.gather(*(one(number, identity) for number, identity in enumerate(people) for _ in range(5)))
        for got in opponent.calls():
            seen[got.message["params"]["arguments"]["n"]].add(got.headers[SESSION])
    assert all(len(sessions) == 1 for sessions in seen.values())
    assert len(set.union(*seen.values())) == len(people)


async def test_parts_of_an_identity_cant_be_shifted_into_one_another() -> None:
    people = [
        who(user="a", agent="bc"),
        who(user="ab", agent="c"),
        who(user="a\0bc", agent=""),
        who(user="", agent="abc"),
    ]
    async with against(echo, LEGACY, session=True) as (before, opponent):
        for identity in people:
            await before.ask(forward(identity=identity))
    assert len({got.headers[SESSION] for got in opponent.calls()}) == 4


async def test_the_sessions_of_an_upstream_are_bounded_and_the_one_used_longest_ago_is_closed() -> None:
    async with against(echo, LEGACY, session=True, sessions=3) as (before, opponent):
        for number in range(10):
            await before.ask(forward(identity=who(f"u{number}")))
            await until(lambda: len(opponent.sessions) <= 3)
        assert len([got for got in opponent.got if got.verb == "DELETE"]) == 8  # with the gate's own
        kept = opponent.calls()[-1].headers[SESSION]
        await before.ask(forward(identity=who("u9")))
        assert opponent.calls()[-1].headers[SESSION] == kept


async def test_a_session_in_use_is_never_closed_for_another() -> None:
    held = asyncio.Event()

    async def say(got: Got, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await held.wait()
        writer.write(answer(got, {"content": []}))

    async with against(say, LEGACY, session=True, sessions=2) as (before, opponent):
        running = [asyncio.create_task(before.ask(forward(identity=who(user)))) for user in ("a", "b")]
        await until(lambda: len(opponent.calls()) == 2)
        client = Client()
        with pytest.raises(UpstreamUnavailable):
            await before.ask(forward(identity=who("c")), client)
        assert client.begun == 0
        held.set()
        assert all(isinstance(found, Reply) for found in await asyncio.gather(*running))


async def test_idle_sessions_are_closed() -> None:
    async with against(echo, LEGACY, session=True, session_idle_seconds=1) as (before, opponent):
        for user in ("a", "b", "c"):
            await before.ask(forward(identity=who(user)))
        assert len(opponent.sessions) == 4
        await until(lambda: not opponent.sessions)
        assert isinstance(await before.ask(), Reply)


async def test_every_session_is_closed_at_the_end() -> None:
    async with against(echo, LEGACY, session=True) as (before, opponent):
        for user in ("a", "b", "c"):
            await before.ask(forward(identity=who(user)))
        await before.upstreams.close()
        assert opponent.sessions == set()


async def test_a_lost_session_is_begun_anew_once_since_nothing_ran() -> None:
    async with against(echo, LEGACY, session=True) as (before, opponent):
        await before.ask()
        opponent.sessions.clear()
        client = Client()
        assert isinstance(await before.ask(client=client), Reply)
        assert client.begun == 1
        assert len(opponent.calls()) == 3


async def test_a_session_that_is_lost_again_is_a_known_failure() -> None:
    async with against(saying(http(b"", "text/plain", "404 Not Found")), LEGACY, session=True) as (before, opponent):
        client = Client()
        found = await before.ask(client=client)
        assert not isinstance(found, Reply)
        assert (client.begun, len(opponent.calls())) == (1, 2)


async def test_many_calls_of_one_caller_at_once_begin_one_session() -> None:
    async with against(echo, LEGACY, session=True) as (before, opponent):
        await asyncio.gather(*(before.ask() for _ in range(30)))
        assert len(opponent.calls("initialize")) == 2  # the gate's own, and alice's


async def test_a_caller_who_leaves_while_a_session_begins_leaves_no_stray_one() -> None:
    going = asyncio.Event()

    class Slow(Opponent):
        async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await super().__call__(reader, writer)

        def first(self, request: Got) -> bytes:
            if request.method == "initialize":
                going.set()
            return super().first(request)

    opponent = Slow(echo, LEGACY, session=True)
    async with fake_server(opponent) as port, gate(port, LEGACY) as before:
        running = asyncio.create_task(before.ask())
        await going.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert isinstance(await before.ask(), Reply)
        await before.upstreams.close()
        assert opponent.sessions == set()


async def test_an_upstream_without_sessions_gets_none_and_one_handshake() -> None:
    async with against(echo, LEGACY) as (before, opponent):
        for user in ("a", "b"):
            await before.ask(forward(identity=who(user)))
    assert len(opponent.calls("initialize")) == 1
    assert not [got for got in opponent.got if SESSION in got.headers or got.verb == "DELETE"]


@pytest.mark.parametrize("session", ["has blank", "ü", "x" * 1025, "tab\there"])
async def test_a_session_id_that_is_none_is_refused(session: str) -> None:
    class Odd(Opponent):
        def first(self, request: Got) -> bytes:
            if request.method == "initialize":
                return answer(request, {"protocolVersion": LEGACY, "capabilities": {}}, mcp_session_id=session)
            return super().first(request)

    opponent = Odd(echo, LEGACY)
    async with fake_server(opponent) as port, gate(port) as before:
        with pytest.raises(UpstreamUnavailable):
            await before.ask()


class Handshaking(Opponent):
    """Takes its time for every session but the gate's own."""

    def __init__(self) -> None:
        super().__init__(echo, LEGACY, session=True)
        self.go = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (request := await read_request(reader)) is not None:
                self.got.append(request)
                if len(self.calls("initialize")) > 1 and request.method == "initialize":
                    await self.go.wait()
                writer.write(self.first(request) or answer(request))
                await writer.drain()
        except ConnectionError:
            return
        finally:
            writer.close()


async def _listening(before: Gate, user: str) -> None:
    asked = forward("subscriptions/listen", {"notifications": {}}, identity=who(user))
    async for _ in before.upstreams.listen("crm", before.upstream, asked, begun=lambda: None):
        pass


async def _left(before: Gate, opponent: Opponent, users: list[str]) -> None:
    """They want to listen, and hang up while they are being shaken hands with."""
    begun = len(opponent.calls("initialize"))
    running = [asyncio.create_task(_listening(before, user)) for user in users]
    await until(lambda: len(opponent.calls("initialize")) == begun + len(users))
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


async def test_a_listener_who_hangs_up_in_the_handshake_leaves_no_session_and_holds_its_room_until_then() -> None:
    opponent = Handshaking()
    async with fake_server(opponent) as port, gate(port, LEGACY, sessions=8, connections=64) as before:
        await before.ask(forward("tools/list", {}, envelope=None, identity=None))  # the gate has its own session
        await _left(before, opponent, [f"u{number}" for number in range(8)])  # for the last the gate's own had to go
        with pytest.raises(UpstreamUnavailable, match="sessions"):
            await asyncio.wait_for(_listening(before, "one more"), BOUND)
        opponent.go.set()
        await until(lambda: len(opponent.calls("notifications/initialized")) == 9)
        await until(lambda: not opponent.sessions)
        opponent.go.clear()
        await _left(before, opponent, ["one more"])
        opponent.go.set()


async def test_one_caller_who_hangs_up_again_and_again_takes_no_others_room() -> None:
    opponent = Handshaking()
    async with fake_server(opponent) as port, gate(port, LEGACY, sessions=8, connections=64) as before:
        await before.ask(forward("tools/list", {}, envelope=None, identity=None))  # the gate has its own session
        await _left(before, opponent, ["mallory", "mallory"])
        with pytest.raises(UpstreamUnavailable, match="a caller"):
            await asyncio.wait_for(_listening(before, "mallory"), BOUND)
        await _left(before, opponent, ["alice"])
        opponent.go.set()
        await until(lambda: len(opponent.sessions) <= 1)


async def test_a_session_whose_handshake_breaks_off_after_its_id_is_ended() -> None:
    class Breaking(Opponent):
        def first(self, request: Got) -> bytes:
            if request.method == "notifications/initialized":
                return http(b"", "text/plain", "400 Bad Request")
            return super().first(request)

    opponent = Breaking(echo, LEGACY, session=True)
    async with fake_server(opponent) as port, gate(port, LEGACY) as before:
        with pytest.raises(UpstreamUnavailable):
            await before.ask()
        await until(lambda: not opponent.sessions)
