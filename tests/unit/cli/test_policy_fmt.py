"""`sallyport policy fmt` changes the form and nothing else."""

from __future__ import annotations

import re
import shutil
from functools import partial
from pathlib import Path

import cedarpy
import pytest

from sallyport.cli import formatting, shipped
from sallyport.cli.complaint import Complaint
from tests.support.laptop import cli, here

UGLY = '// why\n@id("a")permit(principal,action==Action::"x",resource)when{principal.n>1// more than one\n&&true};\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "a.cedar"
    made.write_text(UGLY)
    return made


def test_a_file_is_formatted_in_place_and_stays_so(file: Path) -> None:
    file.chmod(0o640)
    assert here("policy", "fmt", file).returncode == 0
    written = file.read_text()
    assert written != UGLY
    assert {"// why", "// more than one"} <= set(re.findall(r"//[^\n]*", written))
    assert cedarpy.policies_to_pst(written) == cedarpy.policies_to_pst(UGLY)
    assert file.stat().st_mode & 0o777 == 0o640
    again = here("policy", "fmt", file)
    assert (again.returncode, again.stdout, file.read_text()) == (0, "", written)


def test_check_writes_nothing_and_shows_what_would_change(file: Path) -> None:
    run = here("policy", "fmt", "--check", file)
    assert run.returncode == 1
    assert "+permit (" in run.stdout
    assert "1 of 1 files would change" in run.stderr
    assert file.read_text() == UGLY
    here("policy", "fmt", file)
    assert here("policy", "fmt", "--check", file).returncode == 0


def test_the_shipped_set_and_the_cookbook_are_in_form() -> None:
    policies = shipped.find()
    cookbook = policies.parent / "docs" / "cookbook"
    run = here("policy", "fmt", "--check", policies, cookbook / "everyday", cookbook / "company")
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_shipped_set_means_the_same_in_form(tmp_path: Path) -> None:
    copy = tmp_path / "policies"
    shutil.copytree(shipped.find(), copy)
    for file in copy.glob("*.cedar"):
        file.write_text(file.read_text().replace("(\n  principal,\n", "( principal ,"))
    assert here("policy", "fmt", tmp_path).returncode == 0
    for before in shipped.find().glob("*.cedar"):
        after = (copy / before.name).read_text()
        assert cedarpy.policies_to_pst(after) == cedarpy.policies_to_pst(before.read_text())
        assert sorted(re.findall(r"//[^\n]*", after)) == sorted(re.findall(r"//[^\n]*", before.read_text()))
    assert here("policy", "check", copy).returncode == 0


def test_one_bad_file_keeps_all_as_they_are(file: Path) -> None:
    bad = file.with_name("b.cedar")
    bad.write_text("permit (principal, action, \n")
    run = here("policy", "fmt", file.parent)
    assert run.returncode == 2
    assert "b.cedar:1:" in run.stderr
    assert file.read_text() == UGLY


@pytest.mark.parametrize(
    "condition",
    ["true && " * 3_000 + "true", "(" * 20_000 + "true" + ")" * 20_000, "!" * 20_000 + "true", "[1, " * 20_000],
)
def test_a_text_that_nests_too_deep_for_cedar_is_refused_with_its_place_and_kills_nobody(
    file: Path, condition: str
) -> None:
    deep = file.with_name("deep.cedar")
    deep.write_text(f'@id("deep") permit (principal, action, resource) when {{ {condition} }};\n')
    run = cli("policy", "fmt", deep)  # a process of its own: a stack that overflows would take this one along
    assert run.returncode == 2
    assert "deep.cedar:1:" in run.stderr
    assert "nests too deep" in run.stderr


def test_a_policy_at_the_bounds_is_formatted(file: Path) -> None:
    for condition in (
        "(" * 30 + "true" + ")" * 30,
        "true || " * 90 + "true",
        "if true then " * 30 + "true" + " else true" * 30,
    ):
        file.write_text(f'@id("deep") permit (principal, action, resource) when {{ {condition} }};\n')
        assert here("policy", "fmt", file).returncode == 0


def _says(text: str, *_: object, **__: object) -> str:
    return text


def test_a_formatter_that_changes_the_meaning_or_drops_a_comment_is_not_believed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for old, new in (("n > 1", "n > 2"), ("// why", "//")):
        said = cedarpy.format_policies(UGLY).replace(old, new)
        with monkeypatch.context() as patched:
            patched.setattr(cedarpy, "format_policies", partial(_says, said))
            with pytest.raises(Complaint, match="left as it is"):
                formatting.formatted(UGLY, "a.cedar")


@pytest.mark.parametrize("name", ["missing.cedar", "a.txt", "empty"])
def test_what_is_no_policy_file_is_refused_with_what_to_do(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.txt").write_text("")
    run = here("policy", "fmt", tmp_path / name)
    assert run.returncode == 2
    assert "next:" in run.stderr


def test_bytes_that_are_no_text_are_refused(file: Path) -> None:
    file.write_bytes(b"\xff\xfe")
    run = here("policy", "fmt", file)
    assert run.returncode == 2
    assert "not UTF-8" in run.stderr
