"""Big results: while one is released the others have their turns, and the record tells of it what it always tells."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from sallyport.pep import apart
from sallyport.pep.decision import Permit
from sallyport.pep.effect import Effects, Work
from sallyport.pep.model import Answer, CheckedCall, Failed, Output, Reply, Resolved, ToolOutput
from sallyport.pep.refusal import Refusal
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

    def __init__(self, opened: Gate, characters: int) -> None:
        self._tools, rooms = opened.hands.tools, opened.rooms
        self._effects = Effects(self, rooms.recorder, rooms.metrics)  # type: ignore[arg-type]
        self._text = (LINE * (characters // len(LINE) + 1))[:characters]
        self.told = asyncio.Event()

    async def run(self, trail: Any, permit: Permit, call: CheckedCall, work: Work) -> Output | Refusal:
        async def said(emit: Any) -> Output:
            await work.run(emit)
            self.told.set()
            return ToolOutput(({"type": "text", "text": self._text},))

        work.standing.obligations = MASKS
        held_to = replace(work.held_to, max_bytes=4 << 20, output=None)
        return await self._effects.run(trail, permit, call, replace(work, held_to=held_to, run=said))

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
    assert apart.is_big(output) is big
