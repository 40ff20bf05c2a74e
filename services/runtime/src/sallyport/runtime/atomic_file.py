"""Write a file in one step, and read secrets only where nobody else can."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from pathlib import Path
from typing import Final

from sallyport.runtime.problems import ConfigError

MAX_SECRET_BYTES: Final = 1 << 20
MAX_PUBLIC_BYTES: Final = 16 << 20
_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_GROUP_READ: Final = 0o040
_OTHERS: Final = 0o077


def write(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace `path`: a reader, or a machine that loses power, finds the old bytes or the new ones. Raises OSError."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, _CREATE, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(descriptor, mode)  # past the umask, and before the name can be seen
            os.fsync(descriptor)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


def read_public(path: Path, most: int = MAX_PUBLIC_BYTES) -> bytes:
    """Read a file that anybody may read, through whatever links; ConfigError where it is none, or over `most` bytes."""
    try:
        descriptor = os.open(path, _READ & ~os.O_NOFOLLOW)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ConfigError.about(path, "is no regular file, and can't be read; correct the path")
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                data = file.read(most + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise ConfigError.about(path, f"can't be read ({error.strerror}); create it or correct the path") from None
    if len(data) > most:
        raise ConfigError.about(path, f"is larger than {most} bytes; correct the path")
    return data


def read_private(path: Path) -> bytes:
    """Read a secret that nobody but its owner can read; ConfigError says how to mend it.

    A link is followed only in the form the kubelet makes: `name -> ..data/name`. A group may read only what root owns
    and we don't: a Secret mounted with fsGroup.
    """
    try:
        descriptor = _open(path)
        try:
            return _read(descriptor, path)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise ConfigError.about(path, _unreadable(error)) from None


def _open(path: Path) -> int:
    try:
        return os.open(path, _READ)
    except OSError as error:
        if error.errno != errno.ELOOP or path.readlink() != Path("..data", path.name):
            raise
    directory = os.open(path.parent / "..data", _DIRECTORY)
    try:
        return os.open(path.name, _READ, dir_fd=directory)
    finally:
        os.close(directory)


def _read(descriptor: int, path: Path) -> bytes:
    if problem := _exposure(os.fstat(descriptor), path):
        raise ConfigError.about(path, problem)
    with os.fdopen(descriptor, "rb", closefd=False) as file:
        data = file.read(MAX_SECRET_BYTES + 1)
    if not data:
        raise ConfigError.about(path, "is empty; write the secret into it")
    if len(data) > MAX_SECRET_BYTES:
        raise ConfigError.about(path, f"is larger than {MAX_SECRET_BYTES} bytes; correct the path")
    return data


def _exposure(status: os.stat_result, path: Path) -> str:
    if not stat.S_ISREG(status.st_mode):
        return "is no regular file; correct the path"
    if status.st_uid not in {0, os.geteuid()}:
        return "belongs to another user, who can change it; own it yourself"
    mounted = status.st_uid == 0 and os.geteuid() != 0
    if status.st_mode & (_OTHERS & ~_GROUP_READ if mounted else _OTHERS):
        return f"others may read this secret; run: chmod 600 {path}"
    return ""


def _unreadable(error: OSError) -> str:
    if error.errno == errno.ELOOP:
        return "is a symbolic link; name the file itself"
    if error.errno == errno.ENOENT:
        return "doesn't exist; create it or correct the path"
    return f"can't be read: {error.strerror}"


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, _DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
