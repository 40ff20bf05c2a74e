"""Questions out of a file: one case, written as in a `*.test.yaml`, or all cases of such a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sallyport.cli import console
from sallyport.cli.complaint import Complaint
from sallyport.pdp.policy_tests import cases
from sallyport.pdp.policy_tests.limits import Budget, TooMuchError
from sallyport.pdp.policy_tests.model import Case, Question
from sallyport.pdp.policy_tests.names import Names
from sallyport.runtime import strict_yaml
from sallyport.runtime.problems import ConfigError, Problem

if TYPE_CHECKING:
    from sallyport.pdp.schema import Action
    from sallyport.pdp.snapshot import Snapshot

_FORM: Final = (
    "write it as one case of a *.test.yaml: principal: {user: alice, agent: coding-bot, org: acme, roles: [developer]}, "
    "action: read_file, resource: File::alice/notes.txt"
)


@dataclass(frozen=True, slots=True)
class Asked:
    name: str
    question: Question


def read(file: Path, snapshot: Snapshot, name: str = "", *, also: Snapshot | None = None) -> tuple[Asked, ...]:
    """Every question of the file, or those of that name; what `also` knows may be named too."""
    data = _bytes(file)
    value = strict_yaml.parse(data, str(file)).value
    if not isinstance(value, dict):
        raise Complaint(f"{file} holds no request", _FORM)
    whole = "tests" in value
    found = _cases(data if whole else _wrapped(value), str(file), _Known(snapshot, also), placed=whole)
    chosen = [Asked(case.name, case.question) for case in found if isinstance(case.question, Question)]
    chosen = [asked for asked in chosen if not name or asked.name == name]
    if not chosen:
        named = ", ".join(repr(case.name) for case in found[:10])
        raise Complaint(f"{file} has no case {name!r}", f"name one of: {named or 'none'}")
    return tuple(chosen)


class _Known(Names):
    """What either of two sets names."""

    def __init__(self, snapshot: Snapshot, also: Snapshot | None) -> None:
        super().__init__(snapshot)
        self._also = Names(also) if also is not None else None

    @cached_property
    def actions(self) -> Mapping[str, Action]:
        return {**(self._also.actions if self._also else {}), **super().actions}

    @cached_property
    def policies(self) -> frozenset[str]:
        return super().policies | (self._also.policies if self._also else frozenset())


def _bytes(file: Path) -> bytes:
    if not file.is_file():
        raise Complaint(f"{file} is not a file", f"name a file with the request; {_FORM}")
    return file.read_bytes()


def _wrapped(case: Mapping[str, Any]) -> bytes:
    """One case as a test file of its own; what it expects is nobody's business here, but may stand there."""
    return json.dumps({"tests": [{"name": "the request", "expect": "deny", **case}]}).encode()


def _cases(data: bytes, file: str, names: Names, *, placed: bool) -> list[Case]:
    problems: list[Problem] = []
    try:
        found = list(cases.read(data, file, names, Budget(), problems))
    except ConfigError as error:
        problems += error.problems
    except TooMuchError as error:
        raise Complaint(f"{file}: {error}", "ask about fewer cases at a time") from None
    if not problems:
        return found
    told = (
        problems
        if placed
        else [Problem(file, 0, 0, one.message.removeprefix("case the request: ")) for one in problems]
    )
    for problem in told:
        console.err.print(str(problem))
    raise Complaint(f"{file} can't be asked", f"mend the lines above; {_FORM}")
