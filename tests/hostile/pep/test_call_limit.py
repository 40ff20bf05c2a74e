"""A call limit of a policy, against a caller who calls in parallel, hangs up, and breaks whatever can be broken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from sallyport.pep.model import Answer
from tests.support.gate import Gate, body, gate
from tests.support.inject import Injected

LIMIT: Final = 5
AT_ONCE: Final = 40
POLICY: Final = f"""@id("five_calls")
forbid (principal, action in Action::"group:call_tool", resource)
unless {{ context.session has call_count && context.session.call_count < {LIMIT} }};
"""
CLOCK: Final = ("business_hours.cedar",)
OWN: Final = {"path": "alice/notes.txt"}


@pytest.fixture(scope="module")
async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gate]:
    async with gate(tmp_path_factory.mktemp("limit") / "laptop", without=CLOCK) as made:
        yield made


def is_done(answer: Answer) -> bool:
    told = body(answer)
    return "result" in told and not told["result"]["isError"]


def reserved(opened: Gate) -> int:
    return sum(opened.hands.decider._counts._reserved.values())


async def test_forty_calls_at_once_with_one_token_pass_a_limit_of_five_no_more_than_five_times(tmp_path: Path) -> None:
    async with gate(tmp_path / "laptop", without=CLOCK, policies={"five_calls.cedar": POLICY}) as limited:
        request = limited.call("read_file", OWN)
        done = sum(map(is_done, await asyncio.gather(*(limited.handle(request) for _ in range(AT_ONCE)))))
        assert 1 <= done <= LIMIT
        assert reserved(limited) == 0
        one_by_one = [is_done(await limited.handle(request)) for _ in range(LIMIT + 2)]
    assert one_by_one == [number < LIMIT - done for number in range(LIMIT + 2)], "the refused ones cost nothing"


async def test_calls_that_are_hung_up_on_at_any_moment_leave_nothing_reserved(opened: Gate) -> None:
    request = opened.call("read_file", OWN)
    for turns in range(AT_ONCE):
        calls = [asyncio.create_task(opened.handle(request)) for _ in range(3)]
        for _ in range(turns):
            await asyncio.sleep(0)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        assert reserved(opened) == 0, f"after {turns} turns of the loop"


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError, MemoryError, KeyboardInterrupt])
async def test_whatever_is_thrown_at_whatever_await_leaves_nothing_reserved(
    opened: Gate, error: type[BaseException]
) -> None:
    points = 0
    while True:
        work = Injected(opened.handle(opened.call("read_file", OWN)), points, error())
        try:
            await work
        except KeyboardInterrupt:
            assert error is KeyboardInterrupt
        assert reserved(opened) == 0, f"at {points}"
        if not work.hit:
            break
        points += 1
    assert points >= 4, "the injector never reached an await"
