"""N6: whatever is thrown, at whatever await: before the effect a refusal, after it the truth, never a second effect."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
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
    GeneratorExit,
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


@pytest.fixture(scope="module")
async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gate]:
    async with gate(tmp_path_factory.mktemp("exceptions") / "laptop") as made:
        yield made


def counting(opened: Gate) -> tuple[Gate, Counting]:
    effects = opened.rooms.effects
    counter = Counting(effects._tools)
    counted = Effects(counter, effects._recorder, effects._metrics)  # type: ignore[arg-type]
    return opened.with_rooms(effects=counted), counter


async def thrown_at(opened: Gate, point: int, error: BaseException, *, write: bool) -> tuple[bool, Answer | None, int]:
    """Whether the point was reached, the answer (None if the exception left), and how many effects began."""
    counted, counter = counting(opened)
    if write:
        request = counted.call("write_file", {"path": "alice/injected.txt", "content": "x"}, claims={})
    else:
        request = counted.call("read_file", {"path": "alice/notes.txt"})
    work = Injected(counted.pipeline.handle(request), point, error)
    try:
        return True, await work, counter.effects
    except LEAVES:
        return work.hit, None, counter.effects
    finally:
        thrown_at.hit = work.hit  # type: ignore[attr-defined]


def outcomes(opened: Gate, decision_id: str) -> list[str]:
    records = (record for record in opened.records() if record.get("decision_id") == decision_id)
    return [record["outcome"] for record in records if record["kind"] == "outcome"]


async def test_an_undisturbed_call_is_done_once(opened: Gate) -> None:
    counted, counter = counting(opened)
    answer = await counted.pipeline.handle(counted.call("read_file", {"path": "alice/notes.txt"}))
    assert body(answer)["result"]["isError"] is False, body(answer)
    assert counter.effects == 1


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
async def test_n6_an_exception_at_any_await_is_a_refusal_or_the_truth(error: type[BaseException], opened: Gate) -> None:
    counted, counter = counting(opened)
    reached = 0
    for point in range(MOST_POINTS):
        before = counter.effects
        request = counted.call("read_file", {"path": "alice/notes.txt"})
        work = Injected(counted.pipeline.handle(request), point, error("injected"))
        try:
            answer = await work
        except LEAVES:
            assert issubclass(error, LEAVES)
            assert work.hit
        else:
            told = body(answer)
            began = counter.effects - before
            assert began <= 1
            if work.hit:
                assert "error" in told or told["result"]["isError"] or began == 1
            if began == 0:
                assert "error" in told or told["result"]["isError"], "a result without an effect"
        if not work.hit:
            break
        reached += 1
    assert reached >= 3, "the injector never reached an await"
    assert not work.hit, "more await points than this test looks at"
