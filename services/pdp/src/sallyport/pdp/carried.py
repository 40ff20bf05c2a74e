"""Does every argument that a tool's schema admits reach Cedar? Where one may not, a call may be denied for it alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sallyport.pdp.carry import MAX_STRING

_OF_OBJECT: Final = frozenset(
    {"$schema", "type", "title", "description", "properties", "required", "additionalProperties"}
)
_OF_VALUE: Final = frozenset(
    {"type", "title", "description", "default", "minLength", "maxLength", "pattern", "minimum", "maximum"}
)


def always_carried(schema: Mapping[str, Any]) -> bool:
    """Surely so; anything beyond the plainest schema is taken for a no."""
    if schema.keys() - _OF_OBJECT or schema.get("additionalProperties") is not False:
        return False
    return all(_plain(value) for value in schema.get("properties", {}).values())


def _plain(schema: Any) -> bool:
    if not isinstance(schema, Mapping) or schema.keys() - _OF_VALUE:
        return False
    match schema.get("type"):
        case "boolean" | "integer":  # what is beyond 2^53-1 never gets as far as the PDP
            return True
        case "string":
            longest = schema.get("maxLength")
            return isinstance(longest, int) and longest <= MAX_STRING
        case _:
            return False
