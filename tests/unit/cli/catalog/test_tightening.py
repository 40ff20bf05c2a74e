"""A schema that is tightened takes all that it named, and nothing that it didn't."""

from __future__ import annotations

from typing import Any

import pytest

from sallyport.cli.catalog.tightening import carried_over, open_places, tightened
from sallyport.pep.schema import compile_schema

A = {"type": "object", "properties": {"a": {"type": "string"}}}
B = {"type": "object", "properties": {"b": {"type": "string"}}}


def _takes(schema: dict[str, Any], value: Any) -> bool:
    return compile_schema(schema).problem(value) == ""


def _root(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        (_root(a={"type": "string"}), {"a": "x"}, {"a": "x", "b": 1}),
        ({"type": "object"}, {}, {"a": 1}),
        (_root(o=A), {"o": {"a": "x"}}, {"o": {"a": "x", "b": 1}}),
        (_root(o={"type": "array", "items": A}), {"o": [{"a": "x"}]}, {"o": [{"b": "x"}]}),
        (_root(o={"type": "array", "prefixItems": [A]}), {"o": [{"a": "x"}]}, {"o": [{"b": "x"}]}),
        (_root(o={"type": ["object", "null"], "properties": {}}), {"o": None}, {"o": {"b": 1}}),
        (_root(o={"anyOf": [A, {"type": "null"}]}), {"o": {"a": "x"}}, {"o": {"a": "x", "b": 1}}),
        (_root(o={"anyOf": [A, B]}), {"o": {"a": "x", "b": "y"}}, {"o": {"a": "x", "c": 1}}),
        (_root(o={"allOf": [A, B]}), {"o": {"a": "x", "b": "y"}}, {"o": {"a": "x", "c": 1}}),
        (_root(o={"$ref": "#/$defs/A"}) | {"$defs": {"A": A}}, {"o": {"a": "x"}}, {"o": {"b": 1}}),
        (
            _root(o={"allOf": [{"$ref": "#/$defs/A"}], "properties": {"b": {}}}) | {"$defs": {"A": A}},
            {"o": {"a": "x", "b": 1}},
            {"o": {"c": 1}},
        ),
        (
            _root(o={"allOf": [{"$ref": "#/$defs/C"}, B]}) | {"$defs": {"A": A, "C": {"$ref": "#/$defs/A"}}},
            {"o": {"a": "x", "b": "y"}},
            {"o": {"c": 1}},
        ),
        ({"type": "object", "allOf": [A, B]}, {"a": "x", "b": "y"}, {"c": 1}),
        (
            _root(o={"type": "object", "properties": {}, "patternProperties": {"^x-": A}}),
            {"o": {"x-1": {"a": "x"}}},
            {"o": {"y": 1}},
        ),
        (
            _root(k={"const": "z"}, a={}) | {"if": {"properties": {"k": {"const": "z"}}}, "then": B},
            {"k": "z", "a": 1, "b": "x"},
            {"k": "z", "c": 1},
        ),
    ],
)
def test_what_is_named_is_taken_and_nothing_more(schema: dict[str, Any], good: Any, bad: Any) -> None:
    assert _takes(schema, good)
    assert _takes(schema, bad)  # else the case shows nothing
    closed = tightened(schema)
    assert _takes(closed, good)
    assert not _takes(closed, bad)
    assert tightened(closed) == closed


def test_what_is_open_by_its_own_word_stays_so_and_is_told() -> None:
    schema = _root(free={"type": "object"}, said={"type": "object", "additionalProperties": True}, names=A)
    closed = tightened(schema)
    assert _takes(closed, {"free": {"x": 1}, "said": {"y": 2}})
    assert open_places(closed) == ("/properties/free", "/properties/said")
    assert open_places(schema) == ("/", "/properties/free", "/properties/said", "/properties/names")


def test_the_schema_given_is_left_as_it_was() -> None:
    schema = _root(o=A)
    tightened(schema)
    assert schema == _root(o={"type": "object", "properties": {"a": {"type": "string"}}})


def test_names_that_look_like_keywords_or_pointers_are_names() -> None:
    schema = _root(**{"properties": A, "a/b": A, "~": A, "items": {"type": "string"}, "$ref": {"type": "string"}})
    closed = tightened(schema)
    for name in ("properties", "a/b", "~"):
        assert closed["properties"][name]["additionalProperties"] is False
    assert closed["properties"]["items"] == {"type": "string"}
    assert _takes(closed, {"$ref": "x", "items": "y"})


def test_an_older_dialect_is_carried_over_with_its_meaning() -> None:
    old = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "properties": {
            "pair": {"type": "array", "items": [{"type": "string"}, {"type": "integer"}], "additionalItems": False},
            "items": {"type": "string", "enum": ["dependencies"]},
            "dependencies": {"type": "string"},
        },
        "dependencies": {"pair": ["items"], "items": {"required": ["dependencies"]}},
    }
    new, dialect = carried_over(old)
    assert dialect == "http://json-schema.org/draft-07/schema"
    assert _takes(new, {"pair": ["x", 1], "items": "dependencies", "dependencies": "y"})
    for bad in (
        {"pair": ["x", 1, 2], "items": "dependencies", "dependencies": "y"},
        {"pair": ["x", 1]},
        {"items": "dependencies"},
    ):
        assert not _takes(new, bad)


def test_a_dialect_that_nobody_knows_is_left_for_the_gate_to_refuse() -> None:
    odd = {"$schema": "https://evil.example/dialect", "type": "object"}
    assert carried_over(odd) == (odd, "")
