"""`sallyport demo`: what a newcomer sees, and that a scene that doesn't go as told is no success."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from sallyport.cli import samples, scenes
from sallyport.cli.commands import demo
from sallyport.cli.laptop import Laptop
from tests.support.laptop import cli, here, init, patient, up

pytestmark = pytest.mark.timeout(300)
PLAYED = 120  # seconds in which a busy machine plays it


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "kept"


@pytest.fixture(scope="module")
def played(kept: Path) -> subprocess.CompletedProcess[str]:
    return cli("demo", "--keep", kept, timeout=PLAYED)


def test_the_demo_goes_as_told(played: subprocess.CompletedProcess[str]) -> None:
    assert played.returncode == 0, played.stdout + played.stderr
    for words in ("PERMITTED", "agent_access.read_own_file", "DENIED", "database.production", "VERIFIED", "CAUGHT"):
        assert words in played.stdout
    assert "UNEXPECTED" not in played.stdout
    assert "warning" not in played.stderr


def _shape(text: str) -> str:
    """The demo's words without what differs each time: ids, places, checkpoints by the clock, how it was called."""
    text = re.sub(r"[0-9a-f]{32}", "ID", text)
    text = re.sub(r"(byte|line) \d+", r"\1 N", text)
    text = re.sub(r"\d+ records", "N records", text)
    return " ".join(re.sub(r"\S*sallyport (?=init|up|call|demo)", "sallyport ", text).split())


def test_the_readme_shows_what_the_demo_prints() -> None:
    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text()
    shown = readme.partition("<!-- demo -->")[2].partition("<!-- /demo -->")[0].strip().strip("`")
    assert _shape(shown) == _shape(cli("demo", timeout=PLAYED).stdout)


def test_piped_it_is_plain_and_fits_a_screen(played: subprocess.CompletedProcess[str]) -> None:
    both = played.stdout + played.stderr
    assert both.isascii()
    assert "\x1b" not in both
    assert len(both.splitlines()) <= 38


def test_the_next_steps_of_a_kept_demo_can_be_typed(played: subprocess.CompletedProcess[str], kept: Path) -> None:
    (line,) = [line for line in played.stdout.splitlines() if "audit show" in line]
    words = shlex.split(line)
    asked = here(*words[1:])
    assert asked.returncode == 0, line
    assert "denied" in asked.stdout
    assert "salaries" in asked.stdout
    again = [line for line in played.stdout.splitlines() if f"sallyport up {kept}" in line]
    assert len(again) == 1


def test_without_keep_nothing_is_said_of_a_directory_that_is_gone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = patient(init(tmp_path / "laptop"))
    with up(directory, "--no-restart") as running:
        running.ready()
        assert scenes.tricked(Laptop(directory), running.endpoint)
    said = capsys.readouterr().out
    assert "audit show" not in said
    assert "demo --keep DIR" in said


def test_it_shows_neither_bobs_file_nor_a_salary(played: subprocess.CompletedProcess[str]) -> None:
    assert samples.FILES["bob/private.txt"].strip() not in played.stdout
    assert samples.CANARY not in played.stdout


def test_what_does_not_go_as_told_fails_each_scene(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = patient(init(tmp_path / "laptop"))
    (directory / "policies" / "agent_access.cedar").unlink()  # a denial where a permit is told
    loose = '@id("loose") permit (principal, action == Action::"read_file", resource) when { resource.owner == "bob" };'
    (directory / "policies" / "loose.cedar").write_text(loose)  # and a permit where a denial is told
    with up(directory, "--no-restart") as running:
        running.ready()
        assert not scenes.own_file(Laptop(directory), running.endpoint)
        assert not scenes.tricked(Laptop(directory), running.endpoint)
    assert scenes.tampered(Laptop(directory))
    assert capsys.readouterr().out.count("UNEXPECTED") == 2
    (path,) = (directory / "audit").glob("pep-*/*.jsonl")
    path.write_bytes(path.read_bytes().replace(b"alice", b"carol", 1))
    assert not scenes.tampered(Laptop(directory))
    assert "UNEXPECTED" in capsys.readouterr().out


def test_one_scene_that_fails_fails_the_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "_play", lambda _directory, _keep: False)
    run = here("demo", "--keep", tmp_path)
    assert run.returncode == 1
    assert "NOT as told" in run.stdout


def test_keep_leaves_a_directory_to_go_on_with(played: subprocess.CompletedProcess[str], kept: Path) -> None:
    assert played.returncode == 0
    assert here("audit", "verify", kept).returncode == 0
    assert not (kept / "run" / "endpoint.json").exists()
    assert here("demo", "--keep", kept).returncode == 2
