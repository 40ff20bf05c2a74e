"""What an upstream sends is parsed only if that gives others their turn: by its elements, and not by what its strings hold."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from sallyport.pep.model import Reply
from sallyport.pep.upstream import UpstreamBroke, incoming
from sallyport.pep.upstream.elements import MOST_BRACKETS, MOST_IN_A_ROW, excess
from tests.support.upstream_leg import Client, Got, against, chunk, forward, http, saying, stream_head

MOST = 4 << 20  # bytes that a catalog may allow an answer
PUBLIC = "its answer has too many elements"


def around(content: str, request_id: Any = 5) -> bytes:
    return f'{{"jsonrpc":"2.0","id":{request_id},"result":{{"content":[],"structuredContent":{content}}}}}'.encode()


def rows(row: str) -> str:
    """As many as fit."""
    return f'{{"rows":[{",".join([row] * ((MOST - 200) // (len(row) + 1)))}]}}'


def many(row: str, times: int) -> str:
    return f'{{"rows":[{",".join([row] * times)}]}}'


@pytest.mark.parametrize(
    "content",
    [
        many("[]", MOST_IN_A_ROW),
        many('[""]', MOST_IN_A_ROW),
        many("[" * 8 + "]" * 8, MOST_IN_A_ROW // 8),
        many("[]", 30) + " " * 9 + many("[]", MOST_IN_A_ROW),
        many("[]," * 40 + "1", 5) + many("[\n]", MOST_IN_A_ROW),
        "{" + ",".join(f'"{number:x}":""' for number in range(MOST_IN_A_ROW + 1)) + "}",
        "{" + ",".join(f'"{number:x}":[]' for number in range(MOST_IN_A_ROW // 2 + 1)) + "}",
        many("{}", MOST_BRACKETS),
        many("[1]", MOST_BRACKETS),
        many('["[1]1}", []]', MOST_IN_A_ROW // 2),
        many('["\\\\", [], "\\"0"]', MOST_IN_A_ROW // 2),
    ],
)
@pytest.mark.parametrize("read", [incoming.read, incoming.listed])
def test_an_answer_of_more_elements_than_leave_others_their_turn_is_refused_unparsed(
    content: str, read: Callable[[bytes, int], incoming.Heard]
) -> None:
    data = around(content)
    began = time.thread_time()
    with pytest.raises(incoming.Unbelievable, match="has more than") as refused:
        read(data, 5)
    assert time.thread_time() - began < 0.5
    assert refused.value.public == PUBLIC


@pytest.mark.parametrize(
    "row",
    [
        '{"id":12345,"name":"abcdefgh","value":1.25,"ok":true}',
        '{"name":"Alice","city":"Berlin"}',
        '["Alice",30,"Berlin"]',
        "[13.404954,52.520008]",
        '["2026-01-01","Alice Archer","Berlin, Unter den Linden"]',
        "[[13.4,52.5],[13.5,52.6]]",
        "1.5",
        '""',
        "null",
        '{"at":"12:00:00","url":"http://[::1]:8080/{id}"}',
    ],
)
def test_rows_as_they_are_pass_up_to_the_largest_answer(row: str) -> None:
    assert isinstance(incoming.read(around(rows(row)), 5), Reply)


@pytest.mark.parametrize(
    "text",
    [
        "[]" * 800_000,
        "a[i]={x:1};" * 200_000,
        "a:b:c\n" * 300_000,
        json.dumps({"rows": [[] for _ in range(300_000)]}),
        '\\"[' * 200_000,
        "\\[" * 300_000,
    ],
    ids=["brackets", "code", "colons", "json", "quotes", "backslashes"],
)
def test_what_stands_in_a_string_is_no_element(text: str) -> None:
    data = around(json.dumps({"text": text}))
    began = time.thread_time()
    assert excess(data) == ""
    assert time.thread_time() - began < 0.5
    assert isinstance(incoming.read(data, 5), Reply)


def test_the_bounds_are_met_exactly() -> None:
    for before in (0, 1, 77, MOST_IN_A_ROW - 1, MOST_IN_A_ROW, MOST_IN_A_ROW + 1, 2 * MOST_IN_A_ROW + 5):
        ahead = b"1" + b"[" * (before % MOST_IN_A_ROW) + b"1," * before
        assert excess(ahead + b"[" * MOST_IN_A_ROW + b"1") == ""
        assert "in a row" in excess(ahead + b"[" * (MOST_IN_A_ROW + 1) + b"1")
        assert "in a row" in excess(ahead + b"[" * (MOST_IN_A_ROW + 1))
    assert excess(b"[1" * MOST_BRACKETS) == ""
    assert "arrays and objects" in excess(b"[1" * MOST_BRACKETS + b"{")


JUNK = many("[]", MOST_IN_A_ROW + 1)


def whole(got: Got) -> bytes:
    return http(around(JUNK, got.id))


def as_event(got: Got) -> bytes:
    return stream_head() + chunk(b"data: " + around(JUNK, got.id) + b"\n\n")


@pytest.mark.parametrize("said", [whole, as_event])
async def test_the_caller_is_told_and_what_the_call_did_is_unknown(said: Callable[[Got], bytes]) -> None:
    async with against(saying(said)) as (gate, _):
        client = Client()
        with pytest.raises(UpstreamBroke, match="has more than") as broke:
            await gate.ask(forward(result_bytes=1 << 20), client)
    assert client.begun == 1
    assert broke.value.public == PUBLIC


async def test_an_error_status_with_too_many_elements_is_an_error_status() -> None:
    def refused(got: Got) -> bytes:
        return http(around(JUNK, got.id), status="500 Oops")

    async with against(saying(refused)) as (gate, _):
        with pytest.raises(UpstreamBroke, match="HTTP 500"):
            await gate.ask(forward(result_bytes=1 << 20), Client())
