"""The Cedar CLI's own test files: what `cedar run-tests --tests FILE` takes, unchanged.

An array of {name?, request: {principal, action, resource, context}, entities, decision, reason, num_errors}; the
entities stand in place or in a file beside. Keys that the Cedar CLI passes over are passed over here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from json import JSONEncoder
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from sallyport.pdp.cedar_text import tokens
from sallyport.pdp.policy_tests import cedar_json
from sallyport.pdp.policy_tests.fixtures import unknown
from sallyport.pdp.policy_tests.limits import MAX_CASES, Budget, plain
from sallyport.pdp.policy_tests.model import Case, CedarQuestion, Expected, Uid
from sallyport.pdp.policy_tests.names import Names
from sallyport.runtime.problems import ConfigError, Problem
from sallyport.runtime.strict_json import JsonRefused

_ENCODER: Final = JSONEncoder(allow_nan=False)
_ASKS: Final = frozenset({"request", "decision", "reason", "num_errors"})
_MAX_COUNT: Final = 10_000
_MAX_UID: Final = 1 << 16  # characters


class _Form(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, hide_input_in_errors=True)


class RequestForm(_Form):
    principal: str
    action: str
    resource: str
    context: dict[str, Any]


class CedarCase(_Form):
    name: str = ""
    request: RequestForm
    entities: str | list[Any]
    decision: Literal["allow", "deny"]
    reason: list[str]
    num_errors: int = Field(ge=0, le=_MAX_COUNT)


_CASE: Final = TypeAdapter(CedarCase)


def is_test_file(name: str, data: bytes) -> bool:
    """By its name, or by what it holds: other JSON, such as entities for tests, may stand beside the policies."""
    if name.endswith(".test.json"):
        return True
    try:
        value = cedar_json.parse(data)
    except JsonRefused:
        return True  # nobody can tell what it was meant to be, so it is told
    if not isinstance(value, list) or not value:
        return False
    # A test with a slip in one key still has the others; only an array of nothing but entities is none.
    return any(isinstance(item, dict) and (_ASKS & item.keys() or "uid" not in item) for item in value)


def read(
    data: bytes, file: str, beside: Collection[str], names: Names, budget: Budget, problems: list[Problem]
) -> Iterator[Case]:
    """Each case that is in order; ConfigError if the file as a whole isn't. `beside` are the files entities may be in."""
    try:
        items = cedar_json.parse(data)
    except JsonRefused as error:
        raise ConfigError.about(file, f"not JSON: {error}") from None
    if not isinstance(items, list) or not 1 <= len(items) <= MAX_CASES:
        raise ConfigError.about(file, f"must be an array of 1 to {MAX_CASES} tests, as `cedar run-tests` takes them")
    for number, (item, place) in enumerate(zip(items, cedar_json.element_places(data), strict=True)):
        case = _case(item, number, _Here(file, place, problems), beside, names)
        if case is not None:
            budget.spend(len(_ENCODER.encode(item)), names.looks(_asked(case).action))
            yield case


def _asked(case: Case) -> CedarQuestion:
    if not isinstance(case.question, CedarQuestion):
        raise TypeError("a case of the Cedar form asks in Cedar's words")
    return case.question


class _Here:
    """Where complaints about one test go."""

    def __init__(self, file: str, place: tuple[int, int], problems: list[Problem]) -> None:
        self.place = place
        self.name = ""
        self._file = file
        self._problems = problems

    def complain(self, message: str) -> None:
        self._problems.append(Problem(self._file, *self.place, f"case {self.name}: {message}", self.name))


def _case(item: Any, number: int, here: _Here, beside: Collection[str], names: Names) -> Case | None:
    said = item.get("name") if isinstance(item, Mapping) else None
    here.name = plain(said) if isinstance(said, str) and said else f"(test {number + 1})"
    try:
        form = _CASE.validate_python(item)
    except ValidationError as error:
        for fault in error.errors(include_url=False, include_context=False, include_input=False):
            here.complain(f"{'.'.join(map(str, fault['loc'])) or 'the test'}: {fault['msg']}")
        return None
    question = _question(form, here, beside, names)
    missing = [reason for reason in form.reason if reason not in names.policies]
    for reason in missing:
        here.complain(unknown("policy", reason, names.policies))
    if question is None or missing:
        return None
    expected = Expected(form.decision == "allow", tuple(form.reason), num_errors=form.num_errors)
    return Case(here.name, *here.place, expected, question)


def _question(form: CedarCase, here: _Here, beside: Collection[str], names: Names) -> CedarQuestion | None:
    uids = [_uid(text, here) for text in (form.request.principal, form.request.action, form.request.resource)]
    entities = _entities(form.entities, here, beside)
    principal, action, resource = uids
    if principal is None or action is None or resource is None or entities is None:
        return None
    if action[0] != "Action" or action[1] not in names.actions:
        here.complain(unknown("action", action[1] if action[0] == "Action" else form.request.action, names.actions))
        return None
    return CedarQuestion(principal, action[1], resource, form.request.context, entities)


def _uid(text: str, here: _Here) -> Uid | None:
    """Cedar's own writing, `User::"alice"`."""
    found = [token for token, _, _ in tokens(text)] if len(text) <= _MAX_UID else []
    path = found[:-1]
    fits = all(token.text == "::" if at % 2 else token.kind == "name" for at, token in enumerate(path))
    if not path or len(path) % 2 or not fits or found[-1].kind != "string":
        here.complain(f'{plain(text)!r} names no entity; write it as User::"alice"')
        return None
    return "".join(token.text for token in path[:-1]), found[-1].value


def _entities(said: str | list[Any], here: _Here, beside: Collection[str]) -> str | tuple[Any, ...] | None:
    """A name must be that of a file of this very directory, as it was read: no path leads anywhere else."""
    if not isinstance(said, str):
        return tuple(said)
    name = said.removeprefix("./")
    if name in beside:
        return name
    here.complain(f"entities: no file {plain(said)!r} beside the test file; a path may not leave its directory")
    return None
