"""N14: texts that are JSON and texts that are not, through the whole PEP, as the body and as one argument: a clean 4xx and a record, never a 5xx."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from tests.support.attacks.documents import Kind
from tests.support.attacks.documents import documents as texts
from tests.support.attacks.lists import DOCUMENTS, both
from tests.support.gate import Gate, body, gate

of_each_list = pytest.mark.parametrize("source", both(DOCUMENTS))
MARK = b'"MARK"'


@pytest.fixture(scope="module")
async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gate]:
    async with gate(tmp_path_factory.mktemp("corpus") / "laptop") as made:
        yield made


def documents(kind: Kind, source: str) -> list[bytes]:
    return list(texts(kind, source).values())


async def statuses(opened: Gate, bodies: list[bytes]) -> list[int]:
    request = opened.call("read_file", {"path": "alice/notes.txt"})
    return [(await opened.handle(replace(request, body=one))).status for one in bodies]


def as_argument(opened: Gate, document: bytes) -> bytes:
    whole = opened.call("read_file", {"path": "MARK"}).body
    assert whole.count(MARK) == 1
    return whole.replace(MARK, document)


def refusals(opened: Gate) -> int:
    return sum(record["kind"] == "refusal" for record in opened.records())


@of_each_list
async def test_n14_what_is_not_json_is_a_4xx_with_a_record_each(opened: Gate, source: str) -> None:
    wrong = documents("n", source)
    assert len(wrong) > 150
    before = refusals(opened)
    assert {status // 100 for status in await statuses(opened, wrong)} == {4}
    assert refusals(opened) - before == len(wrong)


@of_each_list
async def test_n14_an_argument_that_is_not_json_is_a_4xx_with_a_record_each(opened: Gate, source: str) -> None:
    # Some are whole again inside another document ("1]" closes ours, white space is nothing): those are 4xx as well.
    wrong = [as_argument(opened, document) for document in documents("n", source)]
    before = refusals(opened)
    assert {status // 100 for status in await statuses(opened, wrong)} == {4}
    assert refusals(opened) - before == len(wrong)


@of_each_list
async def test_n14_what_is_json_is_never_a_5xx(opened: Gate, source: str) -> None:
    right = documents("y", source)
    assert len(right) > 80
    assert max(await statuses(opened, right)) < 500
    assert max(await statuses(opened, [as_argument(opened, document) for document in right])) < 500


async def test_a_number_at_the_edge_reaches_the_tool_as_it_was_judged_or_not_at_all(opened: Gate) -> None:
    answer = await opened.handle(opened.call("database_query", {"table": "orders", "limit": 1.0}))
    assert len(body(answer)["result"]["structuredContent"]["rows"]) == 1
