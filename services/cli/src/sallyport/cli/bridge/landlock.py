"""Landlock (landlock(7)): a process gives up rights, for itself and all that it starts, without asking anybody."""

from __future__ import annotations

import ctypes
import os
from typing import Final

from sallyport.cli.bridge import kernel

_CREATE_RULESET: Final = 444  # the numbers are the same on every architecture
_ADD_RULE: Final = 445
_RESTRICT_SELF: Final = 446
_VERSION: Final = 1
_PATH_BENEATH: Final = 1
_WRITE_FILE: Final = 1 << 1
_TRUNCATE: Final = 1 << 14
# Write, remove and make anything, link or rename across directories, truncate.
_ALL_WRITES: Final = _WRITE_FILE | sum(1 << bit for bit in range(4, 14)) | _TRUNCATE
_SIGNALS: Final = 1 << 1
_KNOWS_TRUNCATE: Final = 3  # Linux 6.2
_KNOWS_SIGNALS: Final = 6  # Linux 6.12


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def version() -> int:
    """0 where it isn't there, or forbidden."""
    try:
        return kernel.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION))
    except OSError:
        return 0


def can_forbid_writes() -> bool:
    return version() >= _KNOWS_TRUNCATE


def enter(*, read_only: bool) -> None:
    """Where the kernel can: signal and trace nobody outside. With `read_only`, which must be had: write no file.

    Raises OSError.
    """
    scoped = _SIGNALS if version() >= _KNOWS_SIGNALS else 0
    if not (scoped or read_only):
        return
    wanted = _Ruleset(files=_ALL_WRITES if read_only else 0, scoped=scoped)
    rules = kernel.syscall(
        _CREATE_RULESET, ctypes.byref(wanted), ctypes.c_size_t(ctypes.sizeof(wanted)), ctypes.c_uint32(0)
    )
    if read_only:
        _allow(rules, os.devnull)
    kernel.syscall(_RESTRICT_SELF, ctypes.c_int(rules), ctypes.c_uint32(0))
    os.close(rules)


def _allow(rules: int, path: str) -> None:
    parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
    rule = _Beneath(allowed=_WRITE_FILE | _TRUNCATE, parent=parent)
    kernel.syscall(_ADD_RULE, ctypes.c_int(rules), ctypes.c_int(_PATH_BENEATH), ctypes.byref(rule), ctypes.c_uint32(0))
    os.close(parent)
