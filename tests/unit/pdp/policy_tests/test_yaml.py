"""The YAML form: what passes, what fails, and what can't be used at all."""

from __future__ import annotations

from typing import Any

import pytest

from sallyport.pdp.policy_tests.form import INSTANT
from tests.unit.pdp.policy_tests.support import PEOPLE, one, problems, report, told, with_people


def test_a_case_that_says_what_is_true_passes() -> None:
    text = one(reasons=["own_file"], input={"path": "alice/notes.txt"}, session={"risk": 20, "mfa_age": 60})
    assert problems(text) == ()
    assert [result.passed for result in report(text).results] == [True]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"expect": "deny"}, "expected deny, was permit by own_file"),
        ({"resource": "File::alice/../carol/x"}, "expected permit, was deny, no policy decided, with UNKNOWN_RESOURCE"),
        ({"reasons": ["isolation"]}, "expected reasons isolation, was own_file"),
        ({"principal": {"like": "alice", "agent": "stranger"}}, "was deny, no policy decided, with UNKNOWN_AGENT"),
        ({"errors": ["UNKNOWN_AGENT"]}, "expected errors UNKNOWN_AGENT, was none"),
        ({"obligations": ["mask:email"]}, "expected obligations mask:email, was none"),
        ({"advice": ["Ask nicely."]}, "expected advice Ask nicely., was none"),
        ({"scopes": ["mcp:write"]}, "expected scopes mcp:write, was none"),
    ],
)
def test_a_case_that_says_what_is_false_fails_with_its_line(changes: dict[str, Any], said: str) -> None:
    (problem,) = problems(one(**changes))
    assert (problem.file, problem.line) == ("a.test.yaml", PEOPLE.count("\n") + 2)
    assert problem.message.startswith("case one: ")
    assert said in problem.message


def test_a_denial_by_an_error_that_nobody_expects_is_no_pass() -> None:
    stranger = {"like": "alice", "agent": "stranger"}
    assert "expected errors none, was UNKNOWN_AGENT" in told(one(principal=stranger, expect="deny"))
    assert problems(one(principal=stranger, expect="deny", errors=["UNKNOWN_AGENT"])) == ()
    assert "was UNKNOWN_AGENT" in told(one(principal=stranger, expect="deny", errors=["UNKNOWN_ORG"]))


def test_a_policy_that_fails_is_an_error_and_no_denial_by_policy() -> None:
    risky = {"action": "query", "resource": "Table::orders", "session": {"risk": 100}, "expect": "deny"}
    assert "was POLICY_ERROR" in told(one(**risky))
    assert problems(one(**risky, errors=["POLICY_ERROR"], reasons=["masked"])) == ()


def test_obligations_and_advice_are_exact() -> None:
    fine = {"action": "query", "resource": "Table::orders", "session": {"risk": 10}}
    assert problems(one(**fine, obligations=["mask:email"])) == ()
    assert "expected obligations none, was mask:email" in told(one(**fine, obligations=[]))
    late = {**fine, "at": "2026-03-04T22:00:00Z", "expect": "deny", "reasons": ["late"]}
    assert problems(one(**late, advice=["Come back in the morning."])) == ()


def test_a_case_without_a_time_happens_at_the_documented_instant() -> None:
    assert INSTANT.isoformat() == "2026-03-04T12:00:00+00:00"
    (failed,) = report(one(expect="deny")).failed
    assert dict(failed.asked)["when"] == INSTANT.isoformat()


def test_what_was_asked_is_told_of_a_failure() -> None:
    (failed,) = report(one(expect="deny", session={"risk": 7, "ip": "10.0.0.1"})).failed
    asked = dict(failed.asked)
    assert asked["who"] == "alice via coding-bot, org acme, roles developer"
    assert asked["what"] == 'read_file on File::"alice/notes.txt"'
    assert asked["when"].endswith("ip 10.0.0.1, risk 7")
    assert [(d.what, d.expected, d.actual) for d in failed.differences] == [("decision", "deny", "permit")]


