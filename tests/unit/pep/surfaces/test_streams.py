"""What an upstream says while it works: passed on as it comes, to whom it concerns, for as long as that is permitted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, Final, TypeAlias

import pytest

from sallyport.pep import standing
from sallyport.pep.decision import Decider, Denied, EachOf, Mismatch, Sought
from sallyport.pep.model import Answer, Caller, Identity, Json, Request
from sallyport.pep.refusal import Reason, Refusal
from tests.support.gate import body
from tests.support.second_key import SecondKey, signed
from tests.support.surfaces import META, ROLE, Surfaces
from tests.support.upstream_leg import BOUND, Got, chunk, event, result, stream_head, until

Asked: TypeAlias = Callable[..., Awaitable[Any]]
ASKED: Final = {"name": "echo", "arguments": {"text": "a"}}
_LEVEL: Final = "io.modelcontextprotocol/logLevel"


class Speaking:
    """An upstream that says something, waits to be let go, and answers."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.spoken = asyncio.Event()
        self.gone = asyncio.Event()
        self.says = 1

    async def __call__(self, got: Got, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        token = got.message["params"]["_meta"].get("progressToken")
        writer.write(stream_head())
        for number in range(self.says):
            self.say(writer, token, number)
        await writer.drain()
        self.spoken.set()
        waiting = asyncio.ensure_future(self.go.wait())
        hung_up = asyncio.ensure_future(reader.read(1))
        await asyncio.wait((waiting, hung_up), return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            self.gone.set()
        else:
            self.say(writer, token, 9)
            text = str(got.message["params"]["arguments"].get("text"))
            value = {"resultType": "complete", "content": [{"type": "text", "text": text}]}
            writer.write(chunk(event(result(got, value))) + b"0\r\n\r\n")
            await writer.drain()
        for task in (waiting, hung_up):
            task.cancel()
        await asyncio.gather(waiting, hung_up, return_exceptions=True)

    def say(self, writer: asyncio.StreamWriter, token: Any, number: int) -> None:
        for method, params in (
            ("notifications/progress", {"progressToken": token, "progress": number + 1}),
            ("notifications/message", {"level": "info", "data": f"line {number}"}),
        ):
            writer.write(chunk(event({"jsonrpc": "2.0", "method": method, "params": params})))


@pytest.fixture
async def speaking(made: Surfaces) -> AsyncIterator[Speaking]:
    honest, made.opponent.say = made.opponent.say, Speaking()
    speaker = made.opponent.say
    await made.gate.rooms.in_force.look(asyncio.get_running_loop().time() + BOUND)
    yield speaker
    made.opponent.say = honest


class Client:
    def __init__(
        self,
        made: Surfaces,
        *,
        token: Any = None,
        level: str = "",
        text: str = "a",
        request: Request | None = None,
        **who: Any,
    ) -> None:
        self.frames: list[tuple[str, Mapping[str, Json]]] = []
        meta = {**META, **({"progressToken": token} if token is not None else {}), **({_LEVEL: level} if level else {})}
        usual = made.request("tools/call", {"name": "echo", "arguments": {"text": text}, "_meta": meta}, **who)
        asked = request or usual
        self.task: asyncio.Task[Answer] = asyncio.create_task(made.gate.handle(asked, self.emit))

    async def emit(self, method: str, params: Mapping[str, Json]) -> None:
        self.frames.append((method, params))

    async def answer(self) -> dict[str, Any]:
        return body(await asyncio.wait_for(self.task, BOUND))


async def test_progress_comes_under_the_clients_own_token_and_before_the_answer(
    made: Surfaces, speaking: Speaking
) -> None:
    client = Client(made, token="mine")
    await until(lambda: len(client.frames) == 1)
    assert not client.task.done(), "it was kept back until the answer"
    speaking.go.set()
    assert "result" in await client.answer()
    assert [method for method, _ in client.frames] == ["notifications/progress"] * 2
    assert {params["progressToken"] for _, params in client.frames} == {"mine"}
    assert made.got[-1].message["params"]["_meta"]["progressToken"] != "mine"


async def test_who_asked_for_nothing_hears_nothing(made: Surfaces, speaking: Speaking) -> None:
    speaking.go.set()
    client = Client(made)
    assert "result" in await client.answer()
    assert client.frames == []


async def test_log_lines_come_at_the_level_that_was_asked_for(made: Surfaces, speaking: Speaking) -> None:
    speaking.go.set()
    client = Client(made, level="info")
    await client.answer()
    assert [method for method, _ in client.frames] == ["notifications/message"] * 2
    deaf = Client(made, level="error")
    await deaf.answer()
    assert deaf.frames == []


async def test_n1_frames_of_equal_ids_and_tokens_never_cross(made: Surfaces, speaking: Speaking) -> None:
    clients = [Client(made, token=1, text=f"for {number}") for number in range(8)]
    await until(lambda: all(client.frames for client in clients))
    speaking.go.set()
    for number, client in enumerate(clients):
        answer = await client.answer()
        assert answer["result"]["content"][0]["text"] == f"for {number}"
        assert len(client.frames) == 2


async def nothing(*_: Any) -> EachOf:
    return EachOf({}, (), (), "d" * 64)


async def broken(*_: Any) -> None:
    raise ValueError("the line to the PDP broke")


async def begun(made: Surfaces, monkeypatch: pytest.MonkeyPatch, asked_anew: Asked, serves: str = "d" * 64) -> Client:
    """A stream with one frame out, as the policies become others and the PDP is asked anew."""
    revisions = [made.gate.hands.revision()]
    gate = made.gate.with_hands(revision=lambda: revisions[-1])
    client = Client(replace(made, gate=gate), token="t")
    await until(lambda: len(client.frames) == 1)
    monkeypatch.setattr(type(gate.hands.decider), "each", asked_anew)
    revisions.append(serves)
    return client


async def test_n28_a_policy_that_no_longer_permits_it_ends_the_stream_before_its_next_frame(
    made: Surfaces, speaking: Speaking, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await begun(made, monkeypatch, nothing)
    speaking.go.set()
    error = (await client.answer())["error"]
    assert (error["message"], error["data"]["effect"]) == ("denied by policy", "unknown")
    assert len(client.frames) == 1
    await made.gate.rooms.recorder._writer.record("refusal", {"reason": "fence", "effect": "deny"})
    outcome = [one for one in made.gate.records() if one.get("decision_id") == error["data"]["decision_id"]]
    assert [one["kind"] for one in outcome] == ["intent", "outcome"]


@pytest.mark.parametrize("asked_anew", [nothing, broken])
async def test_n28_a_stream_that_has_fallen_silent_ends_when_its_policy_does(
    made: Surfaces, speaking: Speaking, monkeypatch: pytest.MonkeyPatch, asked_anew: Asked
) -> None:
    client = await begun(made, monkeypatch, asked_anew)
    error = (await client.answer())["error"]  # the upstream says nothing more
    assert (error["message"], error["data"]["effect"]) == ("denied by policy", "unknown")
    assert len(client.frames) == 1
    await until(speaking.gone.is_set, 1)


async def test_a_stream_that_still_stands_outlives_another_policy_set(made: Surfaces, speaking: Speaking) -> None:
    serves = [made.gate.hands.revision()]
    client = Client(replace(made, gate=made.gate.with_hands(revision=lambda: serves[-1])), token="t")
    await until(lambda: len(client.frames) == 1)
    serves.append("d" * 64)
    speaking.go.set()
    assert "result" in await client.answer()
    assert len(client.frames) == 2


async def test_an_answer_that_comes_late_is_asked_for_again(
    made: Surfaces, speaking: Speaking, monkeypatch: pytest.MonkeyPatch
) -> None:
    truly, asked = type(made.gate.hands.decider).each, list[str]()

    async def late(self: Decider, caller: Caller, who: Identity, sought: Sought, *rest: Any) -> Any:
        asked.append(sought.action)
        if len(asked) == 1:
            return Denied(Refusal(Reason.NO_DECISION, "late"))
        return Mismatch("e" * 64) if len(asked) == 2 else await truly(self, caller, who, sought, *rest)

    client = await begun(made, monkeypatch, late)
    speaking.go.set()
    assert "result" in await client.answer()
    assert (len(client.frames), asked) == (2, ["echo"] * 3)


async def test_n5_a_call_of_whose_policies_nobody_says_a_word_ends_and_sends_nothing_meanwhile(
    made: Surfaces, speaking: Speaking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standing, "PATIENCE", 0.5)
    client = await begun(made, monkeypatch, nothing, serves="")
    speaking.go.set()
    error = (await client.answer())["error"]
    assert (error["message"], error["data"]["effect"]) == ("authorization unavailable", "unknown")
    assert len(client.frames) == 1


async def test_a_pdp_that_is_away_for_a_moment_ends_no_call(made: Surfaces, speaking: Speaking) -> None:
    serves = [made.gate.hands.revision()]
    looked = asyncio.Event()

    def revision() -> str:
        looked.set() if not serves[-1] else None
        return serves[-1]

    client = Client(replace(made, gate=made.gate.with_hands(revision=revision)), token="t")
    await until(lambda: len(client.frames) == 1)
    serves.append("")
    speaking.go.set()
    await asyncio.wait_for(looked.wait(), BOUND)
    serves.pop()
    assert "result" in await client.answer()
    assert len(client.frames) == 2


async def test_n26_another_policy_set_has_few_calls_asked_about_at_once(
    made: Surfaces, speaking: Speaking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls that begin must not wait for all those that go on."""
    serves, truly = [made.gate.hands.revision()], type(made.gate.hands.decider).each
    gate = replace(made, gate=made.gate.with_hands(revision=lambda: serves[-1]))
    now, most = 0, 0

    async def counted(*asked: Any) -> Any:
        nonlocal now, most
        now += 1
        most = max(most, now)
        try:
            return await truly(*asked)
        finally:
            now -= 1

    clients = [Client(gate, token=number) for number in range(24)]
    await until(lambda: all(client.frames for client in clients))
    monkeypatch.setattr(type(made.gate.hands.decider), "each", counted)
    serves.append("d" * 64)
    speaking.go.set()
    for client in clients:
        assert "result" in await client.answer()
    assert 1 < most <= 4


async def test_n28_a_call_ends_when_the_key_of_its_token_goes(made: Surfaces, speaking: Speaking) -> None:
    """Its upstream says nothing more, so no frame would tell."""
    key = SecondKey(made.gate.directory)
    look(made)
    asked = made.request("tools/call", {**ASKED, "_meta": {**META, "progressToken": "t"}})
    client = Client(made, request=signed(asked, key.token("alice", roles=(ROLE,))))
    other = Client(made, token="t")
    await until(lambda: bool(client.frames and other.frames))
    key.go()
    look(made)
    error = (await client.answer())["error"]
    assert (error["message"], error["data"]["effect"]) == ("denied by policy", "unknown")
    assert len(client.frames) == 1
    speaking.go.set()
    assert "result" in await other.answer()


def look(made: Surfaces) -> None:
    """The gate's two looks at the key files."""
    for keys in made.gate.rooms.authenticators.keys:
        keys.look()
        keys.look()


async def test_a_client_that_goes_ends_the_upstreams_work_within_a_second(made: Surfaces, speaking: Speaking) -> None:
    client = Client(made, token="t")
    await until(lambda: len(client.frames) == 1)
    client.task.cancel()
    await asyncio.gather(client.task, return_exceptions=True)
    await until(speaking.gone.is_set, 1)
