"""Numbers that lead to a person or to their money: cards, bank accounts, national ids, telephones."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from heapq import merge
from typing import Final

from sallyport.pep.release.pattern import JOINT, Pattern, begins, digits, folded, whole
from sallyport.pep.release.together import Found

_LUHN_DOUBLED: Final = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
_CARD_DIGITS: Final = range(13, 20)
_SHORTEST_IBAN: Final = 15  # Norway's; ISO 13616 ends at 34
_HEAD_SHIFT: Final = 10**6  # country and check digits, moved to the end, are six digits
_BARE_PHONE: Final = range(10, 16)  # without a sign or a joint, other lengths are just a number; E.164 ends at 15
_SINCE_1970: Final = re.compile(r"1\d{9}(?:\d{3})?")  # seconds or milliseconds: E.164 has no such number


def _luhn(number: str) -> bool:
    backwards = [int(digit) for digit in reversed(number)]
    return (sum(backwards[::2]) + sum(_LUHN_DOUBLED[digit] for digit in backwards[1::2])) % 10 == 0


def _card(match: re.Match[str]) -> Found | None:
    """With the last, short group or without it: 4-4-4-4 is followed by whatever."""
    for end in (match.end(), match.end("core") if match["core"] else -1):
        number = digits(match.string[match.start() : end]) if end > 0 else ""
        if len(number) in _CARD_DIGITS and _luhn(number):
            return match.start(), end
    return None


def _iban(match: re.Match[str]) -> Found | None:
    """The longest beginning whose check digits hold: what follows may be the next word."""
    places = [place for place in range(*match.span()) if match.string[place].isalnum()]
    values = [int(letter, 36) for letter in folded("".join(match.string[place] for place in places))]
    head = _appended(0, values[:4])
    rest, found = 0, None
    for count, value in enumerate(values[4:], start=5):
        rest = _appended(rest, (value,))
        if count >= _SHORTEST_IBAN and (rest * _HEAD_SHIFT + head) % 97 == 1:
            found = match.start(), places[count - 1] + 1
    return found


def _appended(remainder: int, values: Iterable[int]) -> int:
    """ISO 7064 MOD 97-10, letter by letter; A is 10."""
    for value in values:
        remainder = (remainder * (100 if value > 9 else 10) + value) % 97  # noqa: PLR2004 — two digits, or one
    return remainder


def _phone(match: re.Match[str]) -> Found | None:
    if match["other"]:
        return match.end(), match.end()
    number = match[0]
    if number.isdecimal() and (len(number) not in _BARE_PHONE or _SINCE_1970.fullmatch(number)):
        return None
    return match.span()


_GAP: Final = rf"(?:{JOINT}|[()]){{0,3}}+"
_NINE_DIGITS: Final = rf"(?=\d\d(?:\d{{6}}|{JOINT}\d\d{JOINT}\d{{4}})(?!\d))"
_SIX_DIGITS: Final = r"(?=\d ?\d\d ?\d\d ?(?i:[A-D]))(?:(?<=(?P<near>[^\W\d_])\d)|(?<=(?P<far>[^\W\d_]) \d))"
_DIGITS_OF_SSN: Final = re.compile(rf"\d(?<!\d\d)(?=\d)(?:{_NINE_DIGITS}|{_SIX_DIGITS})")
_LETTERS_BEFORE: Final = {None: 0, "near": 2, "far": 3}
_seven_digits = begins(rf"[+(\d](?<!\d.)(?=\+?(?:{_GAP}\d){{6}})")
_uuids = begins(r"-(?<=[0-9a-fA-F]{8}-)(?=[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-)", back=8)


def _ssns(text: str) -> Iterator[int]:
    for found in _DIGITS_OF_SSN.finditer(text):
        yield max(found.start() - _LETTERS_BEFORE[found.lastgroup], 0)


def _phones(text: str) -> Iterator[int]:
    return merge(_seven_digits(text), _uuids(text))


CARD: Final = Pattern(
    re.compile(
        rf"(?<!\d)(?:(?P<core>\d{{4}}(?:{JOINT}\d{{4}}){{3}})(?!\d)(?:{JOINT}\d{{1,3}}(?!\d))?"
        rf"|\d{{4}}{JOINT}\d{{6}}{JOINT}\d{{4,5}}(?!\d)|\d{{13,19}}(?!\d))"
    ),
    "[masked card]",
    _card,
    begins(rf"\d(?=\d{{3}}{JOINT}?\d{{4}})(?<!\d\d)(?=(?:{JOINT}?\d){{12}})"),
)
IBAN: Final = Pattern(
    re.compile(r"(?i)(?<![A-Z0-9])[A-Z]{2}[0-9]{2}(?:[ \u00a0\-]?[A-Z0-9]){11,30}"),
    "[masked iban]",
    _iban,
    begins(r"(?i)[0-9](?<=(?<![A-Z0-9])[A-Z]{2}[0-9])(?=[0-9](?:[ \u00a0\-]?[A-Z0-9]){11})", back=2),
)
SSN: Final = Pattern(
    re.compile(
        rf"(?<!\d)(?!000|666)\d{{3}}(?P<joint>{JOINT}?)(?!00)\d{{2}}(?P=joint)(?!0000)\d{{4}}(?!\d)"
        r"|(?i:(?<![A-Z0-9])[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D](?![A-Z0-9]))"
    ),
    "[masked ssn]",
    whole,
    _ssns,
)
PHONE: Final = Pattern(
    re.compile(
        r"(?P<other>[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"  # a UUID
        r"|(?<!\d)\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])(?!\d)(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?)?)"
        rf"|(?<!\d)(?:\+|\(\+?)?\d(?:{_GAP}\d){{6,}}+"
    ),
    "[masked phone]",
    _phone,
    _phones,
)