def test_what_the_catalog_says_need_not_be_said_again() -> None:
    assert problems(one(resource="File::alice/x.txt")) == ()  # input.path is the resource's id
    assert problems(one(resource=None, input={"path": "alice/x.txt"})) == ()  # and the other way round
    assert problems(one(action="status", resource=None)) == ()  # judged on the tool itself
    assert problems(one(action="tools/list", resource=None)) == ()  # judged on the server
    assert "says not what is touched" in told(one(resource=None))


def test_a_method_is_asked_on_the_server_unless_it_touches_something_else() -> None:
    who = {"like": "alice", "roles": ["guest"]}
    gate = "role:gate:tasks/get"
    assert problems(one(principal=who, action="tools/list", resource=None)) == ()
    assert problems(one(principal=who, action="tasks/get", resource="Tool::status", expect="deny", reasons=gate)) == ()
    assert problems(one(action="tasks/get", resource='Tool::"status"')) == ()
    assert "says not what is touched" in told(one(action="tasks/get", resource=None))
    unknown = {"resource": "Prompt::greet", "expect": "deny", "errors": ["UNKNOWN_RESOURCE"]}
    assert problems(one(action="prompts/get", input={"name": "x"}, **unknown)) == ()


def test_attributes_are_taken_as_a_resolver_would_give_them() -> None:
    assert problems(one(resource={"resource": "File::new/x", "attributes": {"org": "acme", "owner": "alice"}})) == ()
    lie = {"resource": "File::alice/x", "attributes": {"owner": "carol"}}
    assert problems(one(resource=lie, expect="deny", errors=["RESOURCE_CONFLICT"])) == ()


def test_defaults_hold_for_every_case_and_a_case_stands_before_them() -> None:
    text = f"""{PEOPLE}
defaults: {{principal: alice, action: query, resource: "Table::orders", session: {{risk: 10}}}}
tests:
  - {{name: as it stands, expect: permit}}
  - {{name: unknown again, session: {{risk: ~}}, expect: deny}}
  - {{name: another resource, resource: notes, action: read_file, expect: permit}}
"""
    assert problems(text) == ()


def test_a_table_is_a_case_for_each_row_with_its_own_line() -> None:
    text = with_people("""
  - name: files
    columns: [principal, principal.agent, resource, input.path, session.risk, expect]
    action: read_file
    rows:
      - [alice, ~, notes, alice/notes.txt, 5, permit]
      - [alice, chat-bot, notes, ~, ~, deny]
      - [carol, ~, "File::carol/x", carol/x, ~, permit]
      - [carol, ~, notes, ~, ~, permit]
""")
    ran = report(text)
    assert [(result.name, result.passed) for result in ran.results] == [
        ("files (row 1)", True),
        ("files (row 2)", True),
        ("files (row 3)", True),
        ("files (row 4)", False),
    ]
    assert [result.line for result in ran.results] == [13, 14, 15, 16]


def test_a_row_may_have_a_name() -> None:
    text = with_people(
        '  - {name: t, columns: [name, expect], principal: alice, action: status, rows: [["first", permit]]}\n'
    )
    assert [result.name for result in report(text).results] == ["t / first"]


