"""Big results: while one is released the others have their turns, and the record tells of it what it always tells.

Callers take turns with what is released beside the loop, and nobody's waits without bound.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

import pytest

from sallyport.pep import apart, release
from sallyport.pep.apart import Apart, Crowded
from sallyport.pep.decision import Permit
from sallyport.pep.effect import Effects, Work
from sallyport.pep.model import Answer, CheckedCall, Failed, Json, Output, Reply, Resolved, ToolOutput
from sallyport.pep.refusal import Refusal
from sallyport.pep.rpc import results
from tests.support.gate import Gate, body, gate

LINE = '2026-11-21T10:00:00Z alice@example.com called +49 30 1234567 from 10.0.0.1, "id": 4711.\n'
MASKS = ("mask:email,phone,ip",)
READ = {"path": "alice/notes.txt"}


@pytest.fixture(scope="module")
async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gate]:
    async with gate(tmp_path_factory.mktemp("apart") / "laptop", without=("business_hours.cedar",)) as made:
        yield made


class Telling:
    """The tools room, and effects under masks: whatever was called, this is what it says."""

    def __init__(self, opened: Gate, characters: int, frames: tuple[Json, ...] = ()) -> None:
        self._frames, self.sent = frames, list[Json]()
        self._tools, rooms = opened.hands.tools, opened.rooms
        self._effects = Effects(self, rooms.recorder, rooms.metrics)  # type: ignore[arg-type]
        self._text = (LINE * (characters // len(LINE) + 1))[:characters]
        self.told, self.waits = asyncio.Event(), asyncio.Event()

    async def run(self, trail: Any, permit: Permit, call: CheckedCall, work: Work) -> Answer | Refusal:
        async def said(emit: Any) -> Output:
            await work.run(emit)
            for data in self._frames:
                asyncio.get_running_loop().call_soon(self.waits.set)
                await emit("notifications/message", {"level": "info", "data": data})
            self.told.set()
            return ToolOutput(({"type": "text", "text": self._text},))

        async def sent(method: str, params: Mapping[str, Json]) -> None:
            assert method == "notifications/message"
            self.sent.append(params["data"])

        work.standing.obligations = MASKS
        self.standing = work.standing
        held_to = replace(work.held_to, max_bytes=4 << 20, output=None)
        return await self._effects.run(trail, permit, call, replace(work, held_to=held_to, run=said, emit=sent))

    async def release(self, resolved: tuple[Resolved, ...]) -> None:
        await self._tools.release(resolved)


async def turns(other: asyncio.Task[Answer], since: asyncio.Event) -> int:
    """How often somebody else comes to it before the other is done."""
    await since.wait()
    count = 0
    while not other.done():
        await asyncio.sleep(0)
        count += 1
    return count


async def settled(opened: Gate) -> int:
    """How long the record is once all is on disk: nobody waits for that of an outcome."""
    await opened.rooms.recorder._writer.record("refusal", {"reason": "fence", "effect": "deny"})
    return len(opened.records())


async def outcomes(opened: Gate, before: int) -> list[str]:
    await settled(opened)
    return [record["outcome"] for record in opened.records()[before:] if record["kind"] == "outcome"]


async def test_others_have_their_turns_while_a_mebibyte_is_released_under_three_masks(opened: Gate) -> None:
    telling = Telling(opened, 1 << 20)
    call = asyncio.create_task(opened.with_hands(effects=telling).handle(opened.call("read_file", READ)))
    taken = await turns(call, telling.told)
    told = body(await call)["result"]["content"][0]["text"]
    assert told.startswith("2026-11-21T10:00:00Z masked@masked.invalid called [masked phone] from [masked ip],")
    assert "alice" not in told
    assert taken > 20


async def test_a_client_that_hangs_up_meanwhile_changes_nothing_of_what_is_recorded(opened: Gate) -> None:
    before, telling = await settled(opened), Telling(opened, 1 << 20)
    call = asyncio.create_task(opened.with_hands(effects=telling).handle(opened.call("read_file", READ)))
    await telling.told.wait()
    for _ in range(3):
        await asyncio.sleep(0)
        call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    assert call.cancelled()
    assert await outcomes(opened, before) == ["done"]


async def test_a_small_result_is_released_at_once(opened: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart.Apart, "done", None)
    before, telling = await settled(opened), Telling(opened, 1 << 10)
    answer = body(await opened.with_hands(effects=telling).handle(opened.call("read_file", READ)))
    assert "masked@masked.invalid" in answer["result"]["content"][0]["text"]
    assert await outcomes(opened, before) == ["done"]


@pytest.mark.parametrize(
    ("output", "big"),
    [
        (ToolOutput(({"type": "text", "text": "x" * apart.BIG},)), True),
        (ToolOutput(({"type": "text", "text": "x" * (apart.BIG - 100)},)), False),
        (ToolOutput((), {"rows": [{"a": 1}] * apart.BIG}), True),
        (ToolOutput((), {"x" * apart.BIG: 1}), True),
        (Reply({"contents": [{"uri": "a:b", "text": "x" * apart.BIG}]}), True),
        (Reply({}), False),
        (Failed(-32603, "x" * apart.BIG), False),
    ],
)
def test_big_is_what_has_many_characters_or_many_members_wherever_they_stand(output: Output, *, big: bool) -> None:
    assert (apart.size_of(output, 0) > apart.BIG) is big


MIB: Final = 1 << 20


class Held:
    """A job that occupies its thread until it is let go."""

    def __init__(self) -> None:
        self._begun, self._let_go = threading.Event(), threading.Event()
        self.at_once: Callable[[], object] = lambda: None  # before any other comes to it

    async def on(self, beside: Apart, size: int) -> None:
        self.done = asyncio.create_task(self._through(beside, size))
        assert await asyncio.to_thread(self._begun.wait, 10)

    async def _through(self, beside: Apart, size: int) -> None:
        await beside.done("other", size, self._work)
        self.at_once()

    async def let_go(self) -> None:
        self._let_go.set()
        await self.done

    def _work(self) -> None:
        self._begun.set()
        assert self._let_go.wait(30)


@pytest.fixture
def held() -> Iterator[Held]:
    made = Held()
    yield made
    made._let_go.set()


async def begun(*works: Any) -> list[asyncio.Task[Any]]:
    tasks = [asyncio.create_task(work) for work in works]
    await asyncio.sleep(0)
    return tasks


async def test_callers_take_turns_however_much_waits_for_one_of_them(held: Held) -> None:
    beside, order = Apart(), list[str]()
    await held.on(beside, MIB)
    many = [beside.done("many", MIB, partial(order.append, "many")) for _ in range(4)]
    few = [beside.done(who, MIB, partial(order.append, who)) for who in ("one", "two")]
    tasks = await begun(*many, *few)
    await held.let_go()
    await asyncio.gather(*tasks)
    assert order == ["many", "one", "two", "many", "many", "many"]


async def test_who_has_just_had_a_turn_comes_behind_the_others(held: Held) -> None:
    beside, order = Apart(), list[str]()
    await held.on(beside, MIB)
    tasks = await begun(*(beside.done(who, MIB, partial(order.append, who)) for who in ("other", "other", "late")))
    await held.let_go()
    await asyncio.gather(*tasks)
    assert order == ["late", "other", "other"]


async def test_what_is_light_waits_for_nothing_heavy(held: Held) -> None:
    beside = Apart()
    await held.on(beside, MIB)
    assert await asyncio.wait_for(beside.done("one", apart.HEAVY, lambda: "light"), 10) == ("light", None)


async def test_so_much_waits_for_one_caller_and_no_more(held: Held) -> None:
    beside, size = Apart(), 4 * MIB
    await held.on(beside, size)
    tasks = await begun(*(beside.done("one", size, lambda: None) for _ in range(apart.MOST // size)))
    with pytest.raises(Crowded):
        await beside.done("one", size, lambda: None)
    with pytest.raises(Crowded):
        beside.expect("one", size)
    beside.expect("another", size)
    await held.let_go()
    await asyncio.gather(*tasks)
    beside.expect("one", size)


async def test_whose_client_has_left_is_passed_over_and_counts_no_more(held: Held) -> None:
    beside, order = Apart(), list[str]()
    await held.on(beside, MIB)
    tasks = await begun(*(beside.done(who, apart.MOST, partial(order.append, who)) for who in ("gone", "next")))
    tasks[0].cancel()
    await asyncio.wait(tasks[:1])
    assert tasks[0].cancelled()
    beside.expect("gone", apart.MOST)
    await held.let_go()
    await tasks[1]
    assert order == ["next"]


async def test_a_turn_that_comes_with_the_hang_up_is_passed_on(held: Held) -> None:
    beside = Apart()
    await held.on(beside, MIB)
    gone, following = await begun(*(beside.done(who, MIB, lambda: "done") for who in ("gone", "next")))
    held.at_once = gone.cancel
    await held.let_go()
    assert await asyncio.wait_for(following, 10) == ("done", None)
    assert await asyncio.wait_for(beside.done("third", MIB, lambda: "done"), 10) == ("done", None)


async def test_a_client_that_hangs_up_before_the_turn_leaves_no_work_and_the_truth(opened: Gate, held: Held) -> None:
    before, telling = await settled(opened), Telling(opened, MIB)
    await held.on(telling._effects._apart, MIB)
    call = asyncio.create_task(opened.with_hands(effects=telling).handle(opened.call("read_file", READ)))
    await telling.told.wait()
    for _ in range(3):
        await asyncio.sleep(0)
    call.cancel()
    await asyncio.wait([call], timeout=10)  # while the thread is still held
    assert call.cancelled()
    assert await outcomes(opened, before) == ["withheld"]
    assert opened.records()[-2]["detail"] == "the client left before it was released"


async def test_nothing_is_begun_whose_result_would_not_be_released(
    opened: Gate, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, telling = await settled(opened), Telling(opened, MIB)
    await held.on(telling._effects._apart, MIB)
    monkeypatch.setattr(apart, "MOST", 0)
    told = body(await opened.with_hands(effects=telling).handle(opened.call("read_file", READ)))
    assert told["error"]["message"] == "the tool is busy or unavailable; nothing was done, call again"
    assert not telling.told.is_set()
    assert await outcomes(opened, before) == ["failed"]


async def test_a_result_too_many_is_withheld_and_its_client_told_why(
    opened: Gate, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, telling = await settled(opened), Telling(opened, MIB)
    await held.on(telling._effects._apart, MIB)
    monkeypatch.setattr(apart, "MOST", 0)
    monkeypatch.setattr(Apart, "expect", lambda *_: None)  # it was none too many when it began
    told = body(await opened.with_hands(effects=telling).handle(opened.call("read_file", READ)))
    assert told["error"]["message"] == "the result was withheld: too many big results at once"
    assert told["error"]["data"]["effect"] == "done"
    assert await outcomes(opened, before) == ["withheld"]


def noting(monkeypatch: pytest.MonkeyPatch, where: Any, name: str) -> list[str]:
    """In which threads it is called."""
    threads, real = list[str](), getattr(where, name)

    def noted(*given: Any, **named: Any) -> Any:
        threads.append(threading.current_thread().name)
        return real(*given, **named)

    monkeypatch.setattr(where, name, noted)
    return threads


@pytest.mark.parametrize(("characters", "beside"), [(MIB, True), (1 << 10, False)])
async def test_a_big_result_is_written_where_it_is_released(
    opened: Gate, monkeypatch: pytest.MonkeyPatch, characters: int, *, beside: bool
) -> None:
    threads = noting(monkeypatch, results, "envelope")
    await opened.with_hands(effects=Telling(opened, characters)).handle(opened.call("read_file", READ))
    assert [name.startswith("release-heavy") for name in threads] == [beside]


async def test_big_frames_are_masked_beside_the_loop_and_go_out_in_their_order(
    opened: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = noting(monkeypatch, release, "notification")
    telling = Telling(opened, 10, (LINE * 100, "small", LINE * 200, "bob@example.com"))
    await opened.with_hands(effects=telling).handle(opened.call("read_file", READ))
    masked = LINE.replace("alice@example.com", "masked@masked.invalid").replace("+49 30 1234567", "[masked phone]")
    masked = masked.replace("10.0.0.1", "[masked ip]")
    assert telling.sent == [masked * 100, "small", masked * 200, "masked@masked.invalid"]
    assert [name.startswith("release") for name in threads] == [True, False, True, False]


async def test_what_is_demanded_while_a_frame_waits_holds_for_it(opened: Gate, held: Held) -> None:
    telling = Telling(opened, 10, ("4111111111111111 " + LINE * 100,))
    await held.on(telling._effects._apart, 1)
    call = asyncio.create_task(opened.with_hands(effects=telling).handle(opened.call("read_file", READ)))
    await asyncio.wait_for(telling.waits.wait(), 10)
    telling.standing.obligations = (*MASKS, "mask:card")
    await held.let_go()
    await call
    assert str(telling.sent[0]).startswith("[masked card] 2026")


async def test_n28_a_frame_whose_key_is_believed_no_more_when_its_turn_comes_is_not_sent(
    opened: Gate, held: Held
) -> None:
    before, telling = await settled(opened), Telling(opened, 10, (LINE * 100,))
    await held.on(telling._effects._apart, 1)
    call = asyncio.create_task(opened.with_hands(effects=telling).handle(opened.call("read_file", READ)))
    await asyncio.wait_for(telling.waits.wait(), 10)
    telling.standing.believed = lambda _: False
    await held.let_go()
    assert body(await call)["error"]["message"] == "denied by policy"
    assert telling.sent == []
    assert await outcomes(opened, before) == ["unknown"]


async def test_a_frame_too_many_is_lost_and_its_call_goes_on(
    opened: Gate, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, telling = await settled(opened), Telling(opened, 10, (LINE * 100, "small"))
    await held.on(telling._effects._apart, 1)
    monkeypatch.setattr(apart, "MOST", 0)
    monkeypatch.setattr(Apart, "expect", lambda *_: None)
    await opened.with_hands(effects=telling).handle(opened.call("read_file", READ))
    assert telling.sent == ["small"]
    assert await outcomes(opened, before) == ["done"]
