"""The hop key: what its seals prove, and which files are believed."""

from __future__ import annotations

import itertools
import os
import stat
from pathlib import Path

import pytest

from sallyport.contract.seal import HopKey, HopKeyError, HopKeyFile, Label


def test_a_seal_opens_for_its_own_label_and_payload_only() -> None:
    key = HopKey.generate()
    for sealed, opened in itertools.product(Label, Label):
        assert key.open(opened, b"payload", key.seal(sealed, b"payload")) is (sealed is opened)
    mac = key.seal(Label.EVALUATE_ANSWER, b"payload")
    assert len(mac) == 32
    for payload in (b"", b"payloae", b"payload\0", b"\0payload"):
        assert not key.open(Label.EVALUATE_ANSWER, payload, mac)


@pytest.mark.parametrize(
    "change", [lambda mac: b"", lambda mac: mac[:-1], lambda mac: mac + b"\0", lambda mac: bytes(32)]
)
def test_n15_a_seal_that_is_cut_long_or_empty_does_not_open(change: object) -> None:
    key = HopKey.generate()
    mac = key.seal(Label.BATCH_ANSWER, b"payload")
    assert not key.open(Label.BATCH_ANSWER, b"payload", change(mac))  # type: ignore[operator]


def test_n15_another_starts_key_opens_nothing() -> None:
    mac = HopKey.generate().seal(Label.EVALUATE_ANSWER, b"payload")
    assert not HopKey.generate().open(Label.EVALUATE_ANSWER, b"payload", mac)


def test_no_label_is_another_ones_beginning() -> None:
    for one, other in itertools.permutations(Label, 2):
        assert not other.value.startswith(one.value)


def test_n7_a_key_shows_itself_nowhere_but_in_its_file(tmp_path: Path) -> None:
    key = HopKey(b"k" * 32)
    key.write(tmp_path / "hop.key")
    text = repr(key) + str(key) + repr(HopKeyFile(tmp_path / "hop.key"))
    assert "kkkk" not in text
    assert (b"k" * 32).hex() not in text


def test_a_key_comes_back_from_a_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    path = tmp_path / "hop.key"
    key = HopKey.generate()
    key.write(path)
    assert HopKey.from_file(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_n7_a_key_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        HopKey(b"x" * length)


@pytest.mark.parametrize(
    "data", [b"", b"\n", b"0" * 63, b"0" * 65, b"A" * 64, b"0" * 64 + b"\n\n", b"\0" * 32, b"g" * 64]
)
def test_n7_a_file_that_is_no_key_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "hop.key"
    path.write_bytes(data)
    path.chmod(0o600)
    with pytest.raises(HopKeyError, match="restart the PDP"):
        HopKey.from_file(path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o606, 0o610, 0o601])
def test_n7_a_key_that_others_may_touch_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "hop.key"
    HopKey.generate().write(path)
    file = HopKeyFile(path)
    file.current()
    path.chmod(mode)
    with pytest.raises(HopKeyError, match="others may read"):
        HopKey.from_file(path)
    with pytest.raises(HopKeyError, match="others may read"):
        file.current()


def test_n22_a_link_or_a_fifo_in_the_keys_place_is_refused_without_blocking(tmp_path: Path) -> None:
    HopKey.generate().write(tmp_path / "real")
    (tmp_path / "link").symlink_to("real")
    os.mkfifo(tmp_path / "fifo", 0o600)
    for name in ("link", "fifo", "."):
        with pytest.raises(HopKeyError):
            HopKeyFile(tmp_path / name).current()


def test_n15_the_file_gives_the_new_key_after_each_start_and_never_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "hop.key"
    file = HopKeyFile(path)
    with pytest.raises(HopKeyError, match="start the PDP"):
        file.current()
    for _ in range(5):
        key = HopKey.generate()
        key.write(path)
        assert file.current() == key
        assert file.current() is file.current()
    path.unlink()
    with pytest.raises(HopKeyError, match="start the PDP"):
        file.current()
