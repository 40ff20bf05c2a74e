"""What is wrong with a configuration, where, and for whom: all of it at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault. Lines and columns count from 1; line 0 means the file (or directory) as a whole."""

    file: str
    line: int
    column: int
    message: str
    subject: str = ""  # what the fault is about, such as a policy's id

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{place}: {self.message}"


class ConfigError(Exception):
    """A configuration that can't be used. Its text lists every problem, one a line."""

    problems: tuple[Problem, ...]

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    @classmethod
    def about(cls, file: object, message: str) -> ConfigError:
        """One problem with a file or directory as a whole."""
        return cls([Problem(str(file), 0, 0, message)])
