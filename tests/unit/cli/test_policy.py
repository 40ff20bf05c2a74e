"""`sallyport policy check` and `show` see a policy set as the PDP does."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sallyport.cli import shipped
from tests.support.laptop import here, init


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    copy = tmp_path / "mine"
    shutil.copytree(shipped.find(), copy)
    return copy


def test_what_init_wrote_would_serve(tmp_path: Path) -> None:
    made = init(tmp_path / "laptop")
    for place in (made, made / "policies"):
        run = here("policy", "check", place)
        assert (run.returncode, run.stderr) == (0, "")
        assert run.stdout.startswith("good: ")


def test_every_problem_is_told_with_file_and_line(policies: Path) -> None:
    (policies / "one.cedar").write_text('@id("one")\npermit (principal, action, \n')
    (policies / "two.cedar").write_text('@id("two")\npermit (principal, action == Action::"gone", resource);\n')
    run = here("policy", "check", policies)
    assert (run.returncode, run.stdout) == (2, "")
    assert "one.cedar:" in run.stderr
    assert "two.cedar:2:" in run.stderr
    assert "next:" in run.stderr
    assert "Traceback" not in run.stderr


def test_an_empty_or_missing_directory_is_refused(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "missing"):
        run = here("policy", "check", place)
        assert run.returncode == 2
        assert "next:" in run.stderr


def test_show_prints_the_compiled_roles_and_every_policy_once(policies: Path) -> None:
    run = here("policy", "show", policies)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.count('@id("role:gate:read_file")') == 1
    assert run.stdout.count('@id("agent_access.read_own_file")') == 1
