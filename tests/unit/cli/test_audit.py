"""`sallyport audit`: exit codes that can't be mistaken, and text that can't act on a terminal."""

from __future__ import annotations

from pathlib import Path

from sallyport.cli.commands import audit
from tests.support.laptop import here


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
