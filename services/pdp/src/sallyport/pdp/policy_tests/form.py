"""The YAML form of a policy test file: NAME.test.yaml. Every key is optional here; cases.py says what a case needs."""

from __future__ import annotations

import difflib
import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, StringConstraints, Tag

from sallyport.pdp.model import ErrorCode
from sallyport.pdp.policy_tests.limits import MAX_FIXTURES
from sallyport.runtime.settings import Settings

# A case that doesn't say when it happens always happens then: a Wednesday, within business hours.
INSTANT: Final = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
ISSUER: Final = "laptop"
_INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)", re.ASCII)


def _instant(value: Any) -> Any:
    if not isinstance(value, str) or not _INSTANT.fullmatch(value):
        raise ValueError("no instant with a time zone; write it as 2026-03-04T12:00:00Z")
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        raise ValueError("there is no such day or time") from None


def _one_or_more(value: Any) -> Any:
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) else value  # strict, after a validator: a list is no tuple


def _printable(value: str) -> str:
    if not value.isprintable():
        raise ValueError("a name is one line of printable text")
    return value


def _error_code(name: str) -> str:
    if name not in ErrorCode.__members__:
        near = difflib.get_close_matches(name.upper()[:128], ErrorCode.__members__, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(ErrorCode.__members__)}"
        raise ValueError(f"no error code of that name; {hint}")
    return name


Text = Annotated[str, StringConstraints(max_length=4096)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_printable)]
Instant = Annotated[datetime, BeforeValidator(_instant)]
Texts = Annotated[tuple[Text, ...], BeforeValidator(_one_or_more)]
Codes = Annotated[tuple[Annotated[str, AfterValidator(_error_code)], ...], BeforeValidator(_one_or_more)]


def _some(items: tuple[Any, ...]) -> tuple[Any, ...]:
    """Not pydantic's own limit, which counts again, wrongly, where an item is bad."""
    if not items:
        raise ValueError("is empty; that would test nothing")
    return items


def _kind(value: Any) -> str:
    return "by name" if isinstance(value, str) else "in place"


class PrincipalForm(Settings):
    """`like` names a fixture that gives whatever isn't said here."""

    like: Text | None = None
    user: Text | None = None
    agent: Text | None = None
    org: Text | None = None
    issuer: Text | None = None
    roles: Texts | None = None
    scopes: Texts | None = None


class ResourceForm(Settings):
    """`attributes` are what a resolver of the PEP would send along."""

    like: Text | None = None
    resource: Text | None = None
    input: dict[str, Any] | None = None
    attributes: dict[str, Any] | None = None


class SessionForm(Settings):
    """A fact that is null is unknown, also where the defaults give one."""

    ip: Text | None = None
    risk: int | None = None
    mfa_age: int | None = None
    call_count: int | None = None


PrincipalSaid = Annotated[
    Annotated[Text, Tag("by name")] | Annotated[PrincipalForm, Tag("in place")], Discriminator(_kind)
]
ResourceSaid = Annotated[
    Annotated[Text, Tag("by name")] | Annotated[ResourceForm, Tag("in place")], Discriminator(_kind)
]


class Defaults(Settings):
    """For every case of the file that says nothing else."""

    principal: PrincipalSaid | None = None
    action: Text | None = None
    resource: ResourceSaid | None = None
    at: Instant | None = None
    session: SessionForm | None = None


class CaseForm(Defaults):
    """One case, or one row of a table with what stands beside the table."""

    input: dict[str, Any] | None = None
    expect: Literal["permit", "deny"] | None = None
    reasons: Texts = ()
    errors: Codes = ()
    obligations: Texts | None = None
    advice: Texts | None = None
    scopes: Texts | None = None


class Entry(CaseForm):
    """One element of `tests`."""

    name: Name
    columns: Annotated[tuple[Text, ...], AfterValidator(_some)] | None = None
    rows: Annotated[tuple[tuple[Any, ...], ...], AfterValidator(_some)] | None = None


class TestFile(Settings):
    defaults: Defaults = Defaults()
    principals: dict[Name, PrincipalForm] = Field(default={}, max_length=MAX_FIXTURES)
    resources: dict[Name, ResourceForm] = Field(default={}, max_length=MAX_FIXTURES)
    tests: Annotated[tuple[Entry, ...], AfterValidator(_some)]
