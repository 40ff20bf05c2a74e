"""Files written in one step, and secrets read only where nobody else can."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from sallyport.runtime import atomic_file
from sallyport.runtime.problems import ConfigError


def _fault(path: Path) -> str:
    with pytest.raises(ConfigError) as error:
        atomic_file.read_private(path)
    return str(error.value)


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o400])
def test_a_file_has_its_mode_whatever_the_umask(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "f"
    atomic_file.write(path, b"one", mode)
    atomic_file.write(path, b"two", mode)
    assert path.read_bytes() == b"two"
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f"
    atomic_file.write(path, b"old")

    def broken(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="No space"):
        atomic_file.write(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_writing_replaces_a_link_and_not_what_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"safe")
    (tmp_path / "f").symlink_to("victim")
    atomic_file.write(tmp_path / "f", b"new")
    assert (tmp_path / "victim").read_bytes() == b"safe"
    assert not (tmp_path / "f").is_symlink()


def test_a_private_secret_is_read(tmp_path: Path) -> None:
    atomic_file.write(tmp_path / "key", b"secret")
    assert atomic_file.read_private(tmp_path / "key") == b"secret"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601, 0o620, 0o644])
def test_n7_a_secret_that_others_can_reach_is_refused_with_the_remedy(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    atomic_file.write(path, b"canary", mode)
    assert _fault(path) == f"{path}: others may read this secret; run: chmod 600 {path}"


def test_n7_a_missing_or_empty_secret_stops_the_start(tmp_path: Path) -> None:
    assert "doesn't exist; create it" in _fault(tmp_path / "gone")
    atomic_file.write(tmp_path / "empty", b"")
    assert "is empty" in _fault(tmp_path / "empty")


def test_n7_what_is_no_regular_file_is_refused_without_blocking(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    assert "no regular file" in _fault(tmp_path / "fifo")
    assert "no regular file" in _fault(tmp_path)


def test_n22_a_link_is_followed_only_in_kubernetes_form(tmp_path: Path) -> None:
    atomic_file.write(tmp_path / "other", b"other")
    (tmp_path / "key").symlink_to("other")
    assert "is a symbolic link" in _fault(tmp_path / "key")
    (tmp_path / "..1").mkdir()
    atomic_file.write(tmp_path / "..1/tls.key", b"mounted")
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "tls.key").symlink_to("..data/tls.key")
    assert atomic_file.read_private(tmp_path / "tls.key") == b"mounted"
    (tmp_path / "..1/tls.key").unlink()
    (tmp_path / "..1/tls.key").symlink_to("../other")
    assert "is a symbolic link" in _fault(tmp_path / "tls.key")
