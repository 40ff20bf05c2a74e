"""What was expected against what happened, and how that is said."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sallyport.pdp.cedar_text import entity
from sallyport.pdp.policy_tests.limits import plain
from sallyport.pdp.policy_tests.model import Actual, Case, CedarQuestion, Difference, Expected, Question, Result

_EXACT = ("obligations", "advice", "scopes")
Asked = tuple[tuple[str, str], ...]


def result(case: Case, actual: Actual) -> Result:
    differences = tuple(_differences(case.expected, actual))
    if not differences:
        return Result(case.name, case.line, case.column)
    return Result(
        case.name, case.line, case.column, differences, _said(case.expected, actual, differences), _asked(case.question)
    )


def _differences(expected: Expected, actual: Actual) -> Iterator[Difference]:
    """A denial that is right for the wrong reason is no pass: an error that nobody expects hides what policies say."""
    if actual.broken:
        yield Difference("decision", _decision(permit=expected.permit), f"none: {actual.broken}")
        return
    if expected.permit is not actual.permit:
        yield Difference("decision", _decision(permit=expected.permit), _decision(permit=actual.permit))
    if not set(expected.reasons) <= set(actual.reasons):
        yield Difference("reasons", _list(expected.reasons), _list(actual.reasons))
    if expected.num_errors is not None:
        if expected.num_errors != len(actual.errors):
            yield Difference("errors", str(expected.num_errors), _counted(actual.errors))
    elif set(expected.errors) != set(actual.errors):
        yield Difference("errors", _list(expected.errors), _list(actual.errors))
    for what in _EXACT:
        wanted = getattr(expected, what)
        if wanted is not None and sorted(wanted) != sorted(getattr(actual, what)):
            yield Difference(what, _list(wanted), _list(getattr(actual, what)))


def _said(expected: Expected, actual: Actual, differences: Iterable[Difference]) -> str:
    if actual.broken:
        return f"expected {_decision(permit=expected.permit)}, but it {actual.broken}"
    why = f" by {_list(actual.reasons)}" if actual.reasons else ", no policy decided"
    why += f", with {_list(actual.errors)}" if actual.errors else ""
    why += f", absent: {_list(actual.absent)}" if actual.absent else ""
    was = f"was {_decision(permit=actual.permit)}{why}"
    if expected.permit is not actual.permit:
        return f"expected {_decision(permit=expected.permit)}, {was}"
    return "; ".join(f"expected {d.what} {d.expected}, was {d.actual}" for d in differences) + f" ({was})"


def _asked(question: Question | CedarQuestion) -> Asked:
    if isinstance(question, CedarQuestion):
        action = entity("Action", question.action)
        what = f"{action} on {entity(*question.resource)}"
        return ("who", plain(entity(*question.principal))), ("what", plain(what))
    who, query = question.principal, question.query
    facts = [f"{name} {value}" for name in _FACTS if (value := getattr(query.session, name)) is not None]
    roles = f", roles {_list(who.roles)}" if who.roles else ", no roles"
    scopes = f", scopes {_list(who.scopes)}" if who.scopes else ""
    given = ", ".join(f"{name}={value!r}" for name, value in query.input.items())
    return (
        ("who", plain(f"{who.user_id} via {who.agent_id}, org {who.org}{roles}{scopes}")),
        ("what", plain(f"{query.action} on {entity(query.resource_type, query.resource_id)}")),
        ("with", plain(given or "no input")),
        ("when", plain(", ".join([question.at.isoformat(), *facts]))),
    )


_FACTS = ("ip", "risk", "mfa_age", "call_count")


def _decision(*, permit: bool) -> str:
    return "permit" if permit else "deny"


def _list(items: Iterable[str]) -> str:
    return plain(", ".join(items)) or "none"


def _counted(errors: tuple[str, ...]) -> str:
    return f"{len(errors)}: {plain('; '.join(errors))}" if errors else "0"
