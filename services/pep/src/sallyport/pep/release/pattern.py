"""One thing that a mask finds in text.

Every regular expression here is linear (CWE-1333): runs are possessive and can't begin in their own middle, all other
repetitions are short.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

JOINT: Final = r"[ \u00a0\u202f./\-\u2010-\u2015]"  # what people write between groups of digits
Found: TypeAlias = tuple[int, int]  # from, to


@dataclass(frozen=True, slots=True)
class Pattern:
    """`accept` says which part of a match is one, if any; an empty part passes over it."""

    regex: re.Pattern[str]
    mark: str
    accept: Callable[[re.Match[str]], Found | None]

    def hide(self, text: str) -> str:
        pieces, done = [], 0
        for start, end in self._hits(text):
            pieces += [text[done:start], self.mark]
            done = end
        return "".join([*pieces, text[done:]]) if pieces else text

    def _hits(self, text: str) -> Iterator[Found]:
        place = 0
        while match := self.regex.search(text, place):
            found = self.accept(match)
            if found and found[0] < found[1]:
                yield found
            place = found[1] if found else match.start() + 1


def whole(match: re.Match[str]) -> Found:
    return match.span()


def digits(text: str) -> str:
    return "".join(character for character in text if character.isdecimal())
