"""N6 for what an upstream runs: whatever is thrown, at whatever await, the truth is told, and nothing is sent twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from tests.support.gate import body
from tests.support.inject import Injected
from tests.support.surfaces import Surfaces, surfaces

ERRORS: tuple[type[BaseException], ...] = (
    ValueError,
    TimeoutError,
    RecursionError,
    MemoryError,
    asyncio.CancelledError,
    KeyboardInterrupt,
)
MOST_POINTS = 60


@pytest.fixture(scope="module")
async def made(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Surfaces]:
    async with surfaces(tmp_path_factory.mktemp("thrown") / "laptop") as opened:
        for _ in range(2):  # what comes first at an upstream has come
            await opened.ask("tools/call", {"name": "echo"})
        yield opened


@pytest.mark.parametrize(
    ("method", "params", "fewest"),
    [
        ("tools/call", {"name": "echo"}, 4),
        ("prompts/get", {"name": "greet", "arguments": {"who": "x"}}, 3),  # decision, intent, answer
        ("resources/list", {}, 4),
    ],
)
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
async def test_n6_an_exception_at_any_await_is_a_refusal_or_the_truth(
    made: Surfaces, method: str, params: dict[str, object], fewest: int, error: type[BaseException]
) -> None:
    told: list[tuple[bool, int]] = []
    for point in range(MOST_POINTS):
        made.opponent.got.clear()
        work = Injected(made.gate.handle(made.request(method, params)), point, error("injected"))
        try:
            answer = body(await work)
        except KeyboardInterrupt:
            assert error is KeyboardInterrupt
            answer = {"error": {}}
        if not work.hit:
            break
        asked = Counter(got.message["params"].get("cursor") for got in made.got if got.method == method)
        assert max(asked.values(), default=0) <= 2, "each page is asked for once of each upstream at most"
        told.append(("result" in answer and not answer["result"].get("isError"), len(made.got)))
    assert not work.hit, "there are more await points than this test looks at"
    assert len(told) >= fewest, "the injector never reached an await"
    assert "result" in (await made.ask(method, params)).body, "what broke one request broke another"
    await made.gate.rooms.recorder._writer.record("refusal", {"reason": "fence", "effect": "deny"})
    records = made.gate.records()
    intents = sorted(one["decision_id"] for one in records if one["kind"] == "intent")
    ended = sorted(one["decision_id"] for one in records if one["kind"] == "outcome")
    assert intents == ended, "an intent without its one outcome"
    refused = {one["decision_id"] for one in records if one["kind"] == "refusal" and "decision_id" in one}
    assert not refused & set(intents)
