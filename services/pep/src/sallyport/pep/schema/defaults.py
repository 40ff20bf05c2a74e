"""Defaults of the schema, put in before the decision: a policy must see what the tool will see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from sallyport.contract.limits import MAX_INPUT_BYTES
from sallyport.pep.model import Json

_LEAST: Final = 5  # bytes that a member takes: quotes, colon, comma, and a value


class TooMuch(ValueError):
    """More defaults than any call's arguments have room for."""


def filled_in(schema: Any, value: Json) -> Json:
    """A copy with what `properties` and `items` give as `default`; nothing of the value itself is changed.

    Not inside anyOf, oneOf, allOf, if or behind $ref: whether such a branch applies isn't known beforehand. Raises
    TooMuch.
    """
    return _Filling().value(schema, value)


class _Filling:
    """One call's: thousands of empty objects in an array, with the same defaults each, must not multiply (CWE-405)."""

    def __init__(self) -> None:
        self._room = MAX_INPUT_BYTES // _LEAST
        self._parts: dict[int, dict[str, Any]] = {}  # by the id of a schema, which outlives the call

    def value(self, schema: Any, value: Json) -> Json:
        if not isinstance(schema, Mapping):
            return value
        if isinstance(value, dict):
            return self._object(schema.get("properties"), value)
        if isinstance(value, list) and (items := self._giving(schema.get("items"))):
            return [self.value(items, item) for item in value]
        return value

    def _object(self, properties: Any, value: dict[str, Json]) -> dict[str, Json]:
        if not isinstance(properties, Mapping):
            return value
        filled = dict(value)
        for name, schema in properties.items():
            if name not in filled and isinstance(schema, Mapping) and "default" in schema:
                filled[name] = cast("Json", schema["default"])
                self._room -= 1
                if self._room < 0:
                    raise TooMuch
            if name in filled:
                filled[name] = self.value(schema, filled[name])
        return filled

    def _giving(self, items: Any) -> dict[str, Any]:
        if id(items) not in self._parts:
            self._parts[id(items)] = _giving(items)
        return self._parts[id(items)]


def _giving(schema: Any) -> dict[str, Any]:
    """The part of a schema that gives defaults: all that each item of an array need be held against."""
    if not isinstance(schema, Mapping):
        return {}
    properties = schema.get("properties")
    members = properties.items() if isinstance(properties, Mapping) else ()
    inner = {name: part for name, child in members if (part := _giving(child))}
    items = _giving(schema.get("items"))
    own = {"default": schema["default"]} if "default" in schema else {}
    return own | ({"properties": inner} if inner else {}) | ({"items": items} if items else {})
