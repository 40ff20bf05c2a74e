"""N6: whatever is thrown, at whatever await: before the effect a refusal, after it the truth, never a second effect."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest

from sallyport.pep.effect import Effects
from sallyport.pep.model import Answer, CheckedCall, Resolved, ToolOutput
from sallyport.pep.tools import PermitLike, Tools
from tests.support.gate import Gate, body, gate
from tests.support.inject import Injected

ERRORS: tuple[type[BaseException], ...] = (
    ValueError,
    TimeoutError,
    RecursionError,
    MemoryError,
    asyncio.CancelledError,
    KeyboardInterrupt,
    SystemExit,
)
LEAVES = (KeyboardInterrupt, SystemExit)
MOST_POINTS = 60


class Counting:
    """The tools room, counting how often an effect began."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self.effects = 0

    async def run(self, permit: PermitLike, call: CheckedCall) -> ToolOutput:
        counted = _Counted(permit, self)
        return await self._tools.run(counted, call)

    async def release(self, resolved: Iterable[Resolved]) -> None:
        await self._tools.release(resolved)


class _Counted:
    """A permit that tells when it is redeemed."""

    def __init__(self, permit: PermitLike, counting: Counting) -> None:
        self._permit = permit
        self._counting = counting

    def __getattr__(self, name: str) -> Any:
        return getattr(self._permit, name)

    def redeem(self, *, method: str, name: str, digest: str) -> None:
        self._permit.redeem(method=method, name=name, digest=digest)
        self._counting.effects += 1


CALLS: dict[str, dict[str, Any]] = {
    "read_file": {"path": "alice/notes.txt"},
    "write_file": {"path": "alice/injected.txt", "content": "x"},
}


@pytest.fixture(scope="module")
async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gate]:
    async with gate(tmp_path_factory.mktemp("exceptions") / "laptop", without=("business_hours.cedar",)) as made:
        yield made


def counting(opened: Gate) -> tuple[Gate, Counting]:
    counter, rooms = Counting(opened.hands.tools), opened.rooms
    counted = Effects(counter, rooms.recorder, rooms.metrics)  # type: ignore[arg-type]
    return opened.with_hands(effects=counted, tools=counter), counter


def effect_told(answer: Answer) -> str:
    """What the answer claims: done, unknown, failed, or none."""
    told = body(answer)
    if "error" in told:
        return str(told["error"].get("data", {}).get("effect", "none"))
    return "failed" if told["result"]["isError"] else "done"


@pytest.mark.parametrize("tool", CALLS)
async def test_an_undisturbed_call_is_done_once(tool: str, opened: Gate) -> None:
    counted, counter = counting(opened)
    answer = await counted.handle(counted.call(tool, CALLS[tool]))
    assert effect_told(answer) == "done", answer.body
    assert counter.effects == 1


@pytest.mark.parametrize("tool", CALLS)
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
async def test_n6_an_exception_at_any_await_is_a_refusal_or_the_truth(
    error: type[BaseException], tool: str, opened: Gate
) -> None:
    counted, counter = counting(opened)
    told: dict[int, tuple[str, int]] = {}
    unknown: list[str] = []
    for point in range(MOST_POINTS):
        before = counter.effects
        work = Injected(counted.handle(counted.call(tool, CALLS[tool])), point, error("injected"))
        try:
            answer = await work
            claimed = effect_told(answer)
            if claimed == "unknown":
                unknown.append(body(answer)["error"]["data"]["decision_id"])
        except LEAVES:
            assert issubclass(error, LEAVES)
            claimed = "left"
        if not work.hit:
            break
        told[point] = claimed, counter.effects - before
    assert len(told) >= 4, "the injector never reached an await"
    assert not work.hit, "there are more await points than this test looks at"
    for point, (claimed, began) in told.items():
        assert began <= 1, f"a second effect at {point}"
        if not began:
            assert claimed in {"none", "left"}, f"claims {claimed} without an effect at {point}"
        elif tool == "write_file":
            assert claimed in {"unknown", "done", "left"}, f"denies an effect that began at {point}"
    await opened.rooms.recorder._writer.record("refusal", {"reason": "fence", "effect": "deny"})
    outcomes = {one["decision_id"]: one["outcome"] for one in opened.records() if one["kind"] == "outcome"}
    assert {outcomes[decision] for decision in unknown} <= {"unknown"}, "the record says more than the client was told"
    assert any(began for _, began in told.values()), "no exception was thrown after the effect began"
    assert any(not began for _, began in told.values()), "no exception was thrown before the effect"


async def test_n27_every_intent_has_one_outcome_whatever_was_thrown(opened: Gate) -> None:
    counted, _ = counting(opened)
    for point in range(MOST_POINTS):
        work = Injected(counted.handle(counted.call("write_file", CALLS["write_file"])), point, ValueError())
        await work
        if not work.hit:
            break
    await opened.rooms.recorder._writer.record("refusal", {"reason": "fence", "effect": "deny"})
    records = opened.records()
    intents = [record["decision_id"] for record in records if record["kind"] == "intent"]
    ended = [record["decision_id"] for record in records if record["kind"] == "outcome"]
    assert sorted(intents) == sorted(ended)
    assert len(set(intents)) == len(intents)
