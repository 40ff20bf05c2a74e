"""Which schemas are refused at load, and what the big and the endless cost."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any

import pytest

from sallyport.pep.catalog import SchemaRefused
from sallyport.pep.refusal import Reason, Refusal
from sallyport.pep.schema import compile_schema
from tests.unit.pep.schema.support import called, loaded

BUDGET = 0.05  # seconds of CPU


def deep(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(levels):
        schema = {"not": schema}
    return schema


@pytest.mark.parametrize(
    ("schema", "word"),
    [
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "2020-12"),
        ({"properties": {"a": {"$schema": "http://json-schema.org/draft-07/schema#"}}}, "2020-12"),
        ({"$schema": "https://evil.test/dialect"}, "2020-12"),
        ({"$ref": "http://127.0.0.1:1/x"}, "http://127.0.0.1:1/x"),
        ({"$ref": "file:///etc/passwd"}, "file:///etc/passwd"),
        ({"$ref": "other.json"}, "other.json"),
        ({"$id": "http://127.0.0.1:1/a", "$ref": "b"}, "http://127.0.0.1:1/b"),
        ({"$ref": "#/$defs/none"}, "none"),
        ({"properties": {"a": {"pattern": "(?=a)b"}}}, "regex"),
        ({"properties": {"a": {"pattern": r"(a)\1"}}}, "regex"),
        ({"properties": {"a": {"pattern": "("}}}, "regex"),
        ({"properties": {"a": {"pattern": "(a{1000}){1000}"}}}, "regex"),
        ({"patternProperties": {"(?!a)": {}}}, "regex"),
        ({"format": "int32"}, "int32"),
        ({"type": "objekt"}, "objekt"),
        ({"minimum": "1"}, "1"),
        (deep(33), "too large"),
        ({"enum": list(range(5000))}, "too large"),
    ],
)
@pytest.mark.usefixtures("socket_disabled")
def test_a_schema_that_can_not_be_held_to_is_refused_at_load(schema: dict[str, Any], word: str) -> None:
    with pytest.raises(SchemaRefused) as caught:
        compile_schema(schema)
    assert word in str(caught.value)


def test_n10_a_reference_opens_no_socket_and_no_file(tmp_path: Path) -> None:
    (tmp_path / "schema.json").write_text("{}")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.1)
        for uri in (f"http://127.0.0.1:{listening.getsockname()[1]}/x", f"file://{tmp_path}/schema.json"):
            for schema in ({"$ref": uri}, {"properties": {"a": {"$dynamicRef": uri}}}, {"$id": uri, "$ref": "y.json"}):
                started = time.monotonic()
                with pytest.raises(SchemaRefused, match="Retriev"):
                    compile_schema(schema)
                assert time.monotonic() - started < 5
        with pytest.raises(TimeoutError):
            listening.accept()


@pytest.mark.parametrize("pattern", ["^(a+)+$", "^(a|aa)+$", "^(.*)*x$", "^([a-zA-Z]+)*$", "(x+x+)+y"])
def test_a_regex_bomb_is_linear(pattern: str) -> None:
    held = loaded({"properties": {"a": {"pattern": pattern}}})
    started = time.process_time()
    found = called("copy", {"a": "a" * 100_000 + "!"}, held)
    assert time.process_time() - started < BUDGET
    assert isinstance(found, Refusal)


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"allOf": [{"$ref": "#"}, {"$ref": "#"}]},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
        {"$dynamicAnchor": "n", "not": {"$dynamicRef": "#n"}},
        {"not": {"$anchor": "x", "not": {"$ref": "#x"}}},
        {"$id": "https://a.test/b", "properties": {"a": {"$ref": "https://a.test/b"}}},
        {"$id": "urn:example:a", "properties": {"a": {"$ref": "#"}}},
        {"properties": {"a": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}}},
        {"properties": {"a/b": {"items": {"$ref": "#/properties/a~1b"}}}},
        {"properties": {"ab": {"items": {"$ref": "#/properties/%61b"}}}},
        {"prefixItems": [{"not": {"$ref": "#/prefixItems/0"}}]},
    ],
)
def test_a_loop_of_references_is_refused_at_load(schema: dict[str, Any]) -> None:
    with pytest.raises(SchemaRefused, match="refers to itself"):
        compile_schema(schema)


def test_a_ladder_that_doubles_at_every_step_is_refused_at_load() -> None:
    ladder = {f"l{i}": {"allOf": [{"$ref": f"#/$defs/l{i + 1}"}, {"$ref": f"#/$defs/l{i + 1}"}]} for i in range(30)}
    started = time.process_time()
    with pytest.raises(SchemaRefused, match="with its references"):
        compile_schema({"$ref": "#/$defs/l0", "$defs": {**ladder, "l30": {}}})
    assert time.process_time() - started < BUDGET


def test_the_same_definition_may_be_used_many_times() -> None:
    name = {"$ref": "#/$defs/name"}
    schema = {"$defs": {"name": {"type": "string"}}, "properties": {"a": name, "b": name, "c": {"items": name}}}
    assert compile_schema(schema).problem({"a": "x", "b": "y", "c": ["z"]}) == ""


@pytest.mark.parametrize("schema", [{}, {"additionalProperties": False}, {"uniqueItems": True}])
@pytest.mark.parametrize("kind", ["keys", "items", "text"])
def test_arguments_far_over_the_limit_cost_next_to_nothing(schema: dict[str, Any], kind: str) -> None:
    held = loaded(schema)
    big: Any = {
        "keys": dict.fromkeys(map(str, range(1_000_000)), 1),
        "items": {"a": list(range(1_000_000))},
        "text": {"a": "x" * 1_000_000},
    }[kind]
    started = time.process_time()
    found = called("copy", big, held)
    assert time.process_time() - started < BUDGET
    assert isinstance(found, Refusal)
    assert found.reason is Reason.INVALID_ARGUMENTS


def test_the_largest_arguments_that_pass_stay_within_the_budget() -> None:
    held = loaded({"properties": {"a": {"type": "array", "uniqueItems": True, "items": {"type": "integer"}}}})
    arguments: dict[str, Any] = {"a": list(range(30_000))}
    spent = []
    for _ in range(5):  # the best of them: neighbours only ever add
        started = time.process_time()
        found = called("copy", arguments, held)
        spent.append(time.process_time() - started)
        assert not isinstance(found, Refusal)
    assert min(spent) < BUDGET
