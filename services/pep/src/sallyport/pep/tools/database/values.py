"""Database values as JSON that loses nothing: what JSON's numbers can't hold becomes a string."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from datetime import date, time
from typing import Final

from sallyport.pep.model import Json

_EXACT: Final = 2**53 - 1  # RFC 8259 §6: beyond it readers disagree
_DEPTH: Final = 16


def as_json(value: object, depth: int = 0) -> Json:
    """Dates in ISO 8601, bytes in base64, everything unknown as its text."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int | float):
        return _number(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(value).decode()
    if isinstance(value, date | time):  # datetime is a date
        return value.isoformat()
    return _nested(value, depth)


def _number(value: float) -> Json:
    exact = abs(value) <= _EXACT if isinstance(value, int) else math.isfinite(value)
    return value if exact else str(value)


def _nested(value: object, depth: int) -> Json:
    if depth < _DEPTH and isinstance(value, Mapping):
        return {str(key): as_json(item, depth + 1) for key, item in value.items()}
    if depth < _DEPTH and isinstance(value, Sequence):
        return [as_json(item, depth + 1) for item in value]
    return str(value)
