"""`sallyport audit`: exit codes that can't be mistaken, and text that can't act on a terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from sallyport.audit.record import KINDS
from sallyport.cli.commands import audit
from tests.support.laptop import here, init
from tests.unit.audit.made import Home
from tests.unit.audit.witnessed import witnessed


def test_wrong_usage_of_verify_is_never_the_code_for_tampered(tmp_path: Path) -> None:
    for words in (("--no-such-option", tmp_path), (), (tmp_path / "missing",)):
        assert here("audit", "verify", *words).returncode == 1


def test_a_decision_that_nobody_recorded_is_said(tmp_path: Path) -> None:
    (tmp_path / "audit").mkdir()
    run = here("audit", "show", tmp_path, "--decision", "0" * 32)
    assert (run.returncode, run.stdout) == (1, "")
    assert "next:" in run.stderr


def test_details_are_one_line_each_whatever_they_hold() -> None:
    record = {"time": "t", "kind": "refusal", "tool": "a\nb\x1b[2J\x9b\u2028\x7f", "reasons": []}
    assert list(audit._details(record)) == [
        "t refusal",
        "  tool       a\\nb\\u001b[2J\\u009b\\u2028\\u007f",
        "  policies   none",
    ]


@pytest.mark.parametrize("words", [(), ("--keys", "x.pub"), ("--export-checkpoint",)])
def test_verify_of_no_directory_names_it_and_says_what_to_do(tmp_path: Path, words: tuple[str, ...]) -> None:
    run = here("audit", "verify", *words, tmp_path / "nodir")
    assert (run.returncode, run.stdout) == (1, "")
    assert f"{tmp_path / 'nodir'} is not a directory" in run.stderr
    assert "next:" in run.stderr


def test_verify_of_a_directory_without_a_record_says_what_to_do(tmp_path: Path) -> None:
    run = here("audit", "verify", tmp_path)
    assert (run.returncode, run.stdout) == (1, "")
    assert "next:" in run.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("--since", "yesterday"),
        ("--since", "2026-11-21T09:00:00+01:00"),
        ("--since", "2026-13"),
        ("--since", ""),
        ("--decision", ""),
        ("--user", ""),
        ("--kind", "bogus"),
        ("--kind", "intent", "--kind", ""),
    ],
)
def test_a_filter_that_can_take_nothing_is_refused(tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "audit").mkdir()
    run = here("audit", "show", tmp_path, *words)
    assert (run.returncode, run.stdout) == (2, "")
    assert "next:" in run.stderr


def test_an_unknown_kind_is_answered_with_those_there_are(tmp_path: Path) -> None:
    run = here("audit", "show", tmp_path, "--kind", "bogus")
    assert all(kind in run.stderr for kind in KINDS)


@pytest.mark.parametrize("since", ["2026", "2026-11", "2026-11-21", "2026-11-21T09", "2026-11-21T09:30:00.123456Z"])
def test_a_time_or_the_beginning_of_one_is_taken(tmp_path: Path, since: str) -> None:
    (tmp_path / "audit").mkdir()
    assert here("audit", "show", tmp_path, "--since", since).returncode == 0


@pytest.mark.parametrize(
    "words", [("--no-such-option",), ("--since", "yesterday"), ("--format", "xml"), ("--keys", "nowhere.pub")]
)
def test_wrong_usage_of_reconcile_is_never_the_code_of_a_finding(tmp_path: Path, words: tuple[str, ...]) -> None:
    assert here("audit", "reconcile", *words, init(tmp_path / "laptop")).returncode == 1


@pytest.mark.parametrize("words", [(), ("--since", "2026"), ("--format", "json")])
def test_reconcile_of_no_directory_or_of_one_without_keys_says_what_to_do(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    for directory in (tmp_path / "nodir", tmp_path):
        run = here("audit", "reconcile", *words, directory)
        assert (run.returncode, run.stdout) == (1, "")
        assert "next:" in run.stderr


def test_a_new_directory_has_nothing_to_reconcile(tmp_path: Path) -> None:
    run = here("audit", "reconcile", init(tmp_path / "laptop"))
    assert run.returncode == 4
    assert "no stream of the PDP" in run.stdout


def test_reconcile_of_a_time_without_a_decision_is_no_success(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    with witnessed(home) as pair:
        pair.permitted()
    assert here("audit", "reconcile", home.root, home.audit).returncode == 0
    run = here("audit", "reconcile", home.root, "--since", "2099")
    assert (run.returncode, run.stdout) == (6, "nothing to compare: neither side tells of a decision\n")


def test_a_new_directory_is_whole_or_says_why_not(tmp_path: Path) -> None:
    assert "is not a directory" not in here("audit", "verify", init(tmp_path / "laptop")).stderr
