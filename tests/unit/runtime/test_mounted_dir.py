"""A directory is read as one state or not at all."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from sallyport.runtime import mounted_dir
from sallyport.runtime.problems import ConfigError


def _faults(path: Path, **limits: int) -> list[str]:
    with pytest.raises(ConfigError) as error:
        mounted_dir.read(path, **limits)
    return str(error.value).splitlines()


def _publish(mount: Path, number: int, files: dict[str, bytes]) -> None:
    """Swap in a new state, as the kubelet does: new directory, new link, rename, remove the old directory."""
    old = mount / "..data"
    before = old.readlink() if old.is_symlink() else None
    fresh = mount / f"..2026_11_21_{number}"
    fresh.mkdir()
    for name, data in files.items():
        (fresh / name).write_bytes(data)
        if not (mount / name).is_symlink():
            (mount / name).symlink_to(Path("..data", name))
    (mount / "..data_tmp").symlink_to(fresh.name)
    (mount / "..data_tmp").rename(old)
    if before:
        shutil.rmtree(mount / before)


def test_hidden_folders_are_passed_over_and_hidden_files_are_not(tmp_path: Path) -> None:
    (tmp_path / "b.cedar").write_bytes(b"permit")
    (tmp_path / "a.yaml").write_bytes(b"")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".hidden").write_bytes(b"x")
    contents = mounted_dir.read(tmp_path)
    assert dict(contents.files) == {".hidden": b"x", "a.yaml": b"", "b.cedar": b"permit"}


def test_the_revision_covers_sorted_names_lengths_and_bytes(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"22")
    (tmp_path / "a").write_bytes(b"1")
    expected = hashlib.sha256(b"a\0" + (1).to_bytes(8, "big") + b"1" + b"b\0" + (2).to_bytes(8, "big") + b"22")
    assert mounted_dir.read(tmp_path).revision == expected.hexdigest()


def test_moving_a_byte_between_files_changes_the_revision() -> None:
    states = [{"a": b"xy", "b": b""}, {"a": b"x", "b": b"y"}, {"a": b"", "b": b"xy"}, {"a": b"xyb"}, {"ab": b"xy"}]
    assert len({mounted_dir.revision(state) for state in states}) == len(states)


def test_a_mounted_config_map_is_read_through_its_link(tmp_path: Path) -> None:
    _publish(tmp_path, 1, {"a": b"1"})
    assert dict(mounted_dir.read(tmp_path).files) == {"a": b"1"}
    _publish(tmp_path, 2, {"a": b"2", "b": b"3"})
    assert dict(mounted_dir.read(tmp_path).files) == {"a": b"2", "b": b"3"}


def test_the_directory_itself_may_be_a_link_of_the_operators(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/a").write_bytes(b"1")
    (tmp_path / "link").symlink_to("real")
    assert dict(mounted_dir.read(tmp_path / "link").files) == {"a": b"1"}


def test_n22_links_fifos_and_directories_are_refused_all_at_once_and_without_blocking(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"x")
    inside = tmp_path / "dir"
    inside.mkdir()
    (inside / "link").symlink_to(tmp_path / "secret")
    os.mkfifo(inside / "fifo")
    (inside / "sub").mkdir()
    (inside / "no name").write_bytes(b"")
    (inside / "good").write_bytes(b"")
    assert _faults(inside) == [
        f"{inside}/fifo: is no regular file; only regular files may stand here",
        f"{inside}/link: is a symbolic link; only regular files may stand here",
        f"{inside}/'no name': a name may hold letters, digits, '-', '.' and '_'; rename it",
        f"{inside}/sub: is a directory; only regular files may stand here",
    ]


@pytest.mark.parametrize("target", ["/etc", "../outside", ".", "..", "a/b"])
def test_n22_a_data_link_that_leads_elsewhere_is_refused(tmp_path: Path, target: str) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/a").write_bytes(b"secret")
    mount = tmp_path / "mount"
    mount.mkdir()
    (mount / "..data").symlink_to(target)
    assert _faults(mount) == [f"{mount}: can't be read: ..data must be a link to a directory beside it"]


def test_n22_a_data_link_to_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "..1").symlink_to("/etc")
    (tmp_path / "..data").symlink_to("..1")
    assert "can't be read" in _faults(tmp_path)[0]


def test_n24_sizes_and_counts_have_limits(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).write_bytes(b"12345")
    assert len(mounted_dir.read(tmp_path, max_file=5, max_total=15, max_files=3).files) == 3
    assert _faults(tmp_path, max_file=4) == [f"{tmp_path}/{name}: is larger than 4 bytes" for name in "abc"]
    assert _faults(tmp_path, max_total=14) == [f"{tmp_path}/c: brings the directory over 14 bytes"]
    assert _faults(tmp_path, max_files=2) == [f"{tmp_path}: holds 3 files, more than 2"]


def test_n5_a_missing_or_empty_directory_or_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    assert "doesn't exist" in _faults(tmp_path / "gone")[0]
    assert _faults(tmp_path) == [f"{tmp_path}: holds no files"]
    (tmp_path / "file").write_bytes(b"")
    assert "can't be read" in _faults(tmp_path / "file")[0]


def test_n5_a_data_link_that_leads_nowhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "..data").symlink_to("..gone")
    assert "kept changing" in _faults(tmp_path)[0]


def test_n22_no_reading_mixes_two_states_while_they_are_swapped(tmp_path: Path) -> None:
    """Each state holds 20 files of one content; the old one is removed at once, as the kubelet does."""
    names = [f"f{number}" for number in range(20)]
    _publish(tmp_path, 0, dict.fromkeys(names, b"0"))
    stop = threading.Event()
    swapped = threading.Semaphore(0)

    def swap() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            _publish(tmp_path, number, dict.fromkeys(names, b"%d" % number))
            swapped.release()

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for _ in range(100):
            assert swapped.acquire(timeout=10)
            try:
                files = mounted_dir.read(tmp_path).files
            except ConfigError as error:
                assert "kept changing" in str(error)  # noqa: PT017 — a refusal is right, a mixture is not
                continue
            assert sorted(files) == sorted(names)
            assert len(set(files.values())) == 1
    finally:
        stop.set()
        thread.join(10)


def test_n22_a_state_swapped_while_it_is_read_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _publish(tmp_path, 1, {"a": b"old", "b": b"forbid"})
    read_file = mounted_dir._read_file
    swaps = iter([2])

    def read_then_swap(attempt: mounted_dir._Pass, directory: int, name: str) -> None:
        read_file(attempt, directory, name)
        for number in swaps:
            _publish(tmp_path, number, {"a": b"new", "b": b"forbid"})

    monkeypatch.setattr(mounted_dir, "_read_file", read_then_swap)
    assert dict(mounted_dir.read(tmp_path).files) == {"a": b"new", "b": b"forbid"}


def test_n22_a_plain_directory_changed_while_it_is_read_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(b"old")
    (tmp_path / "b").write_bytes(b"old")
    read_file = mounted_dir._read_file
    changes = iter(["a"])

    def read_then_change(attempt: mounted_dir._Pass, directory: int, name: str) -> None:
        read_file(attempt, directory, name)
        for changed in changes:
            (tmp_path / changed).write_bytes(b"newer")

    monkeypatch.setattr(mounted_dir, "_read_file", read_then_change)
    assert dict(mounted_dir.read(tmp_path).files) == {"a": b"newer", "b": b"old"}


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    (tmp_path / "link").symlink_to("a")
    for _ in range(20):
        _faults(tmp_path)
    assert not [place for place in _open() if place.startswith(str(tmp_path))]


def _open() -> Iterator[str]:
    """What this process holds; other tests' descriptors come and go."""
    for one in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            yield os.readlink(one)  # noqa: PTH115 — not only paths stand there
