"""A next step as it is printed can be typed."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from sallyport.cli import console


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "bin" / "sallyport"
    path.parent.mkdir()
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_it_is_named_by_the_path_that_it_was_run_as(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(script.parent.parent)
    monkeypatch.setattr(sys, "argv", ["bin/sallyport", "demo"])
    monkeypatch.setenv("PATH", "/nowhere")
    assert console.command("init", "DIR") == "bin/sallyport init DIR"


def test_it_is_named_alone_if_path_finds_the_same_one(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [str(script), "demo"])
    monkeypatch.setenv("PATH", str(script.parent))
    assert console.command("init", "DIR") == "sallyport init DIR"


def test_another_one_on_path_does_not_take_its_name(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other" / "sallyport"
    other.parent.mkdir()
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(script)])
    monkeypatch.setenv("PATH", str(other.parent))
    assert console.command("demo") == f"{script} demo"


def test_run_as_a_module_it_is_the_script_beside_the_interpreter(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/x/sallyport/cli/__main__.py"])
    monkeypatch.setattr(sys, "executable", str(script.with_name("python")))
    monkeypatch.setenv("PATH", "/nowhere")
    assert console.command("demo") == f"{script} demo"


def test_a_directory_with_blanks_and_quotes_survives_the_shell() -> None:
    odd = "my dir; rm -r 'x'"
    assert shlex.split(console.command("up", Path(odd)))[-2:] == ["up", odd]
