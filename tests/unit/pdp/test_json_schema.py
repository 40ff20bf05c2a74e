"""Which arguments reach a policy, and as what."""

from __future__ import annotations

from typing import Any

import pytest

from sallyport.pdp.json_schema import MAX_DEPTH, MalformedError, TooLargeError, record_type
from sallyport.pdp.types import render


def typed(schema: Any, **root: Any) -> str | None:
    """The rendered type of one property, None if it is left out."""
    record = record_type({"type": "object", "properties": {"p": schema}, **root})
    assert ("p" in record.fields) != ("p" in record.left_out)
    return render(record.fields["p"].type) if "p" in record.fields else None


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "string"}, "String"),
        ({"type": "string", "format": "date-time", "maxLength": 3}, "String"),
        ({"type": "string", "enum": ["a", "b"]}, "String"),
        ({"enum": ["a", "b"]}, "String"),
        ({"const": "a"}, "String"),
        ({"type": ["string"]}, "String"),
        ({"type": "integer"}, "Long"),
        ({"enum": [1, 2]}, "Long"),
        ({"type": "boolean"}, "Bool"),
        ({"const": True}, "Bool"),
        ({"type": "array", "items": {"type": "integer"}}, "Set<Long>"),
        ({"type": "array", "items": {"type": "array", "items": {"type": "string"}}}, "Set<Set<String>>"),
        ({"type": "number", "minimum": 0, "maximum": 10, "multipleOf": 0.01}, "decimal"),
        ({"type": "number", "exclusiveMinimum": -5, "exclusiveMaximum": 10, "multipleOf": 1}, "decimal"),
        ({"type": "object", "properties": {"a b": {"type": "string"}}, "required": ["a b"]}, '{"a b": String}'),
        ({"type": "object", "properties": {"a": {"type": "integer"}}}, '{"a"?: Long}'),
        ({"type": "string", "not": {"const": "x"}}, "String"),  # keywords are conjunctive: still a string
    ],
)
def test_a_schema_with_one_faithful_type_is_typed(schema: Any, expected: str) -> None:
    assert typed(schema) == expected


@pytest.mark.parametrize(
    "schema",
    [
        True,
        False,
        {},
        None,
        {"type": "null"},
        {"const": None},
        {"type": ["string", "null"]},
        {"type": ["string", "integer"]},
        {"enum": ["a", 1]},
        {"enum": [1, True]},
        {"enum": [1.5]},
        {"enum": []},
        {"anyOf": [{"type": "string"}]},
        {"oneOf": [{"type": "string"}, {"type": "integer"}]},
        {"allOf": [{"type": "string"}]},
        {"not": {"type": "string"}},
        {"if": {"type": "string"}},
        {"type": "number"},
        {"type": "number", "multipleOf": 0.01},
        {"type": "number", "minimum": 0, "maximum": 10},
        {"type": "number", "minimum": 0, "maximum": 10, "multipleOf": 0.00001},
        {"type": "number", "minimum": 0, "maximum": 1e300, "multipleOf": 0.01},
        {"type": "number", "minimum": -1e300, "maximum": 1, "multipleOf": 0.01},
        {"type": "array"},
        {"type": "array", "items": True},
        {"type": "array", "items": [{"type": "string"}]},
        {"type": "array", "prefixItems": [{"type": "string"}], "items": {"type": "string"}},
        {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string"}}}},  # takes others too
        {"type": "object"},
        {"type": "object", "properties": {}},
        {"type": "object", "properties": {"a": {"type": "string"}}, "patternProperties": {"^x": {}}},
        {"type": "string", "$id": "https://example.com/x"},
        {"$ref": "https://example.com/x"},
        {"$ref": "#/properties/p"},
        {"$ref": "#/$defs/none"},
        {"type": "wrong"},
    ],
)
def test_a_schema_without_a_faithful_type_is_left_out(schema: Any) -> None:
    assert typed(schema) is None


@pytest.mark.parametrize("name", ["__entity", "__extn", "__expr"])
def test_a_property_named_like_cedars_escapes_is_left_out(name: str) -> None:
    record = record_type({"type": "object", "properties": {name: {"type": "string"}, "ok": {"type": "string"}}})
    assert set(record.fields) == {"ok"}
    assert record.left_out == {name}


def test_a_local_reference_is_followed_and_a_recursive_one_is_left_out() -> None:
    definitions = {
        "name": {"type": "string"},
        "alias": {"$ref": "#/$defs/name", "description": "the same"},
        "tree": {"type": "object", "properties": {"child": {"$ref": "#/$defs/tree"}, "name": {"type": "string"}}},
        "me": {"$ref": "#/$defs/me"},
    }
    assert typed({"$ref": "#/$defs/alias"}, **{"$defs": definitions}) == "String"
    assert typed({"$ref": "#/$defs/me"}, **{"$defs": definitions}) is None
    assert typed({"$ref": "#/$defs/tree"}, **{"$defs": definitions}) == '{"name"?: String}'
    assert typed({"$ref": "#/$defs/name", "type": "string"}, **{"$defs": definitions}) is None


def test_references_that_fan_out_are_refused() -> None:
    definitions: dict[str, Any] = {"d0": {"type": "string"}}
    for n in range(1, 14):
        fan = {name: {"$ref": f"#/$defs/d{n - 1}"} for name in "abcdefgh"}
        definitions[f"d{n}"] = {"type": "object", "properties": fan}
    with pytest.raises(TooLargeError):
        record_type({"type": "object", "properties": {"p": {"$ref": "#/$defs/d13"}}, "$defs": definitions})


def test_what_is_nested_too_deep_is_left_out() -> None:
    schema: Any = {"type": "string"}
    for _ in range(MAX_DEPTH + 1):
        schema = {"type": "array", "items": schema}
    assert typed(schema) is None


@pytest.mark.parametrize("root", [True, {}, {"anyOf": []}, {"type": ["object", "null"]}, {"$ref": "#/$defs/x"}])
def test_a_root_that_is_no_plain_object_types_nothing(root: Any) -> None:
    record = record_type(root)
    assert not record.fields
    assert record.open


def test_a_root_with_patterns_leaves_every_property_out() -> None:
    record = record_type({"type": "object", "properties": {"a": {"type": "string"}}, "patternProperties": {"b": {}}})
    assert not record.fields
    assert record.left_out == {"a"}


@pytest.mark.parametrize("rest", [None, True, {}, {"type": "string"}])
def test_an_object_is_closed_only_where_undeclared_properties_are_refused(rest: Any) -> None:
    """A schema for the undeclared ones lets them in, so `has` of one must not be taken for false."""
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    assert record_type(schema if rest is None else {**schema, "additionalProperties": rest}).open
    assert not record_type({**schema, "additionalProperties": False}).open


@pytest.mark.parametrize("required", [5, None, True, "a", {"a": 1}, [5], [["a"]]])
def test_a_malformed_required_is_refused(required: Any) -> None:
    inner = {"type": "object", "properties": {"a": {"type": "string"}}, "required": required}
    for schema in (inner, {"type": "object", "properties": {"p": inner}}):
        with pytest.raises(MalformedError, match="required"):
            record_type(schema)
