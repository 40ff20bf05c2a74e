"""JSON Schema to Cedar types: what has a faithful form is typed, the rest is left out by name.

JSON Schema's keywords are conjunctive, so a single `type` holds whatever stands beside it; a schema without one
(`{}`, `true`, anyOf, oneOf, not, if, a union) admits values of several types and has no faithful form.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sallyport.pdp.types import BOOL, DECIMAL, LONG, STRING, CedarType, Field, Record, SetOf, exact

MAX_NODES = 2_000  # `$ref`s that fan out (a "billion laughs" of types) end here
MAX_DEPTH = 16
# Cedar's JSON reads these as escapes wherever a record may stand.
RESERVED = frozenset({"__entity", "__extn", "__expr"})
_DECIMAL_LIMIT = Decimal("922337203685477.5807")
_DECIMAL_STEP = Decimal(10_000)
_REF = "#/$defs/"
_ANNOTATIONS = frozenset(
    {"$ref", "title", "description", "default", "deprecated", "readOnly", "writeOnly", "examples", "$comment"}
)


class TooLargeError(ValueError):
    """The schema has more nodes than a policy could sensibly name."""


class MalformedError(ValueError):
    """A keyword holds what JSON Schema doesn't allow there, so nobody can tell what the schema admits."""


@dataclass(slots=True)
class _Walk:
    definitions: Mapping[str, Any]
    following: tuple[str, ...] = ()  # the `$ref`s on the way here: one that comes again is recursive
    nodes: list[int] = field(default_factory=lambda: [0])
    depth: int = 0

    def deeper(self, reference: str | None = None) -> _Walk:
        following = (*self.following, reference) if reference else self.following
        return _Walk(self.definitions, following, self.nodes, self.depth + 1)


def record_type(schema: Any) -> Record:
    """The type of a tool's arguments; always a record, if only an empty one. Raises TooLargeError or
    MalformedError.
    """
    if not isinstance(schema, Mapping):
        return Record({}, open=True)
    definitions = schema.get("$defs", {})
    walk = _Walk(definitions if isinstance(definitions, Mapping) else {})
    typed = _object(schema, walk) if _single_type(schema) == "object" else None
    if isinstance(typed, Record):
        return typed
    named = schema.get("properties", {})
    return Record({}, frozenset(named) if isinstance(named, Mapping) else frozenset(), open=True)


def _faithful(schema: Any, walk: _Walk) -> CedarType | None:
    """The one Cedar type that holds every value the schema admits; None if there is none."""
    walk.nodes[0] += 1
    if walk.nodes[0] > MAX_NODES:
        raise TooLargeError(f"more than {MAX_NODES} properties")
    if not isinstance(schema, Mapping) or walk.depth > MAX_DEPTH or "$id" in schema:
        return None
    if "$ref" in schema:
        return _reference(schema, walk)
    name = _single_type(schema)
    if name is None:
        return None if "type" in schema else _listed(schema)
    return _BY_TYPE[name](schema, walk) if name in _BY_TYPE else None


def _single_type(schema: Mapping[str, Any]) -> str | None:
    name = schema.get("type")
    if isinstance(name, list) and len(name) == 1:
        name = name[0]
    return name if isinstance(name, str) else None


def _reference(schema: Mapping[str, Any], walk: _Walk) -> CedarType | None:
    """A local `$ref`, followed where it doesn't recur. A sibling that asserts leaves it out: dialects differ on it."""
    target = schema["$ref"]
    if not isinstance(target, str) or not target.startswith(_REF) or not _ANNOTATIONS.issuperset(schema):
        return None
    name = target.removeprefix(_REF)
    if name not in walk.definitions or name in walk.following or any(sign in name for sign in "/~%"):
        return None
    return _faithful(walk.definitions[name], walk.deeper(name))


def _listed(schema: Mapping[str, Any]) -> CedarType | None:
    """`const` or `enum` without a type: typed where all values are of one kind."""
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if not isinstance(values, list) or not values:
        return None
    kinds = {type(value) for value in values}  # exactly: True is no 1, and 1.0 is no integer here
    return {str: STRING, bool: BOOL, int: LONG}.get(kinds.pop()) if len(kinds) == 1 else None


def _string(_schema: Mapping[str, Any], _walk: _Walk) -> CedarType | None:
    return STRING


def _integer(_schema: Mapping[str, Any], _walk: _Walk) -> CedarType | None:
    return LONG


def _boolean(_schema: Mapping[str, Any], _walk: _Walk) -> CedarType | None:
    return BOOL


def _number(schema: Mapping[str, Any], _walk: _Walk) -> CedarType | None:
    """A decimal, where bounds keep it in range and `multipleOf` makes four places exact."""
    lowest = [_number_of(schema, key) for key in ("minimum", "exclusiveMinimum")]
    highest = [_number_of(schema, key) for key in ("maximum", "exclusiveMaximum")]
    step = _number_of(schema, "multipleOf")
    if step is None or step <= 0 or step * _DECIMAL_STEP % 1 != 0:
        return None
    if all(bound is None or bound < -_DECIMAL_LIMIT for bound in lowest):
        return None
    if all(bound is None or bound > _DECIMAL_LIMIT for bound in highest):
        return None
    return DECIMAL


def _number_of(schema: Mapping[str, Any], key: str) -> Decimal | None:
    value = schema.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    number = Decimal(repr(value))
    return number if number.is_finite() else None


def _array(schema: Mapping[str, Any], walk: _Walk) -> CedarType | None:
    """A set, where every element has the one type and loses nothing: sets compare elements as wholes."""
    if "prefixItems" in schema:
        return None
    element = _faithful(schema.get("items"), walk.deeper())
    return SetOf(element) if element is not None and exact(element) else None


def _object(schema: Mapping[str, Any], walk: _Walk) -> CedarType | None:
    properties = schema.get("properties")
    if not isinstance(properties, Mapping) or not properties or "patternProperties" in schema:
        return None
    required = schema.get("required", [])
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        raise MalformedError("`required` must be a list of property names")
    fields: dict[str, Field] = {}
    for name, subschema in properties.items():
        typed = None if name in RESERVED else _faithful(subschema, walk.deeper())
        if typed is not None:
            fields[name] = Field(typed, name in required)
    return Record(fields, frozenset(properties) - fields.keys(), schema.get("additionalProperties") is not False)


_BY_TYPE: Mapping[str, Callable[[Mapping[str, Any], _Walk], CedarType | None]] = {
    "string": _string,
    "integer": _integer,
    "boolean": _boolean,
    "number": _number,
    "array": _array,
    "object": _object,
}
