"""Parse JSON as RFC 8259 and RFC 7493 (I-JSON) have it, and nothing else: what parsers disagree about is refused."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from json import JSONDecodeError, JSONDecoder
from typing import Any, Final, NoReturn, TypeAlias, cast

Json: TypeAlias = bool | int | float | str | list["Json"] | dict[str, "Json"] | None

MAX_DEPTH: Final = 64
MAX_INTEGER: Final = 2**53 - 1  # RFC 8259 §6: beyond it, parsers give different numbers
_PLAIN_BELOW: Final = 1e21  # RFC 8785 writes integral floats below it as integers
_MAX_INTEGER_CHARACTERS: Final = 17  # sixteen digits and a sign; int() of more would be slow, or raise

_HIGH: Final = rb"[89abAB][0-9a-fA-F]{2}"  # the rest of the first half of a pair, and how the second begins
_LOW: Final = rb"[c-fC-F]"
_LONE_SURROGATE: Final = re.compile(
    rb"\\u[dD](?:%b(?!\\u[dD]%b)|%b(?<!\\u[dD]%b\\u[dD]%b))" % (_HIGH, _LOW, _LOW, _HIGH, _LOW)
)
_LONG: Final = 2048  # bytes; in less, looking for long numbers takes longer than it saves
_PIECE: Final = 64 << 10  # bytes; then another thread may have its turn
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
    if _LONE_SURROGATE.search(data.replace(b"\\\\", b"--")):
        raise JsonRefused("lone surrogate")
    return value


def outside_strings(data: bytes) -> bytes:
    """What stands between them, and around them; an unterminated one runs to the end. Of what is no JSON, anything."""
    plain = data.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in data else data
    kept, inside = list[bytes](), 0
    for at in range(0, len(plain), _PIECE):
        parts = plain[at : at + _PIECE].split(b'"')
        kept.append(b"".join(parts[inside::2]))
        inside ^= (len(parts) + 1) & 1
    return b"".join(kept)


def _check_depth(data: bytes, max_depth: int) -> None:
    """Take away the innermost pairs of brackets, `max_depth` times; what is left is too deep, or unbalanced."""
    brackets = outside_strings(data).translate(_ONE_KIND_OF_BRACKET, _NO_BRACKETS)
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
