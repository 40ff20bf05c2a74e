"""What isn't read of the context isn't sent, and whatever is read in any way is."""

from __future__ import annotations

from typing import Any

import pytest

from sallyport.pdp.engine import prepare
from sallyport.pdp.model import Query, Session
from tests.support import policy_dir as sample
from tests.support.policy_dir import alice
from tests.unit.pdp import generated
from tests.unit.pdp.generated import Said, held, policies_of, sliced, unsliced, whole

ARGUMENTS: dict[str, Any] = {"path": "alice/a", "count": 3, "flag": True, "tags": ["x"], "nested": {"a": 1}}
SESSION = Session(ip="10.1.2.3", risk=60, mfa_age=60, call_count=2)
QUERY = Query("read_file", "File", "alice/a", input=ARGUMENTS, session=SESSION)
BARE = Query("read_file", "File", "alice/a", input={})
ALL_OF_SESSION = {"now", "hour_utc", "ip", "risk", "mfa_age", "call_count"}
Sent = tuple[set[str], set[str]]
EVERYTHING: Sent = (ALL_OF_SESSION, set(ARGUMENTS))
NOTHING: Sent = (set(), set())

READS: list[tuple[str, Sent]] = [
    ("true", NOTHING),
    ("resource.owner == principal.user_id", NOTHING),
    ("context has session", NOTHING),
    ("context has input", NOTHING),
    ("context has nothing", NOTHING),
    ("context has session.nothing", NOTHING),
    ("context.session.risk > 3", ({"risk"}, set())),
    ('context["session"]["risk"] > 3', ({"risk"}, set())),
    ("context.session has risk", ({"risk"}, set())),
    ("context has session.risk", ({"risk"}, set())),
    ("context has input.nested.a", (set(), {"nested"})),
    ("context.input has nested.a", (set(), {"nested"})),
    ("context.input.nested has a", (set(), {"nested"})),
    ("context.input.nested.a == 1", (set(), {"nested"})),
    ("context.input.nested == {a: 1}", (set(), {"nested"})),
    ('context.input.path like "alice/*"', (set(), {"path"})),
    ('context.input.tags.contains("x")', (set(), {"tags"})),
    ("context.input.tags.contains(context.input.path)", (set(), {"tags", "path"})),
    ('context.session.ip.isInRange(ip("10.0.0.0/8"))', ({"ip"}, set())),
    ('ip("10.0.0.0/8").isInRange(context.session.ip)', ({"ip"}, set())),
    ('context.session.now.offset(duration("1h")) > context.session.now', ({"now"}, set())),
    ("!context.input.flag || -context.input.count > 0", (set(), {"flag", "count"})),
    ("if context.input.flag then context.session.risk > 3 else context.session.hour_utc > 3", ({"risk", "hour_utc"}, {"flag"})),
    ("[context.session.risk, 3].contains(3)", ({"risk"}, set())),
    ("{a: context.session.risk}.a > 3", ({"risk"}, set())),
    ('resource in [File::"alice/a"] && [[context.input.count]].contains([3])', (set(), {"count"})),
    # What isn't followed further reads all of it.
    ("context == {}", EVERYTHING),
    ("context.session == context.session", EVERYTHING),
    ('context.input == {path: "alice/a"}', EVERYTHING),
    ('[context.input].contains({path: "alice/a"})', EVERYTHING),
    ("[context].contains(context)", EVERYTHING),
    ("{whole: context}.whole.session.risk > 3", EVERYTHING),
    ("{part: context.session}.part has risk", EVERYTHING),
    ("(if context.input.flag then context else context).session.risk > 3", EVERYTHING),
    ("(if context has nothing then context.session else context.session) has risk", EVERYTHING),
]  # fmt: skip


def sent(text: str, query: Query = QUERY) -> Sent:
    prepared = prepare(held(policies_of(text)), alice(), query, sample.NOON)
    context: dict[str, Any] = prepared.request["context"]
    assert context.keys() <= {"session", "input"}
    return set(context["session"]), set(context.get("input", ()))


@pytest.mark.parametrize(("condition", "expected"), READS, ids=[condition for condition, _ in READS])
@pytest.mark.parametrize("clause", ["when", "unless"])
def test_p6_only_what_is_read_is_sent_and_the_answer_stays(condition: str, expected: Sent, clause: str) -> None:
    text = f'@id("p") permit (principal, action, resource) {clause} {{ {condition} }};'
    assert sent(text) == expected
    made = held(policies_of(text))
    for query in (QUERY, BARE):
        said = sliced(made, alice(), query)
        assert said == unsliced(made, whole(made), alice(), query)
        assert said != Said("invalid")


@pytest.mark.parametrize(
    ("scope", "is_sent"),
    [
        ("action", True),
        ('action == Action::"read_file"', True),
        ('action in [Action::"query", Action::"read_file"]', True),
        ('action in Action::"group:read_only"', True),
        ('action in Action::"group:call_tool"', True),
        ('action in Action::"group:mcp"', True),
        ('action == Action::"query"', False),
        ('action in Action::"group:write"', False),
        ('action == Action::"tools/list"', False),
    ],
)
def test_what_the_policies_of_another_action_read_is_not_sent(scope: str, is_sent: bool) -> None:
    text = f'@id("p") forbid (principal, {scope}, resource) when {{ context.session.risk > 3 }};'
    assert sent(text) == ({"risk"} if is_sent else set(), set())


def test_what_two_policies_read_is_added_up_and_obligations_read_nothing() -> None:
    text = """@id("a") @obligation("mask") permit (principal, action, resource) when { context.session.risk > 3 };
    @id("b") forbid (principal, action, resource) unless { context.input.count < 9 } when { context has session.ip };"""
    assert sent(text) == ({"risk", "ip"}, {"count"})


def test_a_method_has_a_session_and_no_input() -> None:
    text = '@id("p") permit (principal, action, resource) when { context has input && context.input.count > 3 };'
    made = held(policies_of(text))
    query = Query("tools/list", "Server", "sallyport", session=SESSION)
    assert prepare(made, alice(), query, sample.NOON).request["context"] == {"session": {}}
    assert sliced(made, alice(), query) == unsliced(made, whole(made), alice(), query) == Said("deny")


def test_every_condition_of_the_generated_sets_is_among_those_that_were_compared() -> None:
    """One policy with each of them, whole against trimmed, on every target."""
    for number, condition in enumerate(generated.CONDITIONS):
        made = held(policies_of(f'@id("p{number}") permit (principal, action, resource) {condition};'))
        everything = whole(made)
        for action, kind, name in generated.TARGETS:
            for arguments in generated.INPUTS[:3]:
                query = Query(action, kind, name, input=arguments, session=SESSION)
                assert sliced(made, alice(), query) == unsliced(made, everything, alice(), query), condition
