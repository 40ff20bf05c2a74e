"""The Cedar CLI's own test files, unchanged, under the PDP's rule: an error denies, and so does what isn't there."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from sallyport.pdp.policy_tests import FileReport
from sallyport.pdp.policy_tests.run import is_test_file
from sallyport.runtime import mounted_dir
from sallyport.runtime.problems import ConfigError
from tests.support import policy_dir
from tests.unit.pdp.policy_tests.support import cedar, entities, reload, report, uid

FAILS_AT_A_ZERO_HOUR = """@id("fails")
permit (principal, action == Action::"query", resource)
when { context.session.hour_utc * 9223372036854775807 > 1 };
@id("query")
permit (principal, action == Action::"query", resource) when { resource.org == principal.org };
"""


def run(*cases: dict[str, Any], **beside: str) -> FileReport:
    return report(json.dumps(list(cases)), "a.test.json", **beside)


def said(*cases: dict[str, Any], **beside: str) -> str:
    ran = run(*cases, **beside)
    return "\n".join([*map(str, ran.problems), *(failed.said for failed in ran.failed)])


def without(kind: str, items: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [item for item in items if item["uid"]["type"] != kind]


def test_a_case_that_says_what_is_true_passes() -> None:
    ran = run(cedar(), cedar(entities=entities(trust=2), decision="deny", reason=[]))
    assert [(result.passed, result.said) for result in ran.results] == [(True, ""), (True, "")]
    assert ran.problems == ()


def test_keys_that_the_cedar_cli_passes_over_are_passed_over() -> None:
    assert run(cedar(has_error=False, description="from an older version")).failed == ()


def test_entities_may_stand_in_a_file_beside() -> None:
    for name in ("people.json", "./people.json"):
        ran = run(cedar(entities=name), cedar(entities=name), **{"people.json": json.dumps(entities())})
        assert (len(ran.results), ran.failed, ran.problems) == (2, (), ())


def test_a_reason_is_a_lower_bound_and_named_by_its_id() -> None:
    assert run(cedar(reason=[])).failed == ()
    denied = cedar(decision="deny", entities=entities(org="globex"), reason=["isolation"])
    assert run(denied).failed == ()
    assert "no policy 'policy0'" in said(cedar(reason=["policy0"]))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"decision": "deny", "reason": []}, "expected deny, was permit by own_file"),
        ({"entities": entities(roles=())}, "expected permit, was deny by role:gate:read_file"),
        ({"reason": ["isolation"]}, "expected reasons isolation, was own_file"),
        ({"num_errors": 1}, "expected errors 1, was 0"),
    ],
)
def test_a_case_that_says_what_is_false_fails(changes: dict[str, Any], told: str) -> None:
    assert told in said(cedar(**changes))


@pytest.mark.parametrize("kind", ["Compound", "File", "User", "Agent", "Role", "Org"])
def test_what_is_absent_denies(kind: str) -> None:
    gone = without(kind, entities())
    for num_errors in range(3):  # Cedar itself fails where a policy reads what is absent
        assert run(cedar(entities=gone, num_errors=num_errors)).failed
    denied = [run(cedar(entities=gone, decision="deny", reason=[], num_errors=expected)) for expected in range(3)]
    assert sum(not each.failed for each in denied) == 1


def test_what_is_absent_is_named() -> None:
    marked = json.loads(json.dumps(entities()).replace('{"type": "Org", "id": "acme"}, "owner"', _ESCAPED))
    for given in (entities(), marked):
        items = [item for item in given if item["uid"] != uid("Org", "globex")]
        assert run(cedar(entities=items)).failed == ()
        items = [item for item in given if item["uid"] != uid("Org", "acme")]
        assert 'absent: Org::"acme"' in said(cedar(entities=items))


_ESCAPED = '{"__entity": {"type": "Org", "id": "acme"}}, "owner"'


def test_a_policy_that_fails_denies_unless_the_test_expects_it() -> None:
    given = policy_dir.files(policies={**policy_dir.POLICIES, "fails.cedar": FAILS_AT_A_ZERO_HOUR})
    table = {"uid": uid("Table", "orders"), "attrs": {"org": uid("Org", "acme"), "environment": "x"}, "parents": []}
    asked = {"action": 'Action::"query"', "resource": 'Table::"orders"'}
    case = cedar(request=asked, entities=[*entities(), table], reason=[])

    def outcome(**changes: Any) -> str:
        tests = json.dumps([{**case, **changes}]).encode()
        return "\n".join(map(str, reload({**given, "a.test.json": tests})))

    assert "expected permit, was deny" in outcome()
    assert "expected errors 0" in outcome(decision="deny")  # right, but not by what the policies say
    assert outcome(num_errors=1) == ""  # Cedar's own decision, as the Cedar CLI has it
    assert "expected permit, was deny" in outcome(num_errors=2)


@pytest.mark.parametrize(
    "changes",
    [
        {"entities": [{"uid": uid("Stranger", "x"), "attrs": {}, "parents": []}]},
        {"entities": [{"uid": "x"}]},
        {"entities": [3]},
        {"entities": [*entities(), *entities(trust=3)]},
        {"request": {"context": {}}},
        {"request": {"principal": 'User::"alice"'}},
        {"request": {"resource": 'Table::"x"'}},
        {"entities": [*entities(), {"uid": uid("File", "x"), "attrs": {"owner": 1.5}, "parents": []}]},
    ],
)
def test_what_cedar_takes_no_request_from_meets_no_expectation(changes: dict[str, Any]) -> None:
    for decision in ("allow", "deny"):
        (failed,) = run(cedar(**changes, decision=decision, reason=[])).failed
        assert "none: " in failed.differences[0].actual


@pytest.mark.parametrize(
    ("case", "told"),
    [
        ({}, "request: Field required"),
        (3, "case (test 1): the test: "),
        (cedar(decision="permit"), "decision: Input should be 'allow' or 'deny'"),
        (cedar(num_errors=-1), "num_errors"),
        (cedar(num_errors=True), "num_errors"),
        (cedar(request={"principal": "alice"}), "'alice' names no entity"),
        (cedar(request={"principal": 'User::"a" // x'}), ""),
        (cedar(request={"principal": 'User::"a", action, resource); permit(principal'}), "names no entity"),
        (cedar(request={"action": 'Action::"read_fil"'}), "no action 'read_fil'; did you mean 'read_file'?"),
        (cedar(request={"action": 'Action::"group:call_tool"'}), "no action 'group:call_tool'"),
        (cedar(reason=["own_fil"]), "no policy 'own_fil'; did you mean 'own_file'?"),
        (cedar(entities={"a": 1}), "entities"),
    ],
)
def test_what_is_no_test_is_told(case: Any, told: str) -> None:
    ran = report(json.dumps([case]), "a.test.json")
    assert told in "\n".join([*map(str, ran.problems), *(failed.said for failed in ran.failed)])
    assert ran.problems or ran.failed


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", "[{]", '[{"a": 1, "a": 2}]', "[" * 100_000, '["\\ud800"]'])
def test_a_file_that_is_no_array_of_tests_is_refused(text: str) -> None:
    ran = report(text, "a.test.json")
    assert ran.results == ()
    assert ran.problems


def test_json_that_parsers_disagree_about_is_refused() -> None:
    text = json.dumps([cedar()])
    for twisted in (
        text.replace('"decision": "allow"', '"decision": "deny", "decision": "allow"'),
        text.replace('"hour_utc": 12', '"hour_utc": 12, "hour_utc": 13'),
        text.replace("alice reads", "\\ud800"),
        text.replace('"num_errors": 0', '"num_errors": NaN'),
        text.replace('"num_errors": 0', '"num_errors": 00000000000000000'),
        "\ufeff" + text,
    ):
        ran = report(twisted, "a.test.json")
        assert ran.results == ()
        assert "not JSON" in str(ran.problems[0])


def test_whole_numbers_have_64_bits_as_in_cedar() -> None:
    longest = entities(trust=2**63 - 1)
    assert run(cedar(entities=longest)).failed == ()
    assert run(cedar(entities=entities(trust=2**63))).failed
    assert run(cedar(entities=entities(trust=-(2**63)), decision="deny", reason=[])).failed == ()


def test_each_case_has_its_own_line_however_the_file_is_laid_out() -> None:
    dumped = json.dumps(cedar(decision="deny", name='a "name" with [brackets]\n{ and } in it'))
    text = f"\n[\n{dumped},\n\n   {dumped}, {dumped}]\n"
    failed = report(text, "a.test.json").failed
    assert [(each.line, each.column) for each in failed] == [(3, 1), (5, 4), (5, 6 + len(dumped))]
    assert "\n" not in failed[0].name


@pytest.mark.parametrize("path", ["../../etc/passwd", "/etc/passwd", "sub/people.json", "..", "", ".", "people.jso"])
def test_entities_come_from_this_directory_alone(path: str) -> None:
    assert "a path may not leave its directory" in said(cedar(entities=path), **{"people.json": json.dumps(entities())})


def test_a_link_to_entities_elsewhere_is_refused(tmp_path: Path) -> None:
    """A directory that holds a link isn't read at all."""

    (tmp_path / "secret.json").write_text(json.dumps(entities()))
    directory = policy_dir.write(tmp_path / "set", policy_dir.files())
    (directory / "people.json").symlink_to(tmp_path / "secret.json")
    with pytest.raises(ConfigError, match="symbolic link"):
        mounted_dir.read(directory)


def test_other_json_may_stand_beside() -> None:
    for text, is_one in (
        (json.dumps(entities()), False),
        ("{}", False),
        ("[]", False),
        (json.dumps([cedar()]), True),
        (json.dumps([{**cedar(), "uid": 1}]), True),
        (json.dumps([{"requst": 1}]), True),
        ("[{]", True),
    ):
        assert is_test_file("a.json", text.encode()) is is_one
        assert is_test_file("a.test.json", text.encode())
