"""The canonical form: one record is one line, and has one spelling."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sallyport.audit import record
from sallyport.audit.errors import RecordRefused

HOSTILE = "\r\n\x00\x1b[2J\x85\u2028\u2029\"']|=\\\x7f\u202e\ufeff\u200b"
TEXT = st.text(st.characters(exclude_categories=["Cs"])) | st.text(st.sampled_from(HOSTILE))
SCALARS = TEXT | st.booleans() | st.integers(-record.MAX_INTEGER, record.MAX_INTEGER)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=6
)
FIELDS = st.dictionaries(TEXT.filter(lambda key: key not in record.RESERVED), VALUES, max_size=6)


def line_of(kind: str, fields: dict[str, Any]) -> bytes:
    return record.draft(kind, fields, "pep-1", 1_795_000_000_123_456_789, 5).line(7, "ab" * 32)


@given(FIELDS)
@example({HOSTILE: HOSTILE, "prev ": [HOSTILE], "a": {"prev": "x", "seq": HOSTILE}})
def test_a_record_comes_back_as_it_was_and_stays_one_printable_line(fields: dict[str, Any]) -> None:
    line = line_of("policy", fields)
    read = record.decode(line)
    assert {key: value for key, value in read.items() if key not in record.RESERVED} == fields
    assert (read["seq"], read["prev"], read["time"]) == (7, "ab" * 32, "2026-11-18T11:06:40.123456Z")
    assert len(line.decode().splitlines()) == 1
    assert not [char for char in line.decode() if unicodedata.category(char) in {"Cc", "Zl", "Zp"}]


@given(FIELDS)
def test_there_is_one_spelling_of_a_record(fields: dict[str, Any]) -> None:
    line = line_of("policy", fields)
    assert record.encode(json.loads(line)) == line
    with pytest.raises(RecordRefused):
        record.decode(line[:-1] + b" }")


@given(st.binary() | st.text().map(str.encode))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    with pytest.raises(RecordRefused):
        record.decode(data)


@pytest.mark.parametrize(
    "value", [None, 1.0, float("nan"), 2**53, -(2**53), "\ud800", b"x", {1: "x"}, {None: 1}, object(), {"a": [None]}]
)
def test_what_has_no_canonical_form_is_refused(value: Any) -> None:
    with pytest.raises(RecordRefused):
        line_of("policy", {"x": value})


@pytest.mark.parametrize("name", sorted(record.RESERVED))
def test_no_field_can_take_a_reserved_name(name: str) -> None:
    with pytest.raises(RecordRefused, match="reserved"):
        line_of("policy", {name: "x"})


@pytest.mark.parametrize("kind", ["open", "checkpoint", "close", "nonsense", ""])
def test_only_the_writer_itself_signs(kind: str) -> None:
    with pytest.raises(RecordRefused):
        line_of(kind, {})


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("intent", {}),
        ("intent", {"decision_id": ""}),
        ("outcome", {"decision_id": "x"}),
        ("outcome", {"decision_id": "x", "outcome": "maybe"}),
        ("outcome", {"decision_id": "x", "outcome": "done", "of": {"stream": "s"}}),
        ("refusal", {}),
        ("gap", {"lost": "none"}),
    ],
)
def test_a_kind_without_what_it_needs_is_refused(kind: str, fields: dict[str, Any]) -> None:
    with pytest.raises(RecordRefused):
        line_of(kind, fields)


def test_a_record_that_is_too_long_or_too_deep_is_refused() -> None:
    deep: Any = "x"
    for _ in range(20):
        deep = [deep]
    for value in (deep, "x" * record.MAX_FIELDS, "\U0001f600" * (record.MAX_FIELDS // 4)):
        with pytest.raises(RecordRefused):
            line_of("policy", {"x": value})


def test_what_the_caller_changes_later_isnt_recorded() -> None:
    fields = {"reasons": ["a"]}
    made = record.draft("policy", fields, "pep-1", 0, 0)
    fields["reasons"].append("b")
    assert b'"reasons":["a"]' in made.line(0, record.FIRST)


def test_a_strangers_text_can_always_be_recorded() -> None:
    assert record.decode(line_of("policy", {"x": record.clean("\ud800" * 300)}))["x"] == "?" * 256
