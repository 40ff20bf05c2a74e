"""Blocking work on handles; each function runs in a thread, to its end."""

from __future__ import annotations

import ctypes
import errno
import heapq
import os
import secrets
import stat
import sys
from itertools import islice
from typing import Final

from sallyport.pep.model import Json
from sallyport.pep.tools.files.paths import RESERVED, is_name
from sallyport.pep.tools.files.root import Handle
from sallyport.pep.tools.hosted import ToolFailure

MAX_ENTRIES: Final = 1000
MAX_SCAN: Final = 100_000  # names looked at in one folder
MAX_FILE: Final = 1 << 20  # bytes written at once
_NOREPLACE: Final = 1  # linux/fs.h
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_CHANGED: Final = "the file was changed by somebody else meanwhile; nothing was done, try again"
_MISSING: Final = "file not found"


def entries(folder: int) -> tuple[list[dict[str, Json]], bool]:
    """The first entries by name, and whether there are more. Names that can't stand in a path here are left out."""
    with os.scandir(folder) as scan:
        seen = list(islice(scan, MAX_SCAN + 1))
        fit = heapq.nsmallest(MAX_ENTRIES + 1, (entry for entry in seen if is_name(entry.name)), key=_name)
        shown = [described for entry in fit[:MAX_ENTRIES] if (described := _describe(entry)) is not None]
    return shown, len(fit) > MAX_ENTRIES or len(seen) > MAX_SCAN


def _name(entry: os.DirEntry[str]) -> str:
    return entry.name


def _describe(entry: os.DirEntry[str]) -> dict[str, Json] | None:
    try:
        status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None
    if stat.S_ISREG(status.st_mode):
        return {"name": entry.name, "type": "file", "size": status.st_size}
    kinds = {stat.S_IFDIR: "folder", stat.S_IFLNK: "symlink"}
    return {"name": entry.name, "type": kinds.get(stat.S_IFMT(status.st_mode), "other")}


def read(handle: Handle, cap: int) -> bytes:
    """The whole file, of at most `cap` bytes."""
    if handle.descriptor is None:
        raise ToolFailure(_MISSING)
    chunks: list[bytes] = []
    size = 0
    while chunk := os.pread(handle.descriptor, cap + 1 - size, size):
        chunks.append(chunk)
        size += len(chunk)
        if size > cap:
            raise ToolFailure(f"the file is larger than {cap} bytes, the most that one call returns")
    return b"".join(chunks)


def write(handle: Handle, data: bytes, *, overwrite: bool) -> None:
    """Put `data` under the judged name: a reader, and a crash, see the old content or the new, nothing between."""
    if len(data) > MAX_FILE:
        raise ToolFailure(f"the content is larger than {MAX_FILE} bytes; write less")
    if handle.descriptor is not None and not overwrite:
        raise ToolFailure("the file exists; set overwrite to true to replace it")
    temporary = f"{RESERVED}{secrets.token_hex(8)}"
    try:
        _write_new(handle.parent, temporary, data)
        _put_in_place(handle, temporary)
    except OSError as error:
        _remove(handle.parent, temporary)
        raise ToolFailure(
            f"the file can't be written ({os.strerror(error.errno or 0)}); nothing was changed"
        ) from error
    except BaseException:
        _remove(handle.parent, temporary)
        raise
    os.fsync(handle.parent)


def delete(handle: Handle) -> None:
    """Remove the judged file, and no other that took its name since."""
    if handle.descriptor is None:
        raise ToolFailure(_MISSING)
    if not handle.still_there():
        raise ToolFailure(_CHANGED)
    try:
        os.unlink(handle.name, dir_fd=handle.parent)
    except OSError as error:
        raise ToolFailure(f"the file can't be deleted ({os.strerror(error.errno or 0)})") from error
    os.fsync(handle.parent)


def _write_new(parent: int, name: str, data: bytes) -> None:
    descriptor = os.open(name, _NEW, 0o600, dir_fd=parent)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def _put_in_place(handle: Handle, temporary: str) -> None:
    if handle.descriptor is None:
        try:
            _rename_new(handle.parent, temporary, handle.name)
        except FileExistsError:
            raise ToolFailure(_CHANGED) from None
        return
    if not handle.still_there():
        raise ToolFailure(_CHANGED)
    os.rename(temporary, handle.name, src_dir_fd=handle.parent, dst_dir_fd=handle.parent)


def _rename_new(parent: int, source: str, target: str) -> None:
    """Rename, but never over an existing name; FileExistsError if there is one."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if sys.platform == "linux" else None
    if rename is not None:
        if rename(parent, os.fsencode(source), parent, os.fsencode(target), _NOREPLACE) == 0:
            return
        code = ctypes.get_errno()
        if code not in {errno.ENOSYS, errno.EINVAL}:
            raise OSError(code, os.strerror(code))
    link_new(parent, source, target)


def link_new(parent: int, source: str, target: str) -> None:
    """The same for systems without renameat2: link(2) never replaces (for a moment the file has two names)."""
    os.link(source, target, src_dir_fd=parent, dst_dir_fd=parent, follow_symlinks=False)
    os.unlink(source, dir_fd=parent)


def _remove(parent: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        return
