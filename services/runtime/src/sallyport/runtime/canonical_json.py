"""The one serialisation of a JSON value: RFC 8785 (JCS). What is judged, hashed and forwarded has this form."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from json import JSONEncoder
from json.encoder import encode_basestring
from typing import Final

from sallyport.runtime.strict_json import MAX_INTEGER, Json

_PLAIN: Final = JSONEncoder(ensure_ascii=False, check_circular=False, sort_keys=True, separators=(",", ":"))
_SORTS_OTHERWISE: Final = re.compile("[\ue000-\U0010ffff]")  # where code points and UTF-16 units may differ in order
_MAX_PLAIN_EXPONENT: Final = 21  # ECMA-262 Number::toString
_MIN_PLAIN_EXPONENT: Final = -6


def encode(value: Json, *, widest: int = MAX_INTEGER) -> bytes:
    """Serialise canonically, in UTF-8.

    Raises ValueError, which holds none of the value, on NaN, Infinity, a lone surrogate, an integer beyond ±(2^53-1),
    a key that is no string, a type that JSON doesn't have, or nesting beyond what Python's stack takes. With `widest`,
    integers up to it are written out: beyond RFC 8785, and only for what `exact_json` reads.
    """
    try:
        if _is_plain(value):
            text = _PLAIN.encode(value)
            if text.isascii() or not _SORTS_OTHERWISE.search(text):
                return text.encode("utf-8")
        return "".join(_pieces(value, widest)).encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("lone surrogate") from None
    except RecursionError:
        raise ValueError("nested too deep") from None


def _is_plain(value: Json) -> bool:
    """True where the standard encoder's form is the canonical one but for the order of keys; checks every type."""
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return True
    if isinstance(value, dict):
        for key, item in value.items():  # noqa: SIM110 — as below
            if type(key) is not str or not _is_plain(item):
                return False
        return True
    if isinstance(value, list):
        for item in value:  # noqa: SIM110 — a loop takes half the time of all(), and this is the hot path
            if not _is_plain(item):
                return False
        return True
    return kind is int and -MAX_INTEGER <= value <= MAX_INTEGER  # type: ignore[operator]


def _pieces(value: Json, widest: int = MAX_INTEGER) -> Iterator[str]:
    if value is None:
        yield "null"
    elif value is True:
        yield "true"
    elif value is False:
        yield "false"
    elif isinstance(value, str):
        yield encode_basestring(value)
    elif isinstance(value, int):
        yield _integer(value, widest)
    elif isinstance(value, float):
        yield _number(value)
    elif isinstance(value, list):
        yield from _array(value, widest)
    elif isinstance(value, dict):
        yield from _object(value, widest)
    else:
        raise ValueError("a type that JSON doesn't have")


def _array(value: list[Json], widest: int) -> Iterator[str]:
    separator = "["
    for item in value:
        yield separator
        yield from _pieces(item, widest)
        separator = ","
    yield "]" if value else "[]"


def _object(value: dict[str, Json], widest: int) -> Iterator[str]:
    if not all(isinstance(key, str) for key in value):
        raise ValueError("a key that is no string")
    separator = "{"
    for key in sorted(value, key=_utf16):
        yield f"{separator}{encode_basestring(key)}:"
        yield from _pieces(value[key], widest)
        separator = ","
    yield "}" if value else "{}"


def _utf16(key: str) -> bytes:
    return key.encode("utf-16-be")  # RFC 8785 §3.2.3: keys sort by UTF-16 code units


def _integer(value: int, widest: int) -> str:
    if not -widest <= value <= widest:
        raise ValueError("integer beyond ±(2^53-1)")
    return int.__repr__(value)


def _number(value: float) -> str:
    """ECMA-262 Number::toString. Python's repr gives the same shortest digits, in another form."""
    if not math.isfinite(value):
        raise ValueError("NaN or Infinity")
    if value == 0:
        return "0"  # also for -0
    sign = "-" if value < 0 else ""
    mantissa, _, exponent = float.__repr__(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    point = len(whole) + int(exponent or "0")
    digits = whole + fraction
    stripped = digits.lstrip("0")
    point -= len(digits) - len(stripped)
    return sign + _place_point(stripped.rstrip("0"), point)


def _place_point(digits: str, point: int) -> str:
    """`digits` without zeros at either end, the decimal point after the first `point` of them."""
    if len(digits) <= point <= _MAX_PLAIN_EXPONENT:
        return digits.ljust(point, "0")
    if 0 < point <= _MAX_PLAIN_EXPONENT:
        return f"{digits[:point]}.{digits[point:]}"
    if _MIN_PLAIN_EXPONENT < point <= 0:
        return f"0.{'0' * -point}{digits}"
    fraction = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{digits[0]}{fraction}e{point - 1:+d}"
