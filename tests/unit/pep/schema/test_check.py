"""Room 4: arguments against the schema, made canonical."""

from __future__ import annotations

import copy
import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sallyport.pep.model import CheckedCall, Json, ResourceRef
from sallyport.pep.refusal import Reason, Refusal
from sallyport.runtime import canonical_json, strict_json
from tests.unit.pep.schema.support import called, loaded

SECRET = "s3cr3t-canary"


def checked(
    schema: dict[str, Any], arguments: dict[str, Json], resources: list[dict[str, Any]] | None = None
) -> CheckedCall:
    found = called("copy", arguments, loaded(schema, resources))
    assert isinstance(found, CheckedCall), found
    return found


def refused(
    schema: dict[str, Any], arguments: dict[str, Json], resources: list[dict[str, Any]] | None = None
) -> Refusal:
    found = called("copy", arguments, loaded(schema, resources))
    assert isinstance(found, Refusal), found
    return found


def test_an_unknown_tool_is_refused_as_such() -> None:
    found = called("Copy", {}, loaded({}))
    assert isinstance(found, Refusal)
    assert (found.reason, found.public) == (Reason.UNKNOWN_TOOL, "")


def test_n11_arguments_bytes_and_digest_are_of_one_value() -> None:
    call = checked({}, {"b": 1.0, "a": [1e2, "é"], "c": {"z": 1, "y": -0.0}})
    assert call.canonical == '{"a":[100,"é"],"b":1,"c":{"y":0,"z":1}}'.encode()
    assert call.arguments == strict_json.parse(call.canonical)
    assert call.digest == hashlib.sha256(call.canonical).hexdigest()


def test_n11_an_integral_float_under_an_integer_schema_becomes_an_integer() -> None:
    call = checked({"properties": {"n": {"type": "integer"}}}, {"n": 3.0})
    assert call.arguments["n"] == 3
    assert type(call.arguments["n"]) is int


def test_n11_the_callers_arguments_are_not_changed_nor_shared() -> None:
    given_arguments: dict[str, Json] = {"filters": [{"column": "a"}]}
    before = copy.deepcopy(given_arguments)
    schema = {"properties": {"filters": {"items": {"properties": {"direction": {"default": "asc"}}}}}}
    call = checked(schema, given_arguments)
    assert given_arguments == before
    assert call.arguments == {"filters": [{"column": "a", "direction": "asc"}]}


def test_defaults_are_filled_in_before_the_check_at_every_level_but_not_in_branches() -> None:
    schema = {
        "required": ["path", "deep"],
        "properties": {
            "path": {"type": "string", "default": "."},
            "deep": {"type": "object", "default": {}, "properties": {"depth": {"default": 2}}},
            "either": {"anyOf": [{"type": "object", "properties": {"x": {"default": 1}}}]},
        },
    }
    call = checked(schema, {"either": {}})
    assert call.arguments == {"path": ".", "deep": {"depth": 2}, "either": {}}


def test_a_default_that_does_not_fit_its_own_schema_is_refused() -> None:
    assert refused({"properties": {"n": {"type": "integer", "default": "x"}}}, {}).reason is Reason.INVALID_ARGUMENTS


def test_a_default_is_a_fresh_value_in_every_call() -> None:
    held = loaded({"properties": {"tags": {"default": ["a"]}}})
    first, second = called("copy", {}, held), called("copy", {}, held)
    assert isinstance(first, CheckedCall)
    assert isinstance(second, CheckedCall)
    first.arguments["tags"].append("b")  # type: ignore[union-attr]
    assert second.arguments == {"tags": ["a"]}
    third = called("copy", {}, held)
    assert isinstance(third, CheckedCall)
    assert third.arguments == {"tags": ["a"]}


@pytest.mark.parametrize(
    ("schema", "arguments", "expected"),
    [
        ({"properties": {"a": {"type": "string"}}}, {"a": 77_331}, '/a: expected type ["string"]'),
        ({"required": ["path"]}, {}, "/path: required"),
        ({"additionalProperties": False}, {SECRET: 1}, "/: nothing more is allowed here"),
        ({"properties": {"a": {"enum": ["x", "y"]}}}, {"a": SECRET}, '/a: expected enum ["x","y"]'),
        ({"properties": {"a": {"pattern": "^x$"}}}, {"a": SECRET}, '/a: expected pattern "^x$"'),
        ({"properties": {"a": {"format": "date"}}}, {"a": SECRET}, '/a: expected format "date"'),
        ({"properties": {"a": {"items": {"maximum": 3}}}}, {"a": [1, 77_331]}, "/a/1: expected maximum 3"),
        ({"additionalProperties": {"type": "null"}}, {SECRET + " \n": 1}, '/…: expected type ["null"]'),
        ({"properties": {"a": {"oneOf": [{"const": 1}, {"const": 2}]}}}, {"a": SECRET}, "/a: expected oneOf"),
        ({"properties": {"a": {"not": {"const": SECRET}}}}, {"a": SECRET}, "/a: expected not"),
        ({"propertyNames": {"maxLength": 3}}, {SECRET: 1}, "/: expected propertyNames"),
    ],
)
def test_a_refusal_names_the_argument_and_never_its_value(
    schema: dict[str, Any], arguments: dict[str, Json], expected: str
) -> None:
    found = refused(schema, arguments)
    assert (found.reason, found.public) == (Reason.INVALID_ARGUMENTS, expected)
    assert SECRET not in f"{found.public}{found.detail}"
    assert "77331" not in f"{found.public}{found.detail}"


