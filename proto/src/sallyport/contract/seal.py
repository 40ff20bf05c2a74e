"""The hop key, and the seals under it: a process that grabs the PDP's port can't permit.

Made anew by the PDP at each start, so no answer of an earlier one can be replayed.
"""

from __future__ import annotations

import hmac
import os
import re
import secrets
import stat
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Final

KEY_BYTES: Final = 32
_HEX: Final = re.compile(rb"([0-9a-f]{64})\n?")
_OTHERS: Final = 0o077
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class HopKeyError(OSError):
    """The hop key's file can't be used. The text says what to do; it never holds the key."""


class Label(Enum):
    """What is sealed. Each has its own domain, so a seal of one kind is worth nothing as another."""

    EVALUATE_QUESTION = b"sallyport.authz.v1/evaluate/question\0"
    EVALUATE_ANSWER = b"sallyport.authz.v1/evaluate/answer\0"
    BATCH_QUESTION = b"sallyport.authz.v1/batch/question\0"
    BATCH_ANSWER = b"sallyport.authz.v1/batch/answer\0"
    REVISION_QUESTION = b"sallyport.authz.v1/revision/question\0"
    REVISION_ANSWER = b"sallyport.authz.v1/revision/answer\0"
    CATALOG_QUESTION = b"sallyport.authz.v1/catalog/question\0"
    CATALOG_ANSWER = b"sallyport.authz.v1/catalog/answer\0"
    RELOAD_QUESTION = b"sallyport.authz.v1/reload/question\0"
    RELOAD_ANSWER = b"sallyport.authz.v1/reload/answer\0"


@dataclass(frozen=True, slots=True)
class HopKey:
    """32 random bytes that PEP and PDP share. Its file is one line of 64 hex digits, mode 0600."""

    _bytes: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self._bytes) != KEY_BYTES:
            raise ValueError(f"a hop key has {KEY_BYTES} bytes")

    @classmethod
    def generate(cls) -> HopKey:
        return cls(secrets.token_bytes(KEY_BYTES))

    @classmethod
    def from_file(cls, path: Path) -> HopKey:
        """Read a key that only its owner (we, or root) can read, or raise HopKeyError."""
        return _read(path)[0]

    def write(self, path: Path) -> None:
        """Replace the file in one step, so that a reader sees the old key or the new one, never half."""
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        descriptor = os.open(temporary, _CREATE, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(self._bytes.hex().encode() + b"\n")
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise

    def seal(self, label: Label, payload: bytes) -> bytes:
        """HMAC-SHA-256 over the label and the very bytes that travel."""
        return hmac.digest(self._bytes, label.value + payload, "sha256")

    def open(self, label: Label, payload: bytes, mac: bytes) -> bool:
        """True if `mac` is the payload's seal; takes the same time wherever they differ."""
        return hmac.compare_digest(self.seal(label, payload), mac)


_Stamp = tuple[int, int, int, int]


class HopKeyFile:
    """The key as it stands in the file now: the PDP writes a new one at each start."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: _Stamp | None = None
        self._key: HopKey | None = None

    def current(self) -> HopKey:
        """The key, read again only if the file is another. Raises HopKeyError; an older key is never kept."""
        try:
            stamp = _stamp(self._path.lstat())
        except OSError as error:
            self._key = None
            raise _missing(self._path, error) from None
        if self._key is None or stamp != self._stamp:
            self._key = None
            self._key, self._stamp = _read(self._path)
        return self._key


def _read(path: Path) -> tuple[HopKey, _Stamp]:
    try:
        descriptor = os.open(path, _READ)
    except OSError as error:
        raise _missing(path, error) from None
    try:
        status = os.fstat(descriptor)
        _check_private(path, status)
        found = _HEX.fullmatch(os.read(descriptor, 2 * KEY_BYTES + 2))
    finally:
        os.close(descriptor)
    if not found:
        raise HopKeyError(f"{path}: not a hop key of 64 hex digits; restart the PDP, which writes it")
    return HopKey(bytes.fromhex(found[1].decode())), _stamp(status)


def _check_private(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise HopKeyError(f"{path}: not a regular file; remove it and restart the PDP")
    if status.st_mode & _OTHERS:
        raise HopKeyError(f"{path}: others may read the key; remove it and restart the PDP, which writes it with 0600")
    if status.st_uid not in {0, os.geteuid()}:
        raise HopKeyError(f"{path}: belongs to another user; remove it and restart the PDP as this one")


def _stamp(status: os.stat_result) -> _Stamp:
    return status.st_ino, status.st_mtime_ns, status.st_size, status.st_mode


def _missing(path: Path, error: OSError) -> HopKeyError:
    return HopKeyError(f"{path}: no hop key ({error.strerror}); start the PDP, which writes it")
