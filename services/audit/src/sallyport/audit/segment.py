"""The files beneath a stream: whole writes, one flush, cut back after a failure; and space kept for the last words."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sallyport.audit.stream import segment_name, sync_folder

RESERVE_BYTES: Final = 1 << 20
FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC


def flush(descriptor: int) -> None:
    """The strongest flush that the platform has: F_FULLFSYNC (macOS), else fdatasync."""
    if hasattr(fcntl, "F_FULLFSYNC"):
        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
    else:
        os.fdatasync(descriptor)


@dataclass(frozen=True, slots=True)
class Disk:
    """The two calls that fail in the field, so that a test can make them fail."""

    write: Callable[[int, bytes | memoryview], int] = os.write
    flush: Callable[[int], None] = flush


class Segments:
    """Appends to the newest segment. After an OSError from `append`, `cut_back` must succeed before the next one."""

    def __init__(self, folder: Path, disk: Disk, limit: int) -> None:
        self.folder = folder
        self._disk = disk
        self._limit = limit
        self._number = 0
        self._descriptor = -1
        self._durable = 0  # bytes of the newest segment known to be on disk
        self._suspect = False  # a flush failed: the kernel may have dropped pages and says so only once

    def append(self, data: bytes) -> None:
        """Write all of it and flush; OSError if that isn't certain."""
        if self._descriptor < 0 or self._durable >= self._limit:
            self._next()
        self._write(data)
        self._flush()
        self._still_there()
        self._durable += len(data)

    def cut_back(self) -> None:
        """Remove what was written since the last certain record. A segment that failed to flush is left for a new one."""
        if self._descriptor < 0:
            return
        os.ftruncate(self._descriptor, self._durable)
        self._flush()
        if self._suspect:
            self._leave()

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._disk.write(self._descriptor, rest) :]
        except OSError as error:
            self._suspect = error.errno not in FULL  # EFBIG, EIO: only another file can help
            raise

    def _flush(self) -> None:
        try:
            self._disk.flush(self._descriptor)
        except OSError:
            self._suspect = True
            raise

    def _still_there(self) -> None:
        """A file without its name is gone with the process: what was flushed into it is no record."""
        try:
            named = (self.folder / segment_name(self._number)).lstat()
        except FileNotFoundError:
            named = None
        if named is None or not os.path.samestat(named, os.fstat(self._descriptor)):
            self._suspect = True
            raise FileNotFoundError(errno.ENOENT, "the segment was removed or replaced while it was written")

    def _next(self) -> None:
        """The new segment's name is durable before anything in it counts."""
        self.close()
        descriptor = os.open(self.folder / segment_name(self._number + 1), _FLAGS, 0o600)
        self._descriptor, self._durable, self._suspect = descriptor, 0, True
        self._number += 1
        sync_folder(self.folder)
        self._suspect = False

    def _leave(self) -> None:
        self.close()
        if self._durable == 0:
            (self.folder / segment_name(self._number)).unlink()
            self._number -= 1
        self._suspect = False


class Reserve:
    """1 MiB that is ours on a full disk: given up for a gap, a checkpoint and the close, and taken back before more."""

    def __init__(self, folder: Path) -> None:
        self.held = False
        self.move(folder)

    def move(self, folder: Path) -> None:
        self._path = folder / "reserve"

    def take(self) -> None:
        """OSError (ENOSPC) while the disk is full: that is how we know."""
        if self.held:
            return
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _allocate(descriptor)
        except OSError:
            self._path.unlink()
            raise
        finally:
            os.close(descriptor)
        self.held = True

    def release(self) -> None:
        self.held = False
        with suppress(OSError):  # nothing to do about it: the next write tells
            self._path.unlink()


def _allocate(descriptor: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, RESERVE_BYTES)
    else:
        os.write(descriptor, bytes(RESERVE_BYTES))
