"""The one serialisation of a JSON value: RFC 8785 (JCS). What is judged, hashed and forwarded has this form."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from json import JSONEncoder
from json.encoder import encode_basestring
from typing import Final

from sallyport.runtime.strict_json import MAX_INTEGER, Json

_PLAIN: Final = JSONEncoder(ensure_ascii=False, check_circular=False, sort_keys=True, separators=(",", ":"))
_SORTS_OTHERWISE: Final = re.compile("[\ue000-\U0010ffff]")  # where code points and UTF-16 units may differ in order
_MAX_PLAIN_EXPONENT: Final = 21  # ECMA-262 Number::toString
_MIN_PLAIN_EXPONENT: Final = -6
_LEAST_PLAIN: Final = 1e-4  # from here up to where all doubles are whole, Python's repr is ECMA's form
_LEAST_WHOLE: Final = 2.0**52
_WORDS: Final = {None: "null", True: "true", False: "false"}
_BARE: Final = frozenset({str, bool, type(None)})
_NUMBERS: Final = frozenset({int, float, bool, type(None)})
_FEW: Final = 8  # items that are sooner looked at one by one
_PUNCTUATION: Final = 4  # bytes around a key: two quotes, a colon, a comma


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
        return _written(value, widest).encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("lone surrogate") from None
    except RecursionError:
        raise ValueError("nested too deep") from None


def exceeds(value: object, most: int) -> bool:
    """Whether the value takes more than `most` bytes as JSON, roughly and from below; looks at no more than that."""
    room = most
    rest = [value]
    while rest and room >= 0:
        item = rest.pop()
        if isinstance(item, str):
            room -= len(item)
        elif type(item) in _NUMBERS:
            room -= 1
        elif isinstance(item, list):
            bare = set(map(type, item)) <= _NUMBERS  # a byte each, and a comma: none has to be looked at
            room -= 2 * len(item) if bare else len(item)
            rest.extend(item if room >= 0 and not bare else ())
        elif type(item) is dict or isinstance(item, Mapping):  # asking for a Mapping takes ten times as long
            room -= sum(map(len, item)) + _PUNCTUATION * len(item)
            rest.extend(item.values() if room >= 0 else ())
        else:
            room -= 1
    return room < 0


def _is_plain(value: Json) -> bool:
    """True where the standard encoder's form is the canonical one but for the order of keys; checks every type."""
    kind = type(value)
    if kind in _BARE:
        return True
    if isinstance(value, dict):
        for key, item in value.items():  # noqa: SIM110 — as below
            if type(key) is not str or not _is_plain(item):
                return False
        return True
    if isinstance(value, list):
        return _all_plain(value)
    if kind is float:
        return _LEAST_PLAIN <= abs(value) < _LEAST_WHOLE and not value.is_integer()  # type: ignore[arg-type, union-attr]
    return kind is int and -MAX_INTEGER <= value <= MAX_INTEGER  # type: ignore[operator]


def _all_plain(items: list[Json]) -> bool:
    kinds = set(map(type, items)) if len(items) > _FEW else None
    if kinds == {int}:
        return min(items) >= -MAX_INTEGER and max(items) <= MAX_INTEGER  # type: ignore[type-var, operator]
    if kinds is not None and kinds <= _BARE:
        return True
    for item in items:  # noqa: SIM110 — a loop takes half the time of all(), and this is the hot path
        if not _is_plain(item):
            return False
    return True


def _written(value: Json, widest: int = MAX_INTEGER) -> str:
    if isinstance(value, str):
        return encode_basestring(value)
    if isinstance(value, float):
        return _number(value)
    if value is None or value is True or value is False:
        return _WORDS[value]
    if isinstance(value, int):
        return _integer(value, widest)
    if isinstance(value, list):
        return f"[{','.join([_written(item, widest) for item in value])}]"
    if isinstance(value, dict):
        return _object(value, widest)
    raise ValueError("a type that JSON doesn't have")


def _object(value: dict[str, Json], widest: int) -> str:
    if not all(isinstance(key, str) for key in value):
        raise ValueError("a key that is no string")
    members = [f"{encode_basestring(key)}:{_written(value[key], widest)}" for key in sorted(value, key=_utf16)]
    return f"{{{','.join(members)}}}"


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
    if value.is_integer() and abs(value) <= MAX_INTEGER:
        return int.__repr__(int(value))  # "0" also for -0
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
