"""x-mcp-header: what is written is what is read, and what disagrees is said."""

from __future__ import annotations

from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sallyport.pep.mirrored import declared, decode, problem, stray, written

SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "region": {"type": "string", "x-mcp-header": "Region"},
        "count": {"type": "integer", "x-mcp-header": "Count"},
        "dry": {"type": "boolean", "x-mcp-header": "Dry-Run"},
        "deep": {"type": "object", "properties": {"zone": {"type": "string", "x-mcp-header": "Zone"}}},
    },
}
WANTED: Final = declared(SCHEMA)


def test_what_a_schema_declares_along_plain_properties_is_found() -> None:
    assert WANTED == {("region",): "Region", ("count",): "Count", ("dry",): "Dry-Run", ("deep", "zone"): "Zone"}


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"properties": []},
        {"properties": {"a": True}},
        {"properties": {"a": {"x-mcp-header": "A"}}},
        {"properties": {"a": {"type": "number", "x-mcp-header": "A"}}},
        {"properties": {"a": {"type": "object", "x-mcp-header": "A"}}},
        {"properties": {"a": {"type": "string", "x-mcp-header": ""}}},
        {"properties": {"a": {"type": "string", "x-mcp-header": "A: b\r\nx"}}},
        {"properties": {"a": {"type": "string", "x-mcp-header": "\u00e9"}}},
        {"properties": {"a": {"type": "string", "x-mcp-header": "x" * 65}}},
        {"properties": {"a": {"type": "string", "x-mcp-header": 7}}},
        {"items": {"properties": {"a": {"type": "string", "x-mcp-header": "A"}}}},
        {"anyOf": [{"properties": {"a": {"type": "string", "x-mcp-header": "A"}}}]},
    ],
)
def test_n20_what_is_no_header_or_can_not_be_carried_is_no_declaration(schema: dict[str, Any]) -> None:
    assert declared(schema) == {}


VALUES: Final = st.fixed_dictionaries(
    {},
    optional={
        "region": st.text(),
        "count": st.integers(-(2**53) + 1, 2**53 - 1),
        "dry": st.booleans(),
        "deep": st.fixed_dictionaries({}, optional={"zone": st.text()}),
    },
)


@given(VALUES)
def test_what_is_written_is_safe_in_a_header_and_reads_as_the_arguments(arguments: dict[str, Any]) -> None:
    try:
        headers = written(WANTED, arguments)
    except UnicodeEncodeError:  # a lone surrogate; room 2 refuses those
        assert any(0xD800 <= ord(c) <= 0xDFFF for c in str(arguments))
        return
    assert all(value.isascii() and value.isprintable() and value == value.strip() for _, value in headers)
    given_ = {name.removeprefix("Mcp-Param-").lower(): value for name, value in headers}
    assert problem(WANTED, arguments, given_, required=True) == ""
    for name in given_:
        without = {one: value for one, value in given_.items() if one != name}
        assert "is missing" in problem(WANTED, arguments, without, required=True)
        assert problem(WANTED, arguments, without, required=False) == ""
        assert "disagree" in problem(WANTED, arguments, {**given_, name: "another value"}, required=False)


@pytest.mark.parametrize(
    ("given_", "agrees"),
    [
        ({"region": "7"}, True),  # declared: that is for `problem` to say
        ({"path": "alice/a", "n": "7", "area": "eu", "flag": "true"}, True),
        ({"path": "7"}, False),  # another argument's value
        ({"n": "alice/a"}, False),
        ({"area": "mars"}, False),
        ({"path": "=?base64?YWxpY2UvYQ==?="}, True),
        ({"path": "=?base64?YWxpY2UvYQ?="}, False),
        ({"n": "7.0", "area": "7.00"}, True),  # an integer is its number
        ({"n": "07"}, False),
        ({"path": "7.0"}, False),
        ({"half": "0.5"}, True),
        ({"half": "0.50"}, False),
    ],
)
def test_n13_a_header_that_nothing_declares_repeats_the_argument_of_its_name_or_else_any(
    given_: dict[str, str], *, agrees: bool
) -> None:
    arguments: dict[str, Any] = {"path": "alice/a", "n": 7, "deep": {"flag": True}, "region": "eu", "half": 0.5}
    assert (stray(WANTED, arguments, given_) == "") is agrees


@pytest.mark.parametrize("value", ["=?base64?", "=?base64?A?=", "=?base64?/w==?=", "=?base64?YQ?=", "=?base64?YQ==?= "])
def test_a_value_that_is_no_canonical_encoding_is_never_what_it_seems(value: str) -> None:
    assert decode(value) in {None, value}
    assert decode(value) != "a"


@given(st.text(alphabet=st.characters(max_codepoint=255)))
def test_no_header_makes_it_raise(value: str) -> None:
    assert isinstance(problem(WANTED, {"region": "a"}, {"region": value}, required=True), str)
