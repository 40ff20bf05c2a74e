"""Two witnesses of what is judged without a question of visibility: prompts, resources, completions, tasks, and filters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from sallyport.audit.reconcile import reconcile
from sallyport.audit.witnesses import Side
from tests.unit.audit.made import Home
from tests.unit.audit.witnessed import REVISION, Pair, witnessed

PROMPT: Final[dict[str, Any]] = {"actions": ["prompts/get"], "resources": ["Prompt::greet"]}
TOLD: Final[dict[str, Any]] = {"method": "prompts/get", "tool": "", "resources": ["Prompt::greet"]}
ANOTHER: Final[dict[str, Any]] = {"errors": ["ERROR_CODE_CATALOG_MISMATCH"], "reasons": []}
SHOWN: Final = {
    "prompts/list": "prompts shown",
    "resources/list": "resources shown",
    "resources/templates/list": "resourceTemplates shown",
    "subscriptions/listen": "resources followed; the client went",
}


@dataclass
class Witnessed:
    """Two streams that are being written, until somebody asks what they come to."""

    home: Home
    ends: ExitStack

    def alarms(self) -> list[tuple[str, Side, str]]:
        self.ends.close()
        return [(one.decision_id, one.side, one.what) for one in reconcile([self.home.root]).alarms]


@pytest.fixture
def both(tmp_path: Path) -> Iterator[Witnessed]:
    with ExitStack() as ends:
        yield Witnessed(Home(tmp_path / "home"), ends)


@pytest.fixture
def pair(both: Witnessed) -> Pair:
    return both.ends.enter_context(witnessed(both.home))


def filtered(pair: Pair, one: str, shown: int, **changes: Any) -> None:
    pair.visible(one, shown=shown, hidden=1 - shown, purpose="filter", **{**PROMPT, **changes})


def judged(pair: Pair, one: str, method: str) -> None:
    about = {"actions": [method], "resources": ["Server::sallyport"]}
    pair.decided(one, effect="permit", reasons=["owner"], **about)


def several(pair: Pair, one: str, shown: int, hidden: int = 0) -> None:
    pair.visible(one, shown=shown, hidden=hidden, purpose="filter", actions=[])


def listed(pair: Pair, one: str, method: str, count: int) -> None:
    pair.intent(one, outcome=False, method=method, tool="", resources=[])
    said = {"decision_id": one, "outcome": "done", "detail": f"{count} {SHOWN.get(method, 'tools shown')}"}
    pair.pep.append("outcome", said).result(10)


def test_a_direct_method_is_judged_once(both: Witnessed, pair: Pair) -> None:
    one = pair.new()
    pair.decided(one, effect="permit", reasons=["owner"], **PROMPT)
    pair.intent(one, **TOLD)
    assert both.alarms() == []


def test_a_direct_method_that_no_decision_permits_is_said(both: Witnessed, pair: Pair) -> None:
    one, other = pair.new(), pair.new()
    pair.intent(one, **TOLD)
    filtered(pair, other, 1)
    pair.intent(other, **TOLD)
    assert [(decision, side) for decision, side, _ in both.alarms()] == [(one, Side.PDP), (other, Side.PDP)]


@pytest.mark.parametrize(
    "changed",
    [
        {"resources": ["Prompt::another"]},
        {"actions": ["resources/read"]},
        {"request_hmac": ""},
        {"request_hmac": "kkkkkkkk:another"},
        {"effect": "deny"},
        {"reasons": ["another"]},
    ],
)
def test_a_decision_about_something_else_permits_nothing(both: Witnessed, pair: Pair, changed: dict[str, Any]) -> None:
    one = pair.new()
    pair.decided(one, **{"effect": "permit", "reasons": ["owner"], **PROMPT, **changed})
    pair.intent(one, **TOLD)
    assert {decision for decision, _, _ in both.alarms()} == {one}


@pytest.mark.parametrize("reason", ["invalid_params", "not_served", "quarantined", "foreign_handle"])
def test_what_is_wrong_is_told_to_whom_it_would_be_permitted_alone(both: Witnessed, pair: Pair, reason: str) -> None:
    may, may_not = pair.new(), pair.new()
    for one, shown in ((may, 1), (may_not, 0)):
        filtered(pair, one, shown)
        pair.refused(one, reason, **TOLD)
    ((decision, side, what),) = both.alarms()
    assert (decision, side) == (may_not, Side.PDP)
    assert "wouldn't permit" in what


@pytest.mark.parametrize("reason", ["invalid_params", "not_served", "quarantined", "foreign_handle"])
def test_what_is_wrong_with_what_it_names_is_told_after_a_filter_alone(
    both: Witnessed, pair: Pair, reason: str
) -> None:
    one = pair.new()
    pair.refused(one, reason, **TOLD)
    assert [(decision, side) for decision, side, _ in both.alarms()] == [(one, Side.PDP)]


def test_a_denial_by_a_filter_is_a_denial(both: Witnessed, pair: Pair) -> None:
    one = pair.new()
    filtered(pair, one, 0, reasons=["prod"])
    pair.refused(one, "denied", reasons=["prod"], revision=REVISION, **TOLD)
    assert both.alarms() == []


def test_a_denial_that_a_filter_did_not_say_is_said(both: Witnessed, pair: Pair) -> None:
    one = pair.new()
    filtered(pair, one, 1, reasons=["prod"])
    pair.refused(one, "denied", reasons=["prod"], revision=REVISION, **TOLD)
    assert [(decision, side) for decision, side, _ in both.alarms()] == [(one, Side.PDP)]


@pytest.mark.parametrize("reason", ["header_mismatch", "foreign_handle", "invalid_arguments", "quarantined"])
def test_what_is_wrong_with_a_call_is_told_after_its_visibility_was_asked(
    both: Witnessed, pair: Pair, reason: str
) -> None:
    asked, unasked = pair.new(), pair.new()
    pair.visible(asked)
    pair.refused(asked, reason)
    pair.refused(unasked, reason)
    assert [(decision, side) for decision, side, _ in both.alarms()] == [(unasked, Side.PDP)]


@pytest.mark.parametrize("reason", ["header_mismatch", "foreign_handle", "invalid_params"])
def test_what_is_refused_before_any_question_needs_none(both: Witnessed, pair: Pair, reason: str) -> None:
    pair.refused(pair.new(), reason, tool="", method="tools/list")
    pair.refused(pair.new(), reason, tool="", method="prompts/get")
    assert both.alarms() == []


@pytest.mark.parametrize("method", ["prompts/list", "resources/list", "subscriptions/listen", "logging/setLevel"])
def test_a_method_of_the_server_is_judged_and_what_it_shows_is_filtered(
    both: Witnessed, pair: Pair, method: str
) -> None:
    about = {"actions": [method], "resources": ["Server::sallyport"]}
    one, unjudged = pair.new(), pair.new()
    pair.decided(one, effect="permit", reasons=["owner"], **about)
    filtered(pair, one, 1)
    filtered(pair, one, 0)
    pair.intent(one, method=method, tool="", resources=[])
    filtered(pair, unjudged, 1)
    pair.intent(unjudged, method=method, tool="", resources=[])
    assert [(decision, side) for decision, side, _ in both.alarms()] == [(unjudged, Side.PDP)]


@pytest.mark.parametrize("method", SHOWN)
@pytest.mark.parametrize(("count", "alarmed"), [(2, False), (3, False), (4, True)])
def test_a_list_that_shows_more_than_its_filters_is_said(
    both: Witnessed, pair: Pair, method: str, count: int, *, alarmed: bool
) -> None:
    one = pair.new()
    judged(pair, one, method)
    several(pair, one, 1, 255)
    several(pair, one, 2, 3)
    listed(pair, one, method, count)
    assert [(decision, side) for decision, side, _ in both.alarms()] == ([(one, Side.PDP)] if alarmed else [])


@pytest.mark.parametrize("method", SHOWN)
def test_a_list_that_shows_something_and_asked_no_filter_is_said(both: Witnessed, pair: Pair, method: str) -> None:
    nothing, something = pair.new(), pair.new()
    for count, one in enumerate((nothing, something)):
        judged(pair, one, method)
        listed(pair, one, method, count)
    assert [(decision, side) for decision, side, _ in both.alarms()] == [(something, Side.PDP)]


def test_what_a_stream_is_asked_later_counts_for_nothing_that_it_showed(both: Witnessed, pair: Pair) -> None:
    one, method = pair.new(), "subscriptions/listen"
    judged(pair, one, method)
    several(pair, one, 0, 2)
    listed(pair, one, method, 2)
    filtered(pair, one, 1, actions=[method])
    several(pair, one, 2)
    assert [(decision, side) for decision, side, _ in both.alarms()] == [(one, Side.PDP)]


def test_filters_of_another_catalog_count_for_nothing_that_a_list_showed(both: Witnessed, pair: Pair) -> None:
    one, method = pair.new(), "prompts/list"
    judged(pair, one, method)
    several(pair, one, 2)
    filtered(pair, one, 0, **ANOTHER)
    judged(pair, one, method)
    several(pair, one, 1, 1)
    listed(pair, one, method, 2)
    assert [(decision, side) for decision, side, _ in both.alarms()] == [(one, Side.PDP)]


def test_a_list_of_no_tools_has_nothing_to_ask_of(both: Witnessed, pair: Pair) -> None:
    none, some = pair.new(), pair.new()
    for count, one in enumerate((none, some)):
        judged(pair, one, "tools/list")
        listed(pair, one, "tools/list", count)
    assert [(decision, side) for decision, side, _ in both.alarms()] == [(some, Side.PDP)]


def test_a_stream_that_another_catalog_ends_was_permitted_all_the_same(both: Witnessed, pair: Pair) -> None:
    """A running answer is asked about anew by a filter; by then the PDP may hold another catalog."""
    call, direct, stream = pair.permitted(), pair.new(), pair.new()
    pair.decided(direct, effect="permit", reasons=["owner"], **PROMPT)
    pair.intent(direct, **TOLD)
    judged(pair, stream, "subscriptions/listen")
    several(pair, stream, 2)
    listed(pair, stream, "subscriptions/listen", 2)
    for one in (call, direct, stream):
        filtered(pair, one, 0, **ANOTHER)
    assert both.alarms() == []


def test_what_was_denied_is_not_permitted_by_another_catalog_later(both: Witnessed, pair: Pair) -> None:
    one = pair.new()
    pair.decided(one, effect="deny", reasons=["owner"], **PROMPT)
    filtered(pair, one, 0, **ANOTHER)
    pair.intent(one, **TOLD)
    assert [(decision, side) for decision, side, _ in both.alarms()] == [(one, Side.PDP)]
