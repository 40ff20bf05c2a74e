"""Does every argument that a tool's schema admits reach Cedar? Where one may not, a call may be denied for it alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sallyport.contract.limits import MAX_INPUT_BYTES
from sallyport.pdp.carry import MAX_STRING

_OF_OBJECT: Final = frozenset(
    {"$schema", "type", "title", "description", "properties", "required", "additionalProperties"}
)
_OF_VALUE: Final = frozenset(
    {"type", "title", "description", "default", "minLength", "maxLength", "pattern", "minimum", "maximum"}
)
_MAX_LONG: Final = 2**63 - 1
_ESCAPED: Final = 6  # bytes that one code point takes at most, as \u001f
_AROUND: Final = 6  # {"": , or a shorter one


def always_carried(schema: Mapping[str, Any]) -> bool:
    """Surely so; anything beyond the plainest schema is taken for a no."""
    if schema.keys() - _OF_OBJECT or schema.get("additionalProperties") is not False:
        return False
    size = 2
    for name, value in schema.get("properties", {}).items():
        longest = _longest(value)
        if longest is None:
            return False
        size += _AROUND + _ESCAPED * len(name) + longest
    return size <= MAX_INPUT_BYTES


def _longest(schema: Any) -> int | None:
    """How many bytes a value takes at most; None if one may not be carried at all."""
    if not isinstance(schema, Mapping) or schema.keys() - _OF_VALUE:
        return None
    match schema.get("type"):
        case "boolean":
            return len("false")
        case "integer":  # JSON Schema takes 1e300 for one
            bounds = schema.get("minimum"), schema.get("maximum")
            within = all(isinstance(bound, int | float) and abs(bound) <= _MAX_LONG for bound in bounds)
            return len(str(-_MAX_LONG)) if within else None
        case "string":
            longest = schema.get("maxLength")
            return _ESCAPED * longest if isinstance(longest, int) and longest <= MAX_STRING else None
        case _:
            return None
