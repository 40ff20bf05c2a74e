"""Key files, signatures and keyed hashes."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from sallyport.audit.errors import KeyRefused
from sallyport.audit.masker import Masker
from sallyport.audit.signer import Signer, generate, key_id, load_keys, signed_by

KEY = bytes(range(32))


def test_a_generated_pair_belongs_together_and_is_never_overwritten(tmp_path: Path) -> None:
    made = generate(tmp_path)
    assert Signer.from_file(tmp_path / "signing.key").key_id == made.key_id == key_id(made.key.public_key())
    assert list(load_keys([tmp_path])) == [made.key_id]
    assert (tmp_path / "signing.key").stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        generate(tmp_path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666, 0o610])
def test_n7_a_key_that_others_can_read_is_refused_with_the_remedy(tmp_path: Path, mode: int) -> None:
    generate(tmp_path)
    path = tmp_path / "signing.key"
    path.chmod(mode)
    with pytest.raises(KeyRefused, match=f"chmod 600 {path}"):
        Signer.from_file(path)


@pytest.mark.parametrize(
    ("owner", "we", "mode", "taken"),
    [
        (0, 1000, 0o440, True),  # a Secret mounted with fsGroup
        (0, 1000, 0o640, True),
        (0, 1000, 0o444, False),
        (0, 1000, 0o460, False),
        (0, 1000, 0o450, False),
        (0, 0, 0o440, False),  # as root the group isn't needed
        (1000, 1000, 0o440, False),
        (2000, 1000, 0o440, False),
    ],
)
def test_n7_a_group_may_read_only_what_root_owns_and_we_do_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, owner: int, we: int, mode: int, taken: bool
) -> None:
    """The runtime's reader of secrets makes the same exception, and no other."""
    generate(tmp_path)
    path = tmp_path / "signing.key"
    found = list(path.stat())
    found[0], found[4] = stat.S_IFREG | mode, owner
    monkeypatch.setattr("os.geteuid", lambda: we)
    monkeypatch.setattr("os.fstat", lambda _: os.stat_result(found))
    if taken:
        assert Signer.from_file(path).key_id
    else:
        with pytest.raises(KeyRefused, match="chmod 600"):
            Signer.from_file(path)


@pytest.mark.parametrize("data", [b"", b"nonsense", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_key_file_with_anything_else_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "signing.key"
    path.write_bytes(data)
    path.chmod(0o600)
    with pytest.raises(KeyRefused):
        Signer.from_file(path)
    with pytest.raises(KeyRefused):
        load_keys([path])


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    path, key = tmp_path / "signing.key", generate_private_key(SECP256R1())
    pkcs8, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, pkcs8, plain))
    path.chmod(0o600)
    with pytest.raises(KeyRefused):
        Signer.from_file(path)


def test_n5_no_public_key_at_all_is_refused(tmp_path: Path) -> None:
    for paths in ([], [tmp_path], [tmp_path / "missing.pub"]):
        with pytest.raises(KeyRefused):
            load_keys(paths)


def test_a_signature_is_of_this_record_alone(tmp_path: Path) -> None:
    from sallyport.audit.record import decode

    signer = generate(tmp_path)
    fields = {
        "kind": "close",
        "stream": "s",
        "seq": 1,
        "prev": "0" * 64,
        "mono": 1,
        "time": "2026-11-21T00:00:00.000000Z",
    }
    line = decode(signer.sign(fields))
    assert signed_by(signer.keys, line)
    for change in ({"seq": 2}, {"stream": "t"}, {"key_id": "0" * 16}, {"extra": True}):
        assert not signed_by(signer.keys, {**line, **change})


def test_n7_a_short_masking_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyRefused):
        Masker(KEY[:-1])
    path = tmp_path / "masking.key"
    for text in ("", "zz" * 32, "00" * 31):
        path.write_text(text)
        path.chmod(0o600)
        with pytest.raises(KeyRefused):
            Masker.from_file(path)
    path.write_text(KEY.hex() + "\n")
    assert Masker.from_file(path).request(b"x") == Masker(KEY).request(b"x")


def test_n27_masks_are_keyed_and_apart_by_purpose_and_name() -> None:
    masker = Masker(KEY)
    same = masker.arguments({"a": "x", "b": "x"})
    assert same["a"] != same["b"]
    assert same["a"] == masker.arguments({"a": "x"})["a"] != Masker(KEY[::-1]).arguments({"a": "x"})["a"]
    assert masker.request(b'["a","x"]').partition(":")[2][:32] not in same["a"]


def test_n7_no_argument_value_stands_in_its_mask_and_masks_are_bounded() -> None:
    arguments = {"x" * 1000: "canary", **{f"name{number}": {"deep": ["canary", None, 1.5]} for number in range(5000)}}
    masked = Masker(KEY).arguments(arguments)
    assert "canary" not in str(masked)
    assert len(masked) <= 65
    assert "*" in masked