_MISTAKES = [
    ({"principal": "alise"}, "no principal 'alise'; did you mean 'alice'?"),
    ({"resource": "note"}, "no resource 'note'; did you mean 'notes'?"),
    ({"action": "read_fil"}, "no action 'read_fil'; did you mean 'read_file'?"),
    ({"action": "group:call_tool"}, "no action 'group:call_tool'"),
    ({"reasons": ["own_fil"]}, "no policy 'own_fil'; did you mean 'own_file'?"),
    ({"errors": ["UNKNOWN_AGNT"], "expect": "deny"}, "did you mean 'UNKNOWN_AGENT'?"),
    ({"expct": "permit"}, "unknown key 'expct'; did you mean 'expect'?"),
    ({"session": {"rsik": 3}}, "unknown key 'rsik'; did you mean 'risk'?"),
    ({"principal": {"usr": "alice"}}, "unknown key 'usr'; did you mean 'user'?"),
    ({"session": {"risk": "20"}}, "session.risk"),
    ({"expect": "allow"}, "expect: Input should be 'permit' or 'deny'"),
    ({"expect": None}, "says not what to expect"),
    ({"principal": None}, "says not who asks"),
    ({"action": None}, "says not what is asked"),
    ({"principal": {"user": "alice", "agent": "coding-bot"}}, "the principal has no `org`"),
    ({"at": "2026-03-04"}, "no instant with a time zone"),
    ({"at": "2026-03-04T12:00:00"}, "no instant with a time zone"),
    ({"at": "2026-02-30T12:00:00Z"}, "there is no such day or time"),
    ({"name": "two\nlines"}, "one line of printable text"),
    ({"columns": ["expect"]}, "a table needs `rows`"),
    ({"rows": [["permit"]]}, "a table needs `columns`"),
    ({"rows": [], "columns": ["at"]}, "rows"),
]


@pytest.mark.parametrize(("changes", "said"), _MISTAKES, ids=[said for _, said in _MISTAKES])
def test_every_mistake_is_told_with_its_line_and_the_nearest_name(changes: dict[str, Any], said: str) -> None:
    ran = report(one(**changes))
    assert ran.results == ()
    assert ran.problems
    assert said in str(ran.problems[0])
    assert ran.problems[0].line == PEOPLE.count("\n") + 2
    assert ran.problems[0].column > 1


@pytest.mark.parametrize(
    ("columns", "cells", "said"),
    [
        ("[expect, resorce]", "[permit, notes]", "no column 'resorce'; did you mean 'resource'?"),
        ("[expect, session.rsik]", "[permit, 3]", "no column 'session.rsik'; did you mean 'session.risk'?"),
        ("[expect, action]", "[permit, read_file]", "'action' is said beside the table too"),
        ("[expect, expect]", "[permit, permit]", "stands there twice"),
        ("[expect, expect.x]", "[permit, 3]", "'expect' has no parts"),
        ("[expect, session.risk.x]", "[permit, 3]", "'session.risk' has no parts"),
        ("[expect, resource]", "[permit]", "row 1 has 1 cells for 2 columns"),
        ("[expect, session.risk]", "[permit, high]", "session.risk: Input should be a valid integer"),
        ("[expect, reasons]", "[permit, nonsense]", "no policy 'nonsense'"),
        ("[expect, principal.roles]", "[permit, 3]", "principal.roles"),
    ],
)
def test_a_mistake_in_a_table_is_told_where_it_stands(columns: str, cells: str, said: str) -> None:
    entry = f"  - {{name: t, principal: alice, action: read_file,\n     columns: {columns},\n     rows: [{cells}]}}\n"
    ran = report(with_people(entry))
    assert ran.results == ()
    assert any(said in str(problem) for problem in ran.problems)
    assert ran.problems[0].line in {9, 10}


def test_a_bad_cell_is_told_by_its_column() -> None:
    entry = "  - {name: t, principal: alice, action: read_file,\n     columns: [expect, session.risk],\n     rows: [[permit, high]]}\n"
    (problem,) = report(with_people(entry)).problems
    assert (problem.line, problem.column) == (10, 22)


def test_a_case_that_is_in_order_runs_beside_one_that_is_not() -> None:
    ran = report(one() + "  - {name: bad}\n")
    assert [result.name for result in ran.results] == ["one"]
    assert {problem.subject for problem in ran.problems} == {"bad"}


def test_an_unknown_action_may_be_what_is_tested() -> None:
    text = one(action="nonsense", resource="File::x", expect="deny", errors=["UNKNOWN_ACTION"])
    assert problems(text) == ()


def test_a_file_without_a_test_is_refused() -> None:
    for text in ("", "tests: []\n", PEOPLE, "[]", "tests: 3\n"):
        assert report(text).problems
