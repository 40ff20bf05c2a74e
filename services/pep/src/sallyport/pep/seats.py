"""How many streams may stay open: one caller can't take all, and all of them leave room for calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from sallyport.pep.model import Caller


class Seats:
    """Counted by (issuer, user, agent, org): as many tokens as one has, they are one caller."""

    def __init__(self, most: int, each: int) -> None:
        self._most, self._each = most, each
        self._taken: Counter[tuple[str, str, str, str]] = Counter()

    def none_left(self, caller: Caller) -> str:
        """Why there is none for this caller, in words for them; "" if there is one."""
        if self._taken[_key(caller)] >= self._each:
            return f"{self._each} streams are open for this user and agent; close one"
        if self._taken.total() >= self._most:
            return "all streams are taken; call again later"
        return ""

    @contextmanager
    def one(self, caller: Caller) -> Iterator[None]:
        """Take one, where one is left."""
        key = _key(caller)
        self._taken[key] += 1
        try:
            yield
        finally:
            self._taken[key] -= 1
            if not self._taken[key]:
                del self._taken[key]


def _key(caller: Caller) -> tuple[str, str, str, str]:
    return caller.issuer, caller.user, caller.agent, caller.org
