"""Where streams live: `<audit>/<stream>/000001.jsonl`, a lock that tells the living from the dead, safe opening."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final

from sallyport.audit.errors import AuditUnavailable
from sallyport.audit.record import clean

LOCK: Final = "lock"
_SERVICE: Final = re.compile(r"[a-z][a-z0-9_]{0,31}", re.ASCII)
_SEGMENT: Final = re.compile(r"\d{6}\.jsonl", re.ASCII)
_START_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.02


@dataclass(frozen=True, slots=True)
class Source:
    """One segment to read: its name, and how to open it from the start."""

    name: str
    open: Callable[[], BinaryIO]


def new_name(service: str, wall_ns: int) -> str:
    """`pep-20261121T100000.000000Z-1a2b3c4d`: sorts by start, never meets another's."""
    if not _SERVICE.fullmatch(service):
        raise ValueError("a service's name is a lower-case letter, then up to 31 of a-z 0-9 _")
    seconds, rest = divmod(wall_ns, 1_000_000_000)
    start = time.strftime("%Y%m%dT%H%M%S", time.gmtime(seconds))
    return f"{service}-{start}.{rest // 1000:06d}Z-{secrets.token_hex(4)}"


def service_of(stream: str) -> str:
    return stream.split("-", 1)[0]


def segment_name(number: int) -> str:
    return f"{number:06d}.jsonl"


def streams(directory: Path) -> list[str]:
    """All streams beneath, oldest first. Every folder counts, whatever its name: a renamed stream is tampered with."""
    with os.scandir(directory) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))


def sources(folder: Path) -> list[Source]:
    """The segments of one stream in order, to be read as hostile files."""
    names = sorted(path.name for path in folder.iterdir() if _SEGMENT.fullmatch(path.name))
    return [Source(name, partial(_open_regular, folder / name)) for name in names]


def irregular(folder: Path) -> str:
    """What doesn't belong in a stream's folder, in words; empty if all does. A record that isn't read isn't verified."""
    if folder.is_symlink():
        return "it is a link to another folder"
    for path in folder.iterdir():
        if path.name.endswith(".jsonl") and not _SEGMENT.fullmatch(path.name):
            return f"{clean(path.name, 64)} is no segment's name"
        if _SEGMENT.fullmatch(path.name) and not stat.S_ISREG(path.stat(follow_symlinks=False).st_mode):
            return f"{path.name} is no regular file"
    return ""


def discard_unborn(directory: Path, service: str) -> None:
    """Remove what a process left that died before its stream was visible: nothing in it was ever acknowledged."""
    for path in directory.glob(f".{service}-*Z-*"):
        if not is_locked(path):
            shutil.rmtree(path, ignore_errors=True)


def lock(folder: Path) -> int:
    """Take a new stream's lock; the descriptor holds it until it is closed, a kill included."""
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return descriptor


def lock_inode(folder: Path) -> int:
    """0 if there is none."""
    try:
        return (folder / LOCK).stat(follow_symlinks=False).st_ino
    except OSError:
        return 0


def is_locked(folder: Path) -> bool:
    """Whether a living process writes this stream, as far as the lock tells."""
    try:
        descriptor = os.open(folder / LOCK, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


@contextmanager
def starting(directory: Path, service: str) -> Iterator[None]:
    """One process of a service starts at a time, so no intent is given two outcomes by two successors."""
    descriptor = os.open(directory / f".{service}.start", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _wait_for(descriptor, time.monotonic() + _START_SECONDS)
        yield
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Make names durable: a synced file in an unsynced directory can vanish."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _wait_for(descriptor: int, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise AuditUnavailable("another process of this service has been starting for 10 s") from None
            time.sleep(_POLL_SECONDS)
        else:
            return


def _open_regular(path: Path) -> BinaryIO:
    """No link is followed and no pipe is waited on: the folder may be an opponent's."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return os.fdopen(descriptor, "rb", buffering=1 << 16)
    os.close(descriptor)
    raise OSError(f"{path.name} is no regular file")
