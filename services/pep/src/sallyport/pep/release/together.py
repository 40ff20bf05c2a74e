"""Strings looked through as one text: a search costs more to begin than to go on."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import accumulate
from typing import TypeAlias

Found: TypeAlias = tuple[int, int]  # from, to


class Together:
    """`text` has a line feed between them, which no pattern takes for a part of the next."""

    def __init__(self, strings: Sequence[str]) -> None:
        self.strings = strings
        self.text = "\n".join(strings)

    @cached_property
    def _begins(self) -> list[int]:
        return list(accumulate(map((1).__add__, map(len, self.strings)), initial=0))

    def holding(self, place: int) -> tuple[int, int]:
        """Which string that is, and where it ends."""
        number = min(bisect_right(self._begins, place), len(self.strings)) - 1
        return number, self._begins[number] + len(self.strings[number])

    def marked(self, found: Mapping[int, Sequence[Found]], mark: str) -> Together:
        """The same, with a mark for everything that was found in the strings of those numbers."""
        strings = list(self.strings)
        for number, hits in found.items():
            pieces, done = [], self._begins[number]
            for start, end in hits:
                pieces += [self.text[done:start], mark]
                done = end
            strings[number] = "".join([*pieces, self.text[done : self.holding(done)[1]]])
        return Together(strings)
