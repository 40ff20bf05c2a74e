"""How `key=value` becomes a tool's arguments."""

from __future__ import annotations

import pytest

from sallyport.cli.arguments import parse
from sallyport.cli.complaint import Complaint

SCHEMA = {"properties": {"limit": {"type": "integer"}, "path": {"type": "string"}, "columns": {"type": "array"}}}


def test_plain_words_are_text_and_ask_for_no_schema() -> None:
    given = parse(["path=alice/notes.txt", "content=a=b"])
    assert not given.ambiguous
    assert given.fit({}) == {"path": "alice/notes.txt", "content": "a=b"}


def test_what_may_be_json_is_read_as_the_schema_says() -> None:
    given = parse(["limit=5", "path=5", 'columns=["a"]', "other=7"])
    assert given.ambiguous
    assert given.fit(SCHEMA) == {"limit": 5, "path": "5", "columns": ["a"], "other": "7"}


def test_without_a_schema_everything_stays_text() -> None:
    assert parse(["limit=5"]).fit({}) == {"limit": "5"}


def test_a_number_that_is_none_stays_text_so_that_the_gate_judges_it() -> None:
    assert parse(["limit=many"]).fit(SCHEMA) == {"limit": "many"}


def test_json_can_be_given_outright() -> None:
    given = parse(['filters:=[{"column":"id","op":"=","value":1}]', "limit:=5"])
    assert not given.ambiguous
    assert given.fit({}) == {"filters": [{"column": "id", "op": "=", "value": 1}], "limit": 5}


@pytest.mark.parametrize("words", [["path"], ["=x"], [":=1"], ["a=1", "a=2"], ["a=1", "a:=2"], ["a:={"], ["a:=NaN"]])
def test_anything_else_is_a_complaint(words: list[str]) -> None:
    with pytest.raises(Complaint):
        parse(words)
