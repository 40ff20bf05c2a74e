"""N14: the JSON test suite through the whole PEP, as the body and as one argument: a clean 4xx and a record, never a 5xx."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.gate import Gate, body, gate

CORPUS = Path(__file__).resolve().parents[3].parent / "shared" / "corpora" / "json" / "parsing"
pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason=f"no JSON corpus at {CORPUS}")
MARK = b'"MARK"'


@pytest.fixture(scope="module")
async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gate]:
    async with gate(tmp_path_factory.mktemp("corpus") / "laptop") as made:
        yield made


def documents(prefix: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted(CORPUS.glob(f"{prefix}*.json"))]


async def statuses(opened: Gate, bodies: list[bytes]) -> list[int]:
    request = opened.call("read_file", {"path": "alice/notes.txt"})
    return [(await opened.handle(replace(request, body=one))).status for one in bodies]


def as_argument(opened: Gate, document: bytes) -> bytes:
    whole = opened.call("read_file", {"path": "MARK"}).body
    assert whole.count(MARK) == 1
    return whole.replace(MARK, document)


def refusals(opened: Gate) -> int:
    return sum(record["kind"] == "refusal" for record in opened.records())


async def test_n14_what_is_not_json_is_a_4xx_with_a_record_each(opened: Gate) -> None:
    wrong = documents("n_")
    assert len(wrong) > 150
    before = refusals(opened)
    assert {status // 100 for status in await statuses(opened, wrong)} == {4}
    assert refusals(opened) - before == len(wrong)


async def test_n14_an_argument_that_is_not_json_is_a_4xx_with_a_record_each(opened: Gate) -> None:
    # Some are whole again inside another document ("1]" closes ours, white space is nothing): those are 4xx as well.
    wrong = [as_argument(opened, document) for document in documents("n_")]
    before = refusals(opened)
    assert {status // 100 for status in await statuses(opened, wrong)} == {4}
    assert refusals(opened) - before == len(wrong)


async def test_n14_what_is_json_is_never_a_5xx(opened: Gate) -> None:
    right = documents("y_")
    assert len(right) > 80
    assert max(await statuses(opened, right)) < 500
    assert max(await statuses(opened, [as_argument(opened, document) for document in right])) < 500


async def test_a_number_at_the_edge_reaches_the_tool_as_it_was_judged_or_not_at_all(opened: Gate) -> None:
    answer = await opened.handle(opened.call("database_query", {"table": "orders", "limit": 1.0}))
    assert len(body(answer)["result"]["structuredContent"]["rows"]) == 1
