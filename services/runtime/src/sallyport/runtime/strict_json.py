"""Parse JSON as RFC 8259 and RFC 7493 (I-JSON) have it, and nothing else: what parsers disagree about is refused."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from json import JSONDecodeError, JSONDecoder, JSONEncoder
from typing import Any, Final, NoReturn, TypeAlias, cast

Json: TypeAlias = bool | int | float | str | list["Json"] | dict[str, "Json"] | None

MAX_DEPTH: Final = 64
MAX_INTEGER: Final = 2**53 - 1  # RFC 8259 §6: beyond it, parsers give different numbers
_PLAIN_BELOW: Final = 1e21  # RFC 8785 writes integral floats below it as integers
_MAX_INTEGER_CHARACTERS: Final = 17  # sixteen digits and a sign; int() of more would be slow, or raise

# Possessive, and an unterminated string runs to the end: each byte is looked at once.
_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_SURROGATE_ESCAPE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_LONG: Final = 2048  # bytes; in less, looking for long numbers takes longer than it saves
_ONE_KIND_OF_DIGIT: Final = bytes.maketrans(b"123456789E", b"000000000e")
_ONE_KIND_OF_BRACKET: Final = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS: Final = bytes(sorted(set(range(256)) - set(b"[]{}")))


class JsonRefused(ValueError):
    """Not JSON as we take it. The text is a short reason and holds none of the input."""


def parse(data: bytes, *, max_depth: int = MAX_DEPTH) -> Json:
    """Parse one JSON text in UTF-8, in time linear to its length; `[]` has depth 1.

    Refused with JsonRefused, and no other exception: a BOM, invalid UTF-8, duplicate keys, NaN and Infinity, numbers
    that overflow a double, integers beyond ±(2^53-1) (also as 1e17), lone surrogates, depth over `max_depth`, trailing data. An integral number
    written as a float, such as 1.0, stays a float.
    """
    decoder = _SHORT_DECODER if _has_short_numbers(data) else _DECODER
    return without_surrogates(decoded(data, decoder, max_depth), data)


def decoded(data: bytes, decoder: JSONDecoder, max_depth: int) -> Json:
    """What a decoder makes of it, with the same exception and bounds; what its hooks let through is the caller's."""
    if data.count(b"[") + data.count(b"{") > max_depth:  # the usual message has fewer, in strings or not
        _check_depth(data, max_depth)
    try:
        return cast("Json", decoder.decode(data.decode("utf-8")))
    except JsonRefused:
        raise
    except UnicodeDecodeError as error:
        raise JsonRefused(f"invalid UTF-8 at byte {error.start}") from None
    except JSONDecodeError as error:
        raise JsonRefused(f"malformed at character {error.pos}") from None
    except (RecursionError, MemoryError):
        raise JsonRefused("too deep or too large") from None


def _has_short_numbers(data: bytes) -> bool:
    """Whether none can be out of bounds, as in most long messages: that takes sixteen digits in a row, or an exponent."""
    if len(data) < _LONG:
        return False
    digits = data.translate(_ONE_KIND_OF_DIGIT)
    return b"0000000000000000" not in digits and b"0e" not in digits


def without_surrogates(value: Json, data: bytes) -> Json:
    """The value that was read from `data`. Raises JsonRefused where a lone surrogate is in it."""
    try:
        if _SURROGATE_ESCAPE.search(data):
            _ENCODER.encode(value).encode("utf-8")
    except UnicodeEncodeError:
        raise JsonRefused("lone surrogate") from None
    except (RecursionError, MemoryError):
        raise JsonRefused("too deep or too large") from None
    return value


def _check_depth(data: bytes, max_depth: int) -> None:
    """Take away the innermost pairs of brackets, `max_depth` times; what is left is too deep, or unbalanced."""
    brackets = _STRING.sub(b"", data).translate(_ONE_KIND_OF_BRACKET, _NO_BRACKETS)
    for _ in range(max_depth):
        peeled = brackets.replace(b"[]", b"")
        if len(peeled) == len(brackets):
            break
        brackets = peeled
    if brackets:
        raise JsonRefused(f"nested deeper than {max_depth}, or unbalanced")


def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Raises JsonRefused."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise JsonRefused("duplicate key")
    return found


def _integer(literal: str) -> int:
    if len(literal) > _MAX_INTEGER_CHARACTERS or not -MAX_INTEGER <= (number := int(literal)) <= MAX_INTEGER:
        raise JsonRefused("integer beyond ±(2^53-1)")
    return number


def _float(literal: str) -> float:
    number = float(literal)
    if math.isinf(number):
        raise JsonRefused("number overflows a double")
    if MAX_INTEGER < abs(number) < _PLAIN_BELOW:  # 1e17 is forwarded as an integer, where parsers differ again
        raise JsonRefused("integer beyond ±(2^53-1)")
    return number


def _constant(_literal: str) -> NoReturn:
    raise JsonRefused("NaN or Infinity")


def decoder(
    pairs: Callable[[list[tuple[str, Any]]], Any], integer: Callable[[str], Any], number: Callable[[str], Any]
) -> JSONDecoder:
    """For `decoded`. NaN and Infinity are no JSON to anybody."""
    return JSONDecoder(object_pairs_hook=pairs, parse_int=integer, parse_float=number, parse_constant=_constant)


_DECODER: Final = decoder(distinct, _integer, _float)
_SHORT_DECODER: Final = JSONDecoder(object_pairs_hook=distinct, parse_constant=_constant)
_ENCODER: Final = JSONEncoder(ensure_ascii=False, check_circular=False)
