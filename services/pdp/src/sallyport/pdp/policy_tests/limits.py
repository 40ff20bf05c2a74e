"""What the tests of one policy set may cost. Counted, never timed: the same files give the same answer anywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MAX_CASES: Final = 10_000  # of all files together
MAX_JUDGED: Final = 8 << 20  # bytes of the cases as JSON, fixtures written out
MAX_LOOKS: Final = 50_000_000  # policies looked at, all cases together
MAX_FIXTURES: Final = 1_000  # of one kind in one file
MAX_LIKE: Final = 16  # steps from a fixture to what it takes over
MAX_PROBLEMS: Final = 100  # a broken set must not make an endless report
MAX_TEXT: Final = 300  # characters of a name or a value that a message quotes


class TooMuchError(Exception):
    """The tests cost more than they may; says which limit, and what to do."""


@dataclass(slots=True)
class Budget:
    """What is left for the files that come."""

    cases: int = MAX_CASES
    judged: int = MAX_JUDGED
    looks: int = MAX_LOOKS

    def spend(self, size: int, looks: int) -> None:
        """One case of `size` bytes that looks at so many policies. Raises TooMuchError."""
        self.cases -= 1
        self.judged -= size
        self.looks -= looks
        if self.cases < 0:
            raise TooMuchError(f"more than {MAX_CASES} cases in all test files together; test fewer, or split the set")
        if self.judged < 0:
            raise TooMuchError(f"the cases hold more than {MAX_JUDGED} bytes together; make inputs smaller")
        if self.looks < 0:
            raise TooMuchError("too many cases for so many policies; narrow the policies' scopes, or test fewer")


def plain(text: str) -> str:
    """One printable line of bounded length: no name in a test file writes to an operator's terminal or log."""
    cut = text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "..."
    return "".join(char if char.isprintable() else f"\\u{{{ord(char):x}}}" for char in cut)
