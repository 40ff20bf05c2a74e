"""An expected failure as the operator reads it: what is wrong, what to do next, and the exit code."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of this command, except for `audit verify`, which has its own (see commands/audit.py)."""

    OK = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    UNAVAILABLE = 4
    TOOL_ERROR = 5


class Complaint(Exception):
    """Raised by any command; `main` prints both lines to stderr, without a traceback."""

    def __init__(self, wrong: str, next_step: str, code: Exit = Exit.USAGE) -> None:
        super().__init__(wrong)
        self.wrong = wrong
        self.next_step = next_step
        self.code = code
