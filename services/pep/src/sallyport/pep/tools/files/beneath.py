"""Opens names beneath an open directory, and never anything else (CWE-22, CWE-59, CWE-367).

Linux has openat2(2), which refuses symlinks, magic links, ".." and mount points within the kernel, so no race can
slip between check and use. Elsewhere each component is opened by the descriptor of the one before it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

Opener: TypeAlias = Callable[[int, Sequence[str], int], int]

_OPENAT2: Final = 437  # the same on every architecture
_NO_XDEV, _NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH = 0x01, 0x02, 0x04, 0x08  # linux/openat2.h
_RESOLVE: Final = _BENEATH | _NO_SYMLINKS | _NO_MAGICLINKS | _NO_XDEV
_TRIES: Final = 8  # EAGAIN: something was renamed during the walk
FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: opening a FIFO must not wait for its writer.
FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


_syscall: Final = ctypes.CDLL(None, use_errno=True).syscall
_syscall.restype = ctypes.c_long
_syscall.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t)


class _How(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def opener(root: int) -> Opener:
    """The strictest way to open that this kernel (and its seccomp profile) has."""
    if sys.platform != "linux":
        return open_by_walking
    try:
        os.close(open_in_kernel(root, (), FOLDER))
    except OSError as error:
        if error.errno in {errno.ENOSYS, errno.EPERM, errno.E2BIG, errno.EINVAL}:
            return open_by_walking
        raise
    return open_in_kernel


def open_in_kernel(root: int, names: Sequence[str], flags: int) -> int:
    """openat2(2). Raises OSError: ELOOP for a symlink, EXDEV for what leads out."""
    how = _How(flags, 0, _RESOLVE)
    path = os.fsencode("/".join(names) or ".")
    for _ in range(_TRIES):
        descriptor = int(_syscall(_OPENAT2, root, path, ctypes.byref(how), ctypes.sizeof(how)))
        if descriptor >= 0:
            return descriptor
        if ctypes.get_errno() not in {errno.EAGAIN, errno.EINTR}:
            break
    code = ctypes.get_errno()
    raise OSError(code, os.strerror(code))


def open_by_walking(root: int, names: Sequence[str], flags: int) -> int:
    """The same component by component, each O_NOFOLLOW beneath the one before it and on the root's device."""
    if not names:
        return os.open(".", flags, dir_fd=root)
    device = os.fstat(root).st_dev
    here = _step(root, ".", FOLDER, device)
    for position, name in enumerate(names):
        try:
            _check_spelling(here, name)
            following = _step(here, name, flags if position == len(names) - 1 else FOLDER, device)
        finally:
            os.close(here)
        here = following
    return here


def _check_spelling(folder: int, name: str) -> None:
    """A file system that folds case or Unicode would open another spelling than the one that is judged."""
    if name not in os.listdir(folder):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))


def _step(folder: int, name: str, flags: int, device: int) -> int:
    descriptor = os.open(name, flags, dir_fd=folder)
    if os.fstat(descriptor).st_dev == device:
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
