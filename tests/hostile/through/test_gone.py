"""Who hangs up is noticed, what it means for the effect is said, and one upstream that never answers slows no other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, Final

import pytest

from tests.hostile.through.front import LEGACY, MODERN, Front, front, tool
from tests.support.recording_upstream import Recording, Seen, complete, said
from tests.support.upstream_leg import answer, chunk, event, http, result, stream_head, until

NOTICED: Final = 1.0  # seconds from the client's end to the upstream's
CALLS: Final = 100
SLOW_MS: Final = 2000
UPSTREAMS: Final = {"modern": MODERN, "legacy": LEGACY}


def half_json(seen: Seen) -> bytes:
    return answer(seen, complete("done"))[:-5]


def half_stream(seen: Seen) -> bytes:
    return stream_head() + chunk(event(result(seen, complete("done")))[:-5])


def nothing(_seen: Seen) -> bytes:
    return b""


def head_only(_seen: Seen) -> bytes:
    return stream_head()


def broken(_seen: Seen) -> bytes:
    return http(b"oops", "text/plain", "502 Bad Gateway")


ENDINGS: Final = {"half_json": half_json, "half_stream": half_stream, "nothing": nothing, "head_only": head_only}


def hanging_up(say: Any) -> Any:
    async def act(seen: Seen, _reader: Any, writer: Any) -> None:
        writer.write(say(seen))
        with suppress(ConnectionError):
            await writer.drain()
        writer.transport.abort() if say is nothing else writer.close()

    return act


@pytest.fixture(scope="module")
async def gate(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Front]:
    upstreams = {name: Recording(era, sessions=era == LEGACY) for name, era in UPSTREAMS.items()}
    upstreams |= {"slow": Recording(), "fast": Recording()}
    tools = []
    for name in UPSTREAMS:
        one = upstreams[name]
        for effect in ("read_only", "destructive"):
            one.offer(f"{name}.{effect}.hang", one.hang)
            for ending, say in {**ENDINGS, "broken": broken}.items():
                one.offer(f"{name}.{effect}.{ending}", hanging_up(say))
        one.offer(f"{name}.read_only.fine")
        tools += [tool(name, found, effect=found["name"].split(".")[1]) for found in one.tools.values()]
    slow, fast = upstreams["slow"], upstreams["fast"]
    tools += [tool("slow", slow.offer("slow", slow.hang), limits={"timeout_ms": SLOW_MS})]
    tools += [tool("fast", fast.offer("fast"))]
    entries: dict[str, Any] = {name: {"era": one.era} for name, one in upstreams.items()}
    directory = tmp_path_factory.mktemp("gone") / "laptop"
    async with front(directory, upstreams, {"tools": tools}, entries=entries) as made:
        yield made


async def closed_circuit(gate: Front, upstream: str) -> None:
    """Whatever a test before has done to it."""
    async with asyncio.timeout(60):
        while "result" not in (await gate.call(f"{upstream}.read_only.fine")).message:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def outcome(gate: Front, name: str) -> str:
    """Of the last call of a tool; empty: none yet."""
    intents = gate.record("intent", tool=name)
    found = gate.record("outcome", decision_id=intents[-1]["decision_id"]) if intents else []
    return str(found[0]["outcome"]) if found else ""


@pytest.mark.parametrize(("effect", "wanted"), [("read_only", "cancelled"), ("destructive", "unknown")])
@pytest.mark.parametrize("upstream", UPSTREAMS)
async def test_n23_a_client_that_hangs_up_is_noticed_at_the_upstream_within_a_second(
    gate: Front, upstream: str, effect: str, wanted: str
) -> None:
    await closed_circuit(gate, upstream)
    name, opponent = f"{upstream}.{effect}.hang", gate.upstreams[upstream]
    before = len(opponent.calls(name))
    call = asyncio.create_task(gate.call(name))
    await until(lambda: len(opponent.calls(name)) > before)
    seen = opponent.calls(name)[-1]
    call.cancel()
    watch, hung_up = gate.stopwatch(), time.time()
    with suppress(asyncio.CancelledError):
        await call
    await until(lambda: seen.id in opponent.left)
    assert opponent.left[seen.id] - hung_up - watch.queued < NOTICED
    if upstream == "legacy":
        await until(lambda: bool(cancelled(opponent, seen.id)))
        assert cancelled(opponent, seen.id)[0].at - hung_up - watch.queued < NOTICED
        assert cancelled(opponent, seen.id)[0].headers["mcp-session-id"] == seen.headers["mcp-session-id"]
    await until(lambda: outcome(gate, name) == wanted)
    assert (await gate.call(f"{upstream}.read_only.fine")).text == "said"


@pytest.mark.parametrize(("effect", "wanted"), [("read_only", "cancelled"), ("destructive", "unknown")])
@pytest.mark.parametrize("upstream", UPSTREAMS)
@pytest.mark.parametrize("era", [LEGACY, MODERN])
async def test_n23_a_call_that_its_client_gives_up_ends_within_a_second_and_nobody_elses_does(
    gate: Front, era: str, upstream: str, effect: str, wanted: str
) -> None:
    await closed_circuit(gate, upstream)
    name, opponent = f"{upstream}.{effect}.hang", gate.upstreams[upstream]
    before = len(opponent.calls(name))
    call = asyncio.create_task(gate.call(name, era=era, number=7))
    await until(lambda: len(opponent.calls(name)) > before)
    seen = opponent.calls(name)[-1]
    for number, who in ((7, {"user": "bob"}), (7, {"agent": "other-bot"}), ("7", {}), (8, {})):
        assert (await give_up(gate, number, era, **who)) in {202, 401, 403}
    assert seen.id not in opponent.left
    assert await give_up(gate, 7, era) == 202
    watch, gave_up = gate.stopwatch(), time.time()
    told = await call
    assert watch.seconds < NOTICED
    assert told.error["message"] == "cancelled by the client"
    assert told.error["data"]["effect"] == "unknown"
    await until(lambda: seen.id in opponent.left)
    assert opponent.left[seen.id] - gave_up - watch.queued < NOTICED
    if upstream == "legacy":
        await until(lambda: bool(cancelled(opponent, seen.id)))
    await until(lambda: outcome(gate, name) == wanted)
    assert (await gate.call(f"{upstream}.read_only.fine")).text == "said"


async def give_up(gate: Front, number: Any, era: str, **who: Any) -> int:
    """The status of a notification that takes request `number` back."""
    async with gate.asked("notifications/cancelled", {"requestId": number}, number=None, era=era, **who) as response:
        return response.status


async def test_of_two_requests_of_one_id_neither_is_given_up(gate: Front) -> None:
    name, opponent = "modern.read_only.hang", gate.upstreams["modern"]
    before = len(opponent.calls(name))
    calls = [asyncio.create_task(gate.call(name, era=LEGACY, number=9)) for _ in range(2)]
    await until(lambda: len(opponent.calls(name)) == before + 2)
    assert await give_up(gate, 9, LEGACY) == 202
    assert (await gate.call("modern.read_only.fine")).text == "said"
    assert not any(call.done() for call in calls)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)


def cancelled(opponent: Recording, number: Any) -> list[Seen]:
    found = opponent.calls(method="notifications/cancelled")
    return [one for one in found if one.params["requestId"] == number]


@pytest.mark.parametrize("ending", [*ENDINGS, "broken"])
@pytest.mark.parametrize("upstream", UPSTREAMS)
async def test_n6_an_upstream_that_hangs_up_leaves_the_truth_about_the_effect(
    gate: Front, upstream: str, ending: str
) -> None:
    await closed_circuit(gate, upstream)
    name = f"{upstream}.destructive.{ending}"
    before = len(gate.upstreams[upstream].calls(name))
    told = await gate.call(name)
    assert told.error["code"] == -32603
    assert told.error["data"]["effect"] == "unknown"
    assert len(gate.upstreams[upstream].calls(name)) == before + 1  # never twice: it may have run
    await until(lambda: outcome(gate, name) == "unknown")
    await closed_circuit(gate, upstream)
    name = f"{upstream}.read_only.{ending}"
    assert (await gate.call(name)).result["isError"]
    await until(lambda: outcome(gate, name) == "failed")


async def test_n23_an_upstream_that_never_answers_slows_no_other_and_is_back_when_it_does(gate: Front) -> None:
    slow = gate.upstreams["slow"]
    slow.acts |= dict.fromkeys(("server/discover", "tools/list"), slow.hang)  # the gate itself isn't answered either
    stuck = [asyncio.create_task(gate.call("slow", user=f"user-{number % 10}")) for number in range(CALLS)]
    await until(lambda: len(slow.calls()) >= 64)
    served, slowest = 0, 0.0
    while not all(call.done() for call in stuck):
        watch = gate.stopwatch()
        assert (await gate.call("fast", {"tag": "quick"})).text == "quick"
        slowest, served = max(slowest, watch.seconds), served + 1
    assert served > 20
    assert slowest < SLOW_MS / 1000
    for call in stuck:
        told = await call
        assert "error" in told.message or told.result["isError"]
    await until_not_tried(gate)
    slow.acts = {"slow": said}
    async with asyncio.timeout(100):  # a circuit's longest pause is 30 seconds
        while "result" not in (await gate.call("slow")).message:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert "slow" not in (await gate.ready()).get("upstreams", "")


async def until_not_tried(gate: Front) -> None:
    """The circuit is open: told to operators, and to a client at once that nothing was done."""
    assert "slow" in (await gate.ready())["upstreams"]
    slow = gate.upstreams["slow"]
    async with asyncio.timeout(60):
        while True:
            sent, watch = len(slow.calls()), gate.stopwatch()
            told = await gate.call("slow")
            if "error" in told.message and len(slow.calls()) == sent:
                break
    assert watch.seconds < SLOW_MS / 2000
    assert told.error["code"] == -32603
    assert "nothing was done" in told.error["message"]
