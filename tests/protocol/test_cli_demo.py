"""`sallyport demo`: what a newcomer sees, and that a scene that doesn't go as told is no success."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from sallyport.cli import samples, scenes
from sallyport.cli.laptop import Laptop
from tests.support.laptop import Up, cli, init, sallyport, up  # noqa: F401 — a fixture


@pytest.fixture(scope="module")
def played() -> subprocess.CompletedProcess[str]:
    return cli("demo")


def test_the_demo_goes_as_told(played: subprocess.CompletedProcess[str]) -> None:
    assert played.returncode == 0, played.stdout + played.stderr
    for words in ("PERMITTED", "agent_access.read_own_file", "DENIED", "database.production", "VERIFIED", "CAUGHT"):
        assert words in played.stdout
    assert "UNEXPECTED" not in played.stdout
    assert "warning" not in played.stderr


def test_piped_it_is_plain_and_fits_a_screen(played: subprocess.CompletedProcess[str]) -> None:
    both = played.stdout + played.stderr
    assert both.isascii()
    assert "\x1b" not in both
    assert len(both.splitlines()) <= 38


def test_it_shows_neither_bobs_file_nor_a_salary(played: subprocess.CompletedProcess[str]) -> None:
    assert samples.FILES["bob/private.txt"].strip() not in played.stdout
    assert samples.CANARY not in played.stdout


def test_a_denial_where_a_permit_was_told_fails_the_scene(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = init(tmp_path / "laptop")
    (directory / "policies" / "agent_access.cedar").unlink()
    with up(directory, "--no-restart") as running:
        assert not scenes.own_file(Laptop(directory), running.endpoint)
    assert "UNEXPECTED" in capsys.readouterr().out


def test_a_permit_where_a_denial_was_told_fails_the_scene(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = init(tmp_path / "laptop")
    loose = '@id("loose") permit (principal, action == Action::"read_file", resource);\n'
    (directory / "policies" / "loose.cedar").write_text(loose)
    with up(directory, "--no-restart") as running:
        assert not scenes.tricked(Laptop(directory), running.endpoint)
    assert "UNEXPECTED" in capsys.readouterr().out


def test_a_record_that_is_no_longer_whole_fails_the_scene(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = init(tmp_path / "laptop")
    with up(directory, "--no-restart") as running:
        assert scenes.tricked(Laptop(directory), running.endpoint)
    (path,) = (directory / "audit").glob("*/*.jsonl")
    data = path.read_bytes()
    path.write_bytes(data.replace(b"alice", b"carol", 1))
    assert not scenes.tampered(Laptop(directory))
    assert "UNEXPECTED" in capsys.readouterr().out


def test_keep_leaves_a_directory_to_go_on_with(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    assert cli("demo", "--keep", kept).returncode == 0
    assert cli("audit", "verify", kept).returncode == 0
    assert not (kept / "run" / "endpoint.json").exists()
    assert cli("demo", "--keep", kept).returncode == 2
