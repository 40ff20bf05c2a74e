"""What passes between reading, running and reporting: a case, what it expects, what happened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from sallyport.pdp.model import Principal, Query
from sallyport.runtime.problems import Problem

Uid: TypeAlias = tuple[str, str]  # type, id


@dataclass(frozen=True, slots=True)
class Expected:
    """`reasons` are a lower bound; whatever else is given is exact."""

    permit: bool
    reasons: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()  # names of error codes
    num_errors: int | None = None  # of the Cedar CLI's form: how many policies fail
    obligations: tuple[str, ...] | None = None
    advice: tuple[str, ...] | None = None
    scopes: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Actual:
    """What the PDP would answer. `broken` says why nothing could be judged: no expectation is met by that."""

    permit: bool
    reasons: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    obligations: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()  # entities that are referred to and not there, so that nothing may be permitted
    broken: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """In Sallyport's own words."""

    principal: Principal
    query: Query
    at: datetime


@dataclass(frozen=True, slots=True)
class CedarQuestion:
    """In Cedar's words, as the Cedar CLI takes it."""

    principal: Uid
    action: str
    resource: Uid
    context: Mapping[str, Any]
    entities: str | tuple[Any, ...]  # a file beside, or the entities themselves


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    line: int
    column: int
    expected: Expected
    question: Question | CedarQuestion


@dataclass(frozen=True, slots=True)
class Difference:
    what: str
    expected: str
    actual: str


@dataclass(frozen=True, slots=True)
class Result:
    """One case that ran. What was asked is told of a failed one alone."""

    name: str
    line: int
    column: int
    differences: tuple[Difference, ...] = ()
    said: str = ""  # "expected permit, was deny by org_isolation"
    asked: tuple[tuple[str, str], ...] = ()  # ("who", "alice via coding-bot, ..."), ...

    @property
    def passed(self) -> bool:
        return not self.differences


@dataclass(frozen=True, slots=True)
class FileReport:
    """One test file: its cases that ran, and why it, or a part of it, can't be used."""

    file: str
    results: tuple[Result, ...]
    problems: tuple[Problem, ...]
    seconds: float

    @property
    def failed(self) -> tuple[Result, ...]:
        return tuple(result for result in self.results if not result.passed)
