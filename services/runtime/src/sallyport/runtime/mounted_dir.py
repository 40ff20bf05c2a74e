"""Read a whole flat directory as one state, also while Kubernetes swaps it underneath.

The kubelet writes a new directory, renames the link `..data` onto it, then removes the old one. So the link is resolved
once, the directory behind it is opened once, every file is opened beneath that descriptor, and at the end the link must
still say the same: otherwise files may have vanished while we read, and a missing `forbid` is a permit.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

from sallyport.runtime.problems import ConfigError, Problem

_NAME: Final = re.compile(r"[-._a-zA-Z0-9]{1,253}")
_LINK: Final = "..data"
_ATTEMPTS: Final = 8  # swaps that may happen while we read, before we give up
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # non-blocking: a FIFO must not hang us


@dataclass(frozen=True, slots=True)
class Contents:
    """One state of a directory."""

    files: Mapping[str, bytes]
    revision: str  # SHA-256 over the sorted files, hex


@dataclass(frozen=True, slots=True)
class _Limits:
    file: int
    total: int
    files: int


@dataclass(slots=True)
class _Pass:
    """One attempt at reading."""

    path: Path
    limits: _Limits
    files: dict[str, bytes] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    total: int = 0
    vanished: bool = False

    def complain(self, name: str, message: str) -> None:
        self.problems.append(Problem(f"{self.path}/{name}" if name else str(self.path), 0, 0, message))


def read(path: Path, *, max_file: int = 1 << 20, max_total: int = 16 << 20, max_files: int = 1000) -> Contents:
    """Read every file directly in `path`; sizes in bytes. ConfigError lists all that is wrong, an empty one too."""
    limits = _Limits(max_file, max_total, max_files)
    for _ in range(_ATTEMPTS):
        attempt = _Pass(path, limits)
        if _read_once(attempt):
            break
    else:
        raise ConfigError.about(path, "kept changing while it was read; try again when it is still")
    if not attempt.files and not attempt.problems:
        attempt.complain("", "holds no files")
    if attempt.problems:
        raise ConfigError(attempt.problems)
    return Contents(MappingProxyType(attempt.files), revision(attempt.files))


def revision(files: Mapping[str, bytes]) -> str:
    """SHA-256, in hex, over name, NUL, length (8 bytes, big-endian) and bytes of each file, sorted by name."""
    state = hashlib.sha256()
    for name in sorted(files):
        state.update(name.encode() + b"\0" + len(files[name]).to_bytes(8, "big"))
        state.update(files[name])
    return state.hexdigest()


def _read_once(attempt: _Pass) -> bool:
    """False if the directory changed underneath: what was read may be of two states."""
    try:
        with _opened(attempt.path) as top:
            target = _target(top)
            if target is None:
                return _read_still(attempt, top)
            with _opened(target, dir_fd=top) as directory:
                _read_all(attempt, directory)
            return _target(top) == target and not attempt.vanished
    except FileNotFoundError as error:
        if error.filename != str(attempt.path):
            return False  # the link's target went between the look and the open
        raise ConfigError.about(attempt.path, "doesn't exist; create it or correct the path") from None
    except OSError as error:
        raise ConfigError.about(attempt.path, f"can't be read: {error.strerror}") from None


def _target(top: int) -> str | None:
    """Where `..data` points, which must be a directory beside it, or None where there is no such link."""
    try:
        target = os.readlink(_LINK, dir_fd=top)
    except FileNotFoundError:
        return None
    if target in {".", ".."} or not _NAME.fullmatch(target):
        raise OSError(0, f"{_LINK} must be a link to a directory beside it")
    return target


def _read_still(attempt: _Pass, directory: int) -> bool:
    before = _signature(directory)
    _read_all(attempt, directory)
    return _signature(directory) == before and _target(directory) is None and not attempt.vanished


def _signature(directory: int) -> list[tuple[str, int, int, int]]:
    with os.scandir(directory) as entries:
        found = [(entry.name, entry.stat(follow_symlinks=False)) for entry in entries]
    return sorted((name, status.st_ino, status.st_size, status.st_mtime_ns) for name, status in found)


def _read_all(attempt: _Pass, directory: int) -> None:
    names = sorted(name for name in os.listdir(directory) if not _is_passed_over(directory, name))
    if len(names) > attempt.limits.files:
        attempt.complain("", f"holds {len(names)} files, more than {attempt.limits.files}")
        return
    for name in names:
        if not _NAME.fullmatch(name):
            attempt.complain(ascii(name), "a name may hold letters, digits, '-', '.' and '_'; rename it")
            continue
        try:
            _read_file(attempt, directory, name)
        except FileNotFoundError:
            attempt.vanished = True
            return
        except OSError as error:
            attempt.complain(name, f"can't be read: {error.strerror}")


def _is_passed_over(directory: int, name: str) -> bool:
    """The kubelet's own entries, and hidden folders such as .git. A hidden file is read: `.forbid.cedar` may be a key."""
    if name.startswith(".."):
        return True
    return name.startswith(".") and stat.S_ISDIR(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)


def _read_file(attempt: _Pass, directory: int, name: str) -> None:
    kind = _kind(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)
    if kind:
        attempt.complain(name, f"is {kind}; only regular files may stand here")
        return
    descriptor = os.open(name, _FILE, dir_fd=directory)
    try:
        if _kind(os.fstat(descriptor).st_mode):  # swapped between the look and the open
            attempt.vanished = True
            return
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            data = file.read(attempt.limits.file + 1)
    finally:
        os.close(descriptor)
    attempt.total += len(data)
    if len(data) > attempt.limits.file:
        attempt.complain(name, f"is larger than {attempt.limits.file} bytes")
    elif attempt.total > attempt.limits.total:
        attempt.complain(name, f"brings the directory over {attempt.limits.total} bytes")
    else:
        attempt.files[name] = data


def _kind(mode: int) -> str:
    """What a file is, in words, or nothing for a regular one."""
    if stat.S_ISREG(mode):
        return ""
    if stat.S_ISDIR(mode):
        return "a directory"
    return "a symbolic link" if stat.S_ISLNK(mode) else "no regular file"


@contextmanager
def _opened(path: Path | str, *, dir_fd: int | None = None) -> Iterator[int]:
    flags = _DIRECTORY if dir_fd is None else _DIRECTORY | os.O_NOFOLLOW
    descriptor = os.open(path, flags, dir_fd=dir_fd)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
