"""Test files made to hurt: bounded work, one report, never an exception, and the same answer each time."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sallyport.pdp import policy_tests
from sallyport.pdp.policy_tests import limits
from tests.support import policy_dir
from tests.unit.pdp.policy_tests.support import PEOPLE, beside, cedar, entities, one, problems, report, snapshot, told
from tests.unit.pdp.policy_tests.support import with_people as file_of

SECONDS = 20.0  # far beyond what any of them takes, on a busy machine too
TABLE = "  - name: t\n    principal: alice\n    action: read_file\n    columns: [resource, expect]\n    rows:\n"
ROW = "      - [notes, permit]\n"

BOMBS: dict[str, Callable[[], str]] = {
    "anchors": lambda: "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
    "merge keys": lambda: "tests:\n  - <<: {name: x}\n",
    "a hundred thousand rows": lambda: file_of(TABLE + "      - []\n" * 100_000),
    "rows of a hundred thousand cells": lambda: file_of(TABLE + f"      - [{'x, ' * 99_000}x]\n"),
    "depth": lambda: "tests: " + "[" * 10_000,
    "a name of a megabyte": lambda: one(name="x" * 900_000),
    "an input of a megabyte for every row": lambda: file_of(
        TABLE.replace("    rows", f"    input: {{path: {'x' * 900_000}}}\n    rows") + ROW * 5_000
    ),
    "a principal of fifty thousand roles": lambda: (
        f"principals:\n  alice: {{user: a, agent: coding-bot, org: acme, roles: [{'r, ' * 50_000}r]}}\n"
        f'resources:\n  notes: {{resource: "File::alice/x"}}\ntests:\n{TABLE}{ROW * 5_000}'
    ),
    "five thousand fixtures": lambda: (
        "principals:\n" + "".join(f"  p{n}: {{}}\n" for n in range(5_000)) + "tests: []\n"
    ),
    "a chain of fixtures": lambda: (
        "principals:\n  p0: {user: a}\n"
        + "".join(f"  p{n}: {{like: p{n - 1}}}\n" for n in range(1, 1_000))
        + "tests:\n  - {name: t, principal: p999, action: status, expect: deny}\n"
    ),
    "columns as deep as they can be": lambda: one(
        columns=["input." + "x." * 2_000 + "x", "expect"], expect=None, rows=[[1, "deny"]]
    ),
    "a time before time": lambda: one(at="0001-01-01T00:00:00+23:59"),
    "a time after time": lambda: one(at="9999-12-31T23:59:59-23:59"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_in_bounded_time(name: str) -> None:
    text = BOMBS[name]()
    begun = time.process_time()
    found = problems(text)
    assert time.process_time() - begun < SECONDS
    assert 0 < len(found) <= limits.MAX_PROBLEMS + 1
    assert all(len(str(problem)) < 3_000 for problem in found)
    assert all(str(problem).isprintable() for problem in found)


def test_the_same_files_give_the_same_answer() -> None:
    text = file_of(TABLE + "      - [notes, deny]\n      - [notes, maybe]\n" * 40)
    assert problems(text) == problems(text)


@pytest.mark.parametrize("item", ["{}", '{"uid": {"type": "Org", "id": "o%d"}, "attrs": {}, "parents": [%s]}', "{"])
def test_a_large_file_of_entities_is_read_once_for_all_cases(item: str) -> None:
    stray = '{"type": "Role", "id": "r%d"}'
    items = [item % (n, stray % n) if "%" in item else item for n in range(8_000)]
    text = json.dumps([cedar(entities="big.json", reason=[])] * 1_500)
    begun = time.process_time()
    assert problems(text, "a.test.json", **{"big.json": "[" + ",".join(items) + "]"})
    assert time.process_time() - begun < SECONDS / 2


def test_a_circle_of_likes_is_refused() -> None:
    for text in ("  a: {like: a}\n", "  a: {like: b}\n  b: {like: c}\n  c: {like: a}\n"):
        for kind in ("principals", "resources"):
            said = told(f"{kind}:\n{text}tests:\n  - {{name: t, action: status, expect: deny}}\n")
            assert "`like` goes in a circle" in said


def test_all_files_share_one_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits.Budget.__init__, "__defaults__", (100, limits.MAX_JUDGED, limits.MAX_LOOKS))
    half = {f"{name}.test.yaml": file_of(TABLE + ROW * 60).encode() for name in "ab"}
    found = policy_tests.problems(snapshot(), policy_dir.contents(beside(half)))
    assert [problem.file for problem in found] == ["b.test.yaml"]
    assert "cases in all test files together" in found[0].message


def test_many_cases_over_many_policies_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits.Budget.__init__, "__defaults__", (limits.MAX_CASES, limits.MAX_JUDGED, 2))
    for name, text in (("a.test.yaml", one()), ("a.test.json", json.dumps([cedar()]))):
        assert "too many cases for so many policies" in str(problems(text, name))


def test_an_endless_list_of_mistakes_is_cut() -> None:
    rows = file_of(TABLE + "      - [notes, maybe]\n" * 2_000)
    assert len(problems(rows)) == limits.MAX_PROBLEMS + 1
    assert len(report(rows).problems) == limits.MAX_PROBLEMS + 1


def test_without_any_test_nothing_is_proved() -> None:
    assert "there is no policy test" in str(policy_tests.problems(snapshot(), policy_dir.contents(beside({})))[0])
    only_data = {"people.json": json.dumps(entities())}
    assert policy_tests.problems(snapshot(), policy_dir.contents(beside(only_data)))


@pytest.mark.parametrize("error", [ValueError("x"), MemoryError(), RecursionError(), BaseException("a panic in Rust")])
def test_what_breaks_the_tests_is_a_problem_and_no_exception(
    monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def broken(*_: object) -> None:
        raise error

    monkeypatch.setattr("sallyport.pdp.policy_tests.compare.result", broken)
    (problem,) = policy_tests.problems(snapshot(), policy_dir.contents(beside({"a.test.yaml": one()})))
    assert "the tests can't be run" in problem.message


def test_nothing_in_a_test_file_writes_to_the_terminal() -> None:
    nasty = "\x1b[2J\r\n\u202e\u0085"
    for text in (
        one(principal=nasty),
        one(principal={"like": "alice", "user": nasty}, expect="deny"),
        one(reasons=[nasty]),
    ):
        assert all(str(problem).isprintable() for problem in problems(text))
    case = cedar(name=nasty, decision="deny", entities=[])
    found = problems(json.dumps([case]), "a.test.json") + problems(json.dumps([cedar(entities=nasty)]), "a.test.json")
    assert found
    assert all(str(problem).isprintable() for problem in found)


KEYS = st.sampled_from(["name", "principal", "action", "resource", "expect", "columns", "rows", "like", "tests", "x"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | KEYS | st.just("alice"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(KEYS, VALUES, max_size=6))
def test_whatever_a_case_says_there_is_an_answer(said: dict[str, object]) -> None:
    text = json.dumps({"tests": [{"name": "t", **said}], "principals": {"alice": {"user": "a"}}})
    assert problems(text), "nothing here says enough to pass"


@given(VALUES)
def test_whatever_a_cedar_test_says_there_is_an_answer(said: object) -> None:
    assert problems(json.dumps([said]), "a.test.json")
    for part in ("request", "entities", "decision", "reason", "num_errors"):
        if said != cedar()[part] and not (part == "reason" and said == []):
            assert problems(json.dumps([{**cedar(), part: said}]), "a.test.json")


@given(st.binary(max_size=200))
def test_whatever_bytes_there_are_there_is_an_answer(data: bytes) -> None:
    for name in ("a.test.yaml", "a.test.json"):
        assert problems(data, name)


def test_a_thousand_cases_take_about_a_second() -> None:
    case = "  - {{name: case {0}, principal: alice, action: read_file, resource: 'File::alice/{0}', expect: permit}}\n"
    text = PEOPLE + "tests:\n" + "".join(case.format(number) for number in range(1_000))
    assert problems(text) == ()  # once before the clock runs
    begun = time.process_time()
    assert problems(text) == ()
    assert time.process_time() - begun < 3.0  # generous: measured 0.6 s
