"""`sallyport policy check` and `show` see a policy set as the PDP does."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sallyport.cli import shipped
from sallyport.pep import app, settings
from sallyport.pep.tools import NAMES
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


def test_a_catalog_that_the_pep_would_refuse_is_not_good(policies: Path) -> None:
    catalog = policies / "catalog.yaml"
    catalog.write_text(catalog.read_text().replace("hosted: write_file", "hosted: nope"))
    run = here("policy", "check", policies)
    assert (run.returncode, run.stdout) == (2, "")
    assert "catalog.yaml:" in run.stderr
    assert "no hosted tool 'nope'" in run.stderr
    assert "1 problem;" in run.stderr


def test_what_the_pdp_and_the_pep_find_is_told_together_and_once(policies: Path) -> None:
    catalog = policies / "catalog.yaml"
    catalog.write_text(catalog.read_text().replace("hosted: write_file", "hosted: nope"))
    (policies / "one.cedar").write_text('@id("one")\npermit (principal, action, \n')
    run = here("policy", "check", policies)
    assert "one.cedar:" in run.stderr
    assert "no hosted tool 'nope'" in run.stderr
    (policies / "one.cedar").unlink()
    catalog.write_text(catalog.read_text().replace("effect:", "efect:", 1))  # both of them parse the file
    assert here("policy", "check", policies).stderr.count("efect") == 1


async def test_the_names_that_the_check_knows_are_those_that_the_pep_serves(tmp_path: Path) -> None:
    made = init(tmp_path / "laptop")
    async with app.hosted(settings.load(made / "pep.yaml")) as registry:
        assert registry.names == NAMES


def test_what_is_said_of_a_bad_set_is_true_of_a_pdp_that_does_not_reload(policies: Path) -> None:
    (policies / "one.cedar").write_text("permit (")
    assert "keeps the last good set" not in here("policy", "check", policies).stderr


@pytest.mark.parametrize("words", [("test",), ("explain",), ("test", "DIR"), ("explain", "DIR", "--decision", "x")])
def test_commands_that_come_later_say_what_to_use_now(words: tuple[str, ...]) -> None:
    run = here("policy", *words)
    assert (run.returncode, run.stdout) == (2, "")
    assert "later version" in run.stderr
    assert "policy check DIR" in run.stderr
    assert "audit show DIR --decision ID" in run.stderr
