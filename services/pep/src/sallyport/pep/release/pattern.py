"""One thing that a mask finds in text.

Every regular expression here is linear (CWE-1333): runs are possessive and can't begin in their own middle, all other
repetitions are short. A search would still try each at every letter, so a pattern says first where it could begin.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from heapq import merge
from typing import Final

from sallyport.pep.release.together import Found, Together

_ALSO: Final = (
    ("\u017f", "s"),
    ("\u0130", "i"),
    ("\u0131", "i"),
)  # re takes them for these in any case; lower() doesn't
JOINT: Final = r"[ \u00a0\u202f./\-\u2010-\u2015]"  # what people write between groups of digits


@dataclass(frozen=True, slots=True)
class Pattern:
    """`accept` says which part of a match is one, if any; an empty part passes over it.

    `starts` gives in order every place where a match that is accepted begins, and may give others. Of strings that stand
    together it gives those of each.
    """

    regex: re.Pattern[str]
    mark: str
    accept: Callable[[re.Match[str]], Found | None]
    starts: Callable[[str], Iterable[int]]

    def hide(self, given: Together) -> Together:
        hits: dict[int, list[Found]] = {}
        for number, found in self._hits(given):
            hits.setdefault(number, []).append(found)
        return given.marked(hits, self.mark) if hits else given

    def hide_in(self, text: str) -> str:
        """The same in one short text, where trying every letter costs less than looking for where to try."""
        pieces, done, place = [], 0, 0
        while match := self.regex.search(text, place):
            found = self.accept(match)
            place = found[1] if found else match.start() + 1
            if found and found[0] < place:
                pieces += [text[done : found[0]], self.mark]
                done = place
        return "".join([*pieces, text[done:]]) if pieces else text

    def _hits(self, given: Together) -> Iterator[tuple[int, Found]]:
        text, match, accept = given.text, self.regex.match, self.accept
        number, end, place = 0, len(given.strings[0]), 0
        for start in self.starts(text):
            if start < place:
                continue
            if start > end:
                number, end = given.holding(start)
            found = accept(told) if (told := match(text, start, end)) else None
            if found:
                place = found[1]
                if found[0] < place:
                    yield number, found


def whole(match: re.Match[str]) -> Found:
    return match.span()


def digits(text: str) -> str:
    return "".join(character for character in text if character.isdecimal())


def folded(text: str) -> str:
    """In small letters, each where it stood."""
    for letter, small in () if text.isascii() else _ALSO:
        text = text.replace(letter, small)
    return text.lower()


def begins(trace: str, back: int = 0) -> Callable[[str], Iterator[int]]:
    """Where a pattern could begin: so far before each match of a part of it. A letter or a class in front makes it quick."""
    search = re.compile(trace).finditer
    return lambda text: (max(found.start() - back, 0) for found in search(text))


def finds(*sought: tuple[str, Iterable[str]]) -> Iterator[int]:
    """Where in a text any of its words stands, in order."""
    return merge(*(_finds(text, each) for text, words in sought for each in words if each in text))


def _finds(text: str, word: str) -> Iterator[int]:
    place = text.find(word)
    while place >= 0:
        yield place
        place = text.find(word, place + 1)


def run_start(stop: re.Pattern[str], text: str, low: int, place: int) -> int | None:
    """Where the run that ends before `place` begins: behind the last `stop`. None if it comes from before `low`."""
    found = stop.search(text[low:place][::-1])
    if found:
        return place - found.start()
    return None if low else 0