def test_an_unknown_argument_is_named_to_its_caller_and_not_in_the_record() -> None:
    for schema in ({"properties": {"a": {}}, "additionalProperties": False}, {"unevaluatedProperties": False}):
        found = refused(schema, {SECRET: 1})
        assert found.public == f"/: unknown argument {SECRET}"
        assert SECRET not in found.detail
    assert refused({"unevaluatedProperties": False}, {"a\nb": 1}).public == "/: an unknown argument"


def test_a_number_that_no_double_integer_can_carry_is_refused() -> None:
    assert refused({}, {"n": 1e20}).reason is Reason.INVALID_ARGUMENTS


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**53, "\ud800"], ids=ascii)
def test_n14_what_is_not_json_is_refused_also_where_room_two_let_it_through(value: Json) -> None:
    assert refused({}, {"n": value}).reason is Reason.INVALID_ARGUMENTS


class TestResources:
    def test_no_mapping_is_the_tool_itself(self) -> None:
        assert checked({}, {}).resources == (ResourceRef("Tool", "copy"),)

    def test_one_pointer_is_the_string_as_it_is(self) -> None:
        assert checked({}, {"a/b": {"~": "x"}}, [{"type": "File", "id": "/a~1b/~0"}]).resources == (
            ResourceRef("File", "x"),
        )

    def test_several_pointers_join_as_a_json_array_that_no_separator_forges(self) -> None:
        mapping = [{"type": "Row", "id": ["/a", "/b"]}]
        one = checked({}, {"a": 'x","y', "b": "z"}, mapping).resources
        other = checked({}, {"a": "x", "b": 'y","z'}, mapping).resources
        assert one != other
        assert one == (ResourceRef("Row", r'["x\",\"y","z"]'),)

    def test_each_is_one_resource_an_entry(self) -> None:
        found = checked({}, {"p": ["a", "b"]}, [{"type": "File", "each": "/p"}, {"type": "Folder", "id": "/p/0"}])
        assert found.resources == (ResourceRef("File", "a"), ResourceRef("File", "b"), ResourceRef("Folder", "a"))

    @pytest.mark.parametrize("value", [None, 1, True, "", [], {}, ["x"], "x" * 4097])
    def test_what_is_no_string_with_content_is_refused(self, value: Json) -> None:
        assert refused({}, {"a": value}, [{"type": "File", "id": "/a"}]).public.startswith("/a: expected")

    @pytest.mark.parametrize("pointer", ["/b", "/a/0", "/l/1", "/l/-", "/l/00", "/l/01", "/l/x", "/l/0/x"])
    def test_a_pointer_that_leads_nowhere_is_refused(self, pointer: str) -> None:
        found = refused({}, {"a": "x", "l": ["y"]}, [{"type": "File", "id": pointer}])
        assert found.public == f"{pointer}: missing"

    @pytest.mark.parametrize("value", [[], ["a"] * 2, [f"{i}" for i in range(65)], ["a", ""], ["a", 1], "a", None])
    def test_each_takes_1_to_64_distinct_strings(self, value: Json) -> None:
        assert refused({}, {"p": value}, [{"type": "File", "each": "/p"}]).reason is Reason.INVALID_ARGUMENTS

    def test_each_takes_64(self) -> None:
        value: list[Json] = [f"{i}" for i in range(64)]
        assert len(checked({}, {"p": value}, [{"type": "File", "each": "/p"}]).resources) == 64


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(-1e15, 1e15) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
ANYTHING = loaded({})


@given(st.dictionaries(st.text(max_size=4), JSON, max_size=5))
def test_n11_checking_what_was_judged_again_changes_nothing(arguments: dict[str, Json]) -> None:
    first = called("copy", arguments, ANYTHING)
    assert isinstance(first, CheckedCall)
    assert called("copy", first.arguments, ANYTHING) == first
    assert canonical_json.encode(dict(first.arguments)) == first.canonical
