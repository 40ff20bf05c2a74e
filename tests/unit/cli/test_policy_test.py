"""`sallyport policy test`: exit codes, what it prints, and the JUnit file."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import cedarpy
import pytest

from sallyport.cli import shipped
from sallyport.cli.commands import policy_test_junit
from sallyport.pdp.policy_tests import Difference, FileReport, Result
from sallyport.runtime.problems import Problem
from tests.support import policy_dir
from tests.support.laptop import here
from tests.unit.pdp.policy_tests.support import cedar, one, policies, with_people


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return policy_dir.write(tmp_path / "set", policy_dir.files(policies=policies()))


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return here("policy", "test", *words)


def write(place: Path, text: str, name: str = "a.test.yaml") -> Path:
    (place / name).write_text(text)
    return place / name


def test_what_passes_is_a_line_a_file_and_a_table(place: Path) -> None:
    write(place, one())
    write(place, json.dumps([cedar()]), "b.test.json")
    ran = run(place)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert f"ok    {place}/a.test.yaml: 1 case" in ran.stdout
    assert f"ok    {place}/b.test.json: 1 case" in ran.stdout
    assert "own_file   permit  2      " in ran.stdout
    assert f"isolation  forbid  never  {place}/isolation.cedar:1" in ran.stdout
    assert "1 of 4 policies decided a case: 25 %" in ran.stdout
    assert "2 cases in 2 files: 2 passed, 0 failed" in ran.stdout


def test_what_fails_is_shown_as_a_diff_with_who_what_and_when(place: Path) -> None:
    write(place, one(expect="deny", reasons=["isolation"]))
    ran = run(place)
    assert ran.returncode == 1
    assert "FAIL" in ran.stdout
    assert f"{place}/a.test.yaml:8:5: one" in ran.stdout
    for line in (
        "who   alice via coding-bot, org acme, roles developer",
        'what  read_file on File::"alice/notes.txt"',
        "when  2026-03-04T12:00:00+00:00",
        "- decision    deny",
        "+ decision    permit",
        "- reasons     isolation",
        "+ reasons     own_file",
    ):
        assert line in ran.stdout
    assert "0 passed, 1 failed" in ran.stdout
    assert "next:" in ran.stderr


def test_the_command_that_says_why_can_be_typed_as_it_stands(place: Path) -> None:
    rows = "    rows: [[alice, permit], [carol, permit]]\n"
    entry = '  - name: it\'s a "table"\n    action: read_file\n    resource: notes\n    columns: [principal, expect]\n'
    write(place, with_people(entry + rows))
    (why,) = (line for line in run(place).stdout.splitlines() if line.startswith("    why: "))
    words = shlex.split(why.removeprefix("    why: "))
    assert words[1:3] == ["policy", "explain"]
    explained = here(*words[1:])
    assert (explained.returncode, explained.stderr) == (0, "")
    assert "carol" in explained.stdout


@pytest.mark.parametrize("text", ["tests: [}", "tests: []", "test: []", one(action="nonsense"), one(reasons=["x"])])
def test_a_test_file_that_cannot_be_used_is_no_pass(place: Path, text: str) -> None:
    write(place, text)
    write(place, one(), "fine.test.yaml")
    ran = run(place)
    assert ran.returncode == 2
    assert f"{place}/a.test.yaml:" in ran.stdout
    assert "next:" in ran.stderr


def test_a_set_that_cannot_be_used_is_told_whole(place: Path) -> None:
    write(place, one())
    (place / "bad.cedar").write_text("permit (")
    (place / "worse.cedar").write_text('@id("x") permit (principal, action == Action::"gone", resource);')
    ran = run(place)
    assert ran.returncode == 2
    assert f"{place}/bad.cedar:1" in ran.stdout
    assert f"{place}/worse.cedar:1" in ran.stdout


def test_without_tests_nothing_passes(place: Path) -> None:
    ran = run(place)
    assert ran.returncode == 2
    assert "holds no tests" in ran.stdout


def test_what_is_not_there_is_told(tmp_path: Path, place: Path) -> None:
    for words in ([tmp_path / "missing"], [place / "isolation.cedar"], [place / "gone.test.yaml"]):
        assert run(*words).returncode == 2


def test_single_files_are_run_alone(place: Path) -> None:
    good, bad = write(place, one()), write(place, one(expect="deny"), "bad.test.yaml")
    assert run(good).returncode == 0
    assert run(bad).returncode == 1
    assert run(good, bad).returncode == 1
    assert run(good, place).returncode == 1
    assert "1 case in 1 file" in run(good).stdout


def test_several_directories_are_run_together(place: Path, tmp_path: Path) -> None:
    other = policy_dir.write(tmp_path / "other", policy_dir.files())
    write(place, one())
    write(other, one(expect="deny"))
    ran = run(place, other)
    assert ran.returncode == 1
    assert "2 cases in 2 files" in ran.stdout
    assert run(other, place).returncode == 1


def test_cases_can_be_chosen_by_name(place: Path) -> None:
    write(place, one() + one(name="two", expect="deny").split("tests:\n")[1])
    assert run(place).returncode == 1
    chosen = run(place, "--filter", "one")
    assert chosen.returncode == 0
    assert "1 case in 1 file" in chosen.stdout
    assert "POLICY" not in chosen.stdout
    nothing = run(place, "--filter", "nonsense")
    assert nothing.returncode == 2
    assert "no case's name holds 'nonsense'" in nothing.stderr


def test_too_few_tested_policies_fail_if_so_asked(place: Path) -> None:
    write(place, one())
    assert run(place, "--fail-under", "25").returncode == 0
    ran = run(place, "--fail-under", "25.1")
    assert ran.returncode == 1
    assert "only 25 % of the policies decided a case" in ran.stderr
    assert run(place, "--fail-under", "25.1", "--no-coverage").returncode == 1
    assert "POLICY" not in run(place, "--no-coverage").stdout
    assert run(place, "--fail-under", "10", "--filter", "one").returncode == 2


def test_the_junit_file_tells_each_case_by_file_and_line(place: Path, tmp_path: Path) -> None:
    nasty = 'a \x1b[2J name with <angles> & "quotes" \x00 \ud7ff \u202e'
    write(place, one() + one(name="two", expect="deny").split("tests:\n")[1])
    write(place, json.dumps([cedar(name=nasty, decision="deny", reason=[])]), "b.test.json")
    write(place, "tests: []", "c.test.yaml")
    junit = tmp_path / "junit.xml"
    assert run(place, "--junit", junit).returncode == 2
    root = ET.fromstring(junit.read_bytes())
    assert (root.tag, root.get("tests"), root.get("failures"), root.get("errors")) == ("testsuites", "4", "2", "1")
    suites = {str(suite.get("name")).rsplit("/", 1)[1]: suite for suite in root.findall("testsuite")}
    assert {name: (s.get("tests"), s.get("failures"), s.get("errors")) for name, s in suites.items()} == {
        "a.test.yaml": ("2", "1", "0"),
        "b.test.json": ("1", "1", "0"),
        "c.test.yaml": ("1", "0", "1"),
    }
    passed, failed = suites["a.test.yaml"].findall("testcase")
    assert (passed.get("name"), passed.get("line"), list(passed)) == ("one", "8", [])
    assert failed.get("file") == f"{place}/a.test.yaml"
    failure = failed.find("failure")
    assert failure is not None
    assert failure.get("message") == "expected deny, was permit by own_file"
    assert "- decision: deny\n+ decision: permit" in (failure.text or "")
    (escaped,) = suites["b.test.json"].findall("testcase")
    assert '\\u{1b}[2J name with <angles> & "quotes" \\u{0}' in str(escaped.get("name"))
    assert suites["c.test.yaml"].find("testcase/error") is not None


@pytest.mark.parametrize("option", ["--junit", "--cedar-cli"])
def test_a_place_that_cannot_be_written_is_no_failed_test(place: Path, tmp_path: Path, option: str) -> None:
    """1 means that some test failed, and here none did."""
    write(place, one())
    (tmp_path / "file").touch()
    ran = run(place, option, tmp_path / "file" / "out")
    assert (ran.returncode, "Traceback" in ran.stderr) == (2, False)
    assert f"can't write {option} {tmp_path / 'file' / 'out'}" in ran.stderr
    assert "next:" in ran.stderr


def test_no_text_at_all_breaks_the_junit_file() -> None:
    nasty = "\x00\x1b\ufffe\ud800 <&>]]>"
    failed = Result(nasty, 1, 1, (Difference("decision", nasty, nasty),), nasty, (("who", nasty),))
    report = FileReport(nasty, (failed,), (Problem(nasty, 0, 0, nasty),), 0.1)
    (suite,) = ET.fromstring(policy_test_junit.encode([report]))
    assert [child.tag for case in suite for child in case] == ["failure", "error"]


def test_a_set_that_cannot_be_used_is_an_error_in_the_junit_file_too(place: Path, tmp_path: Path) -> None:
    (place / "bad.cedar").write_text("permit (")
    junit = tmp_path / "junit.xml"
    run(place, "--junit", junit)
    root = ET.fromstring(junit.read_bytes())
    assert int(str(root.get("errors"))) > 0
    assert root.find("testsuite/testcase/error") is not None


def test_nothing_in_a_test_file_reaches_the_terminal_raw(place: Path) -> None:
    write(place, json.dumps([cedar(name="\x1b]0;owned\x07", decision="deny", reason=[])]), "b.test.json")
    ran = run(place)
    assert "\x1b" not in ran.stdout + ran.stderr
    assert "\\u{1b}]0;owned" in ran.stdout


def test_what_is_written_for_the_cedar_cli_is_what_cedar_reads(tmp_path: Path) -> None:
    """The shipped example in the other form: the very files that `cedar run-tests` is given."""
    source = shipped.find()
    assert run(source, "--cedar-cli", tmp_path).returncode == 0
    text, schema = ((tmp_path / name).read_text() for name in ("policies.cedar", "schema.cedarschema"))
    assert cedarpy.validate_policies(text, schema).validation_passed
    cases = json.loads((source / "cedar_cli.test.json").read_text())
    for case in cases:
        result = cedarpy.is_authorized(case["request"], text, (source / case["entities"]).read_text(), schema)
        assert result.decision.value.lower() == case["decision"]
        assert set(case["reason"]) <= set(result.diagnostics.id_annotations_by_reason.values())
        assert len(result.diagnostics.errors) == case["num_errors"]


def test_the_shipped_policies_are_tested_to_the_last() -> None:
    ran = run(shipped.find(), "--fail-under", "100")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "never" not in ran.stdout
