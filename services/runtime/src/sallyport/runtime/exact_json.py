"""JSON that others write and the gate carries: integers of 64 bits are common there, and keep every digit.

`strict_json` refuses a whole text for one number that parsers disagree about. In a list of definitions that would take
out all of them for one, so `parse` loses only what holds it: its mark compares equal to nothing, and nothing encodes it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from math import isinf
from typing import Any, Final, Self

from sallyport.runtime import canonical_json, strict_json
from sallyport.runtime.strict_json import Json, JsonRefused

WIDEST: Final = 10**21 - 1  # RFC 8785 writes what is less without an exponent: an integer has one form, as a double too
_PLAIN: Final = 15  # digits that every double holds
_MAX_LITERAL: Final = 400  # characters; Decimal takes the square of it
_NUMBER: Final = "a number that can't be carried as it is written: more digits than a double holds, or out of its range"
_MAX_INTEGER_CHARACTERS: Final = 22  # digits and a sign
_TOO_WIDE: Final = "a number beyond 21 digits, or with a fraction beyond what a double holds"
_TWICE: Final = "a key that is given twice"


class Uncarried(float):
    """NaN, and why."""

    why: str

    def __new__(cls, why: str) -> Self:
        made = super().__new__(cls, "nan")
        made.why = why
        return made


def parse(data: bytes) -> Json:
    """As `strict_json.parse`, but integers are exact up to 21 digits, and a number beyond that, one that a double rounds, and what a key
    given twice stands for are Uncarried. A lone surrogate stays. Raises JsonRefused.
    """
    return strict_json.decoded(data, _DECODER, strict_json.MAX_DEPTH)


def whole(data: bytes) -> Json:
    """As `strict_json.parse`, with the same exception, but integers are exact up to 21 digits, also as 1e17."""
    return strict_json.without_surrogates(strict_json.decoded(data, _WHOLE, strict_json.MAX_DEPTH), data)


def encode(value: Json) -> bytes:
    """RFC 8785, with integers up to 21 digits written out: two values have one form only if they are equal.

    Raises ValueError, which holds none of the value, where something in it wasn't carried.
    """
    try:
        return canonical_json.encode(value, widest=WIDEST)
    except ValueError as error:
        raise ValueError(_why(value) or str(error)) from None


def _why(value: Any) -> str:
    if isinstance(value, Uncarried):
        return value.why
    items = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return next((why for item in items if (why := _why(item))), "")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        times = Counter(key for key, _ in pairs)
        found |= {key: Uncarried(_TWICE) for key, given in times.items() if given > 1}
    return found


def _integer(literal: str) -> int | float:
    return int(literal) if len(literal) <= _PLAIN else _exact(literal)


def _float(literal: str) -> int | float:
    number = float(literal)
    return number if float.__repr__(number) == literal else _exact(literal)


def _exact(literal: str) -> int | float:
    number = float(literal)
    mantissa = literal.lower().partition("e")[0]
    if len(literal) > _MAX_LITERAL or isinf(number) or (number == 0 and mantissa.strip("-0.")):
        return Uncarried(_NUMBER)
    if number == 0:
        return 0
    written = Decimal(literal)
    if abs(written) <= WIDEST and written == int(written):
        return int(written)
    return number if written == Decimal(float.__repr__(number)) else Uncarried(_NUMBER)


def _wide_integer(literal: str) -> int:
    if len(literal) > _PLAIN and (len(literal) > _MAX_INTEGER_CHARACTERS or abs(int(literal)) > WIDEST):
        raise JsonRefused(_TOO_WIDE)
    return int(literal)


def _wide_float(literal: str) -> int | float:
    number = float(literal)
    if isinf(number):
        raise JsonRefused("number overflows a double")
    if not strict_json.MAX_INTEGER < abs(number) <= WIDEST:
        return number
    written = _exact(literal)
    if not isinstance(written, int):  # a fraction that no double has
        raise JsonRefused(_TOO_WIDE)
    return written


_DECODER: Final = strict_json.decoder(_object, _integer, _float)
_WHOLE: Final = strict_json.decoder(strict_json.distinct, _wide_integer, _wide_float)
