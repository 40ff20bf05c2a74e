"""Ed25519 (RFC 8032) over records, and its key files: the private one 0600, the public ones for whoever verifies."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from sallyport.audit import record
from sallyport.audit.errors import KeyRefused

_DOMAIN: Final = b"sallyport.audit.record.v1\x00"  # a signature for another purpose is none of ours
_RAW: Final = (serialization.Encoding.Raw, serialization.PublicFormat.Raw)
_MAX_KEY_FILE: Final = 1 << 14
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_ROOT: Final = 0

Keys = Mapping[str, Ed25519PublicKey]


@dataclass(frozen=True, slots=True)
class Signer:
    key: Ed25519PrivateKey
    key_id: str

    @classmethod
    def of(cls, key: Ed25519PrivateKey) -> Signer:
        return cls(key, key_id(key.public_key()))

    @classmethod
    def from_file(cls, path: Path) -> Signer:
        """PEM PKCS8. KeyRefused if others may read it, or it is no Ed25519 key."""
        data = read_private(path)
        try:
            key = serialization.load_pem_private_key(data, None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, Ed25519PrivateKey):
            raise KeyRefused(f"{path} holds no unencrypted PEM Ed25519 key: make one with `sallyport init`")
        return cls.of(key)

    @property
    def keys(self) -> Keys:
        return {self.key_id: self.key.public_key()}

    def sign(self, fields: Mapping[str, Any]) -> bytes:
        """The canonical line of a complete record with our `key_id` and `sig` added."""
        named = {**fields, "key_id": self.key_id}
        return record.encode({**named, "sig": self.key.sign(_DOMAIN + record.encode(named)).hex()})


def generate(directory: Path) -> Signer:
    """Make a new pair, `signing.key` (0600) and `signing.pub`; an existing file is never overwritten."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    for name, data, mode in (("signing.key", private, 0o600), ("signing.pub", public, 0o644)):
        with os.fdopen(os.open(directory / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(data)
    return Signer.of(key)


def key_id(key: Ed25519PublicKey) -> str:
    """First 16 hex digits of SHA-256 of the raw public key."""
    return sha256(key.public_bytes(*_RAW)).hexdigest()[:16]


def signed_by(keys: Keys, line: Mapping[str, Any]) -> bool:
    """Whether one of `keys` signed this decoded record; an unknown key id is a no."""
    key = keys.get(line["key_id"])
    if key is None:
        return False
    unsigned = record.encode({name: value for name, value in line.items() if name != "sig"})
    try:
        key.verify(bytes.fromhex(line["sig"]), _DOMAIN + unsigned)
    except InvalidSignature:
        return False
    return True


def load_keys(paths: Iterable[Path]) -> Keys:
    """Public keys from PEM files, and from the `*.pub` of directories. KeyRefused if there is none: empty means refuse."""
    files = [file for path in paths for file in (sorted(path.glob("*.pub")) if path.is_dir() else [path])]
    found = [_public(file) for file in files]
    if not found:
        raise KeyRefused("no public key to verify with: name one with --keys FILE or --keys DIR (*.pub)")
    return {key_id(key): key for key in found}


def read_private(path: Path) -> bytes:
    """A secret's bytes; the permissions of the very file opened are checked.

    A group may read only what root owns and we don't: a Secret mounted with fsGroup.
    """
    try:
        with path.open("rb") as file:
            if _exposed(os.fstat(file.fileno())):
                raise KeyRefused(f"{path} can be read by others: chmod 600 {path}")
            return file.read(_MAX_KEY_FILE)
    except OSError as error:
        raise KeyRefused(f"can't read {path}: {error.strerror}") from None


def _exposed(status: os.stat_result) -> bool:
    mounted = status.st_uid == _ROOT and os.geteuid() != _ROOT
    return bool(status.st_mode & (_OTHERS & ~stat.S_IRGRP if mounted else _OTHERS))


def _public(path: Path) -> Ed25519PublicKey:
    try:
        key = serialization.load_pem_public_key(path.read_bytes()[:_MAX_KEY_FILE])
    except OSError as error:
        raise KeyRefused(f"can't read {path}: {error.strerror}") from None
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise KeyRefused(f"{path} holds no PEM Ed25519 public key (SubjectPublicKeyInfo)")
    return key
