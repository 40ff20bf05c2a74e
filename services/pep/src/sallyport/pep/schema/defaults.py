"""Defaults of the schema, put in before the decision: a policy must see what the tool will see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from sallyport.pep.model import Json

_PUNCTUATION: Final = 4  # bytes around a key: two quotes, a colon, a comma


def filled_in(schema: Any, value: Json) -> Json:
    """A copy with what `properties` and `items` give as `default`; nothing of the value itself is changed.

    Not inside anyOf, oneOf, allOf, if or behind $ref: whether such a branch applies isn't known beforehand.
    """
    if not isinstance(schema, Mapping):
        return value
    if isinstance(value, dict):
        return _object(schema.get("properties"), value)
    if isinstance(value, list) and isinstance(schema.get("items"), Mapping):
        return [filled_in(schema["items"], item) for item in value]
    return value


def _object(properties: Any, value: dict[str, Json]) -> dict[str, Json]:
    if not isinstance(properties, Mapping):
        return value
    filled = dict(value)
    for name, schema in properties.items():
        if name not in filled and isinstance(schema, Mapping) and "default" in schema:
            filled[name] = cast("Json", schema["default"])
        if name in filled:
            filled[name] = filled_in(schema, filled[name])
    return filled


def exceeds(value: object, most: int) -> bool:
    """Whether the value takes more than `most` bytes as JSON, roughly and from below; looks at no more than that."""
    room = most
    rest = [value]
    while rest and room >= 0:
        item = rest.pop()
        if isinstance(item, Mapping):
            room -= sum(map(len, item)) + _PUNCTUATION * len(item)
            rest.extend(item.values() if room >= 0 else ())
        elif isinstance(item, list):
            room -= len(item)
            rest.extend(item if room >= 0 else ())
        else:
            room -= len(item) if isinstance(item, str) else 1
    return room < 0
