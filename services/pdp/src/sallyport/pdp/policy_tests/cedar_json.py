"""JSON with Cedar's whole numbers: as strict as anywhere else, but that they have 64 bits."""

from __future__ import annotations

import re
from typing import Any, Final

import pydantic_core

from sallyport.runtime import strict_json

# Strings are passed over; what is left of a long number is looked at as a short one.
_LONG: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"|([0-9]{16,19})(?![0-9.eE])', re.DOTALL)
_STRING_OR_SIGN: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[\]{}]|\n|[^\s\[\]{}",:]+', re.DOTALL)


def parse(data: bytes) -> Any:
    """The value. Raises strict_json.JsonRefused, also for a duplicate key, a lone surrogate, or too deep nesting."""
    strict_json.parse(_LONG.sub(lambda match: b"1" if match[1] else match[0], data))
    try:
        return pydantic_core.from_json(data, allow_inf_nan=False)
    except ValueError:
        raise strict_json.JsonRefused("malformed") from None


def element_places(data: bytes) -> list[tuple[int, int]]:
    """Line and column at which each element of the array that `data` is begins; `data` is known to be JSON."""
    places: list[tuple[int, int]] = []
    line, line_start, depth = 1, 0, 0
    for match in _STRING_OR_SIGN.finditer(data):
        sign = match[0]
        if sign == b"\n":
            line, line_start = line + 1, match.end()
            continue
        if depth == 1 and sign not in {b"]", b"}"}:
            column = len(data[line_start : match.start()].decode("utf-8", "replace")) + 1
            places.append((line, column))
        depth += 1 if sign in {b"[", b"{"} else -1 if sign in {b"]", b"}"} else 0
    return places
