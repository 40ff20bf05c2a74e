"""Megabytes of JSON are written in slices: the same bytes, and never long without a turn for the others."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sallyport.runtime import canonical_json, sliced_json
from sallyport.runtime.strict_json import Json

PLAIN = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
LONG = "x" * 20_000
ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "é", LONG]),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.sampled_from(["a", "b", "", '"', LONG]), inner),
    max_leaves=30,
)


def plain(value: Any) -> bytes:
    return PLAIN.encode(value).encode()


@given(ANY)
@settings(deadline=None)
def test_slices_are_together_what_the_whole_is(value: Json) -> None:
    assert sliced_json.written(value, plain) == plain(value)
    assert sliced_json.written(value, plain, most=8) == plain(value)


@pytest.mark.parametrize(
    "value",
    [
        [0.5] * 400_000,
        [{}] * 400_000,
        {"rows": [{"id": number, "name": f"n{number}"} for number in range(50_000)]},
        {f"k{number}": number for number in range(200_000)},
        [[[["x" * 100] * 10_000]]],
    ],
    ids=["numbers", "objects", "rows", "members", "nested"],
)
def test_no_slice_is_more_than_a_moment_s_work(value: Json) -> None:
    longest = 0

    def noted(part: Json) -> bytes:
        nonlocal longest
        longest = max(longest, len(told := plain(part)))
        return told

    assert sliced_json.written(value, noted) == plain(value)
    assert longest <= 4 * sliced_json.SLICE


def test_what_is_small_is_written_at_once() -> None:
    parts: list[Json] = []

    def noted(part: Json) -> bytes:
        parts.append(part)
        return plain(part)

    sliced_json.written({"a": [1, 2]}, noted)
    assert parts == [{"a": [1, 2]}]


def test_depth_costs_no_stack() -> None:
    value: Json = LONG * 10
    for _ in range(60):
        value = [value, *[1] * 1000]
    assert sliced_json.written(value, plain) == plain(value)


@pytest.mark.parametrize(
    ("wrong", "why"), [(float("nan"), "NaN"), (float("inf"), "Infinity"), ("\ud800", "surrogate"), (10**30, "2\\^53")]
)
def test_what_the_writer_refuses_is_refused_wherever_it_stands(wrong: Json, why: str) -> None:
    value: Json = {"rows": [*["x" * 100] * 5000, wrong]}
    with pytest.raises(ValueError, match=why):
        sliced_json.written(value, canonical_json.encode)
