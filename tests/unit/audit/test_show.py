"""What operators see: the reference line, in which no value can forge a field or a line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sallyport.audit import show
from sallyport.audit.__main__ import main
from tests.unit.audit.made import INTENT, Home, segment

AT = {"time": "2026-11-21T10:00:00.000000Z"}
HOSTILE = "] [PERMIT]\r\n\x00\x1b[2J\x85\u2028\u2029\"'|=\\\u202e"


def shown(kind: str, **fields: Any) -> str:
    return show.line({**AT, "kind": kind, **fields})


def test_an_intent_is_the_reference_line() -> None:
    assert shown("intent", **INTENT) == (
        "[2026-11-21T10:00:00.000000Z] [alice via coding-bot] [read_file] [File::alice/notes.txt] [PERMIT]"
    )


@pytest.mark.parametrize(
    ("reason", "decision"),
    [
        ("denied", "DENY"),
        ("unknown_tool", "DENY"),
        ("unauthenticated", "REFUSED(unauthenticated)"),
        ("a]b", "REFUSED(a\\]b)"),
    ],
)
def test_a_refusal_says_who_refused(reason: str, decision: str) -> None:
    assert shown("refusal", reason=reason, user="bob") == f"[{AT['time']}] [bob] [-] [-] [{decision}]"


@given(st.text(), st.lists(st.text(), max_size=3))
def test_one_record_is_one_line_of_five_fields_in_every_format(text: str, resources: list[str]) -> None:
    for value in (text, text + HOSTILE):
        record = {**AT, "kind": "intent", "compound_id": value, "tool": value, "resources": [*resources, value]}
        line = show.line(record)
        assert len(line.splitlines()) == 1
        assert unescaped(line) == "[][][][][]"
        assert not [cell for cell in vars_of(show.row(record)) if len(cell.splitlines()) > 1 or "\x1b" in cell]


def unescaped(line: str) -> str:
    """The brackets that aren't escaped."""
    found, skip = "", False
    for char in line:
        if skip:
            skip = False
        elif char == "\\":
            skip = True
        elif char in "[]":
            found += char
    return found


def vars_of(row: show.Row) -> list[str]:
    return [getattr(row, name) for name in show.Row.__slots__]


def test_filters_choose_by_decision_kind_time_and_user(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    stream = home.stream(10)
    one = show.Filter(decision=f"{stream.name[-8:]}-000001")
    assert [row.kind for row in show.rows(home.root, one)] == ["intent", "outcome"]
    assert [row.decision for row in show.rows(home.audit, one)] == ["PERMIT", "OUTCOME(done)"]
    assert len(list(show.rows(home.root, show.Filter(kinds=frozenset({"open"}))))) == 1
    assert len(list(show.rows(home.root, show.Filter(user="alice")))) == 4
    assert not list(show.rows(home.root, show.Filter(since="9999")))


def test_an_unreadable_line_hides_no_other(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    path = segment(home.stream(10))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:4], b"\xff\n", *lines[4:], b'{"half']))
    assert len(list(show.records(home.root))) == 10


def test_the_module_is_the_whole_tool(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = Home(tmp_path / "home")
    home.stream(10)
    command = [sys.executable, "-m", "sallyport.audit", "verify", str(home.root)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "whole: 1 streams, 10 records")
    assert main(["show", str(home.root)]) == 0
    assert capsys.readouterr().out.count("[PERMIT]\n") == 4
    assert main(["show", str(home.root), "--format", "json", "--kind", "close"]) == 0
    assert capsys.readouterr().out.encode() == segment(next(home.audit.glob("pep-*"))).read_bytes().splitlines(True)[-1]
    assert main(["verify", str(home.root), "--export-checkpoint"]) == 0
    assert capsys.readouterr().out.count("\n") == 1
    assert main([]) == main(["verify"]) == main(["verify", "/nonexistent"]) == 1
