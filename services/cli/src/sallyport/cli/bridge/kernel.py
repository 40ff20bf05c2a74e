"""The calls to Linux that Python has no names for."""

from __future__ import annotations

import ctypes
import os
from typing import Any, Final

_libc: Final = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_SECCOMP: Final = 22
_PR_SET_CHILD_SUBREAPER: Final = 36
_PR_SET_NO_NEW_PRIVS: Final = 38
_SECCOMP_MODE_FILTER: Final = 2
_CAPABILITY_VERSION_3: Final = 0x20080522


def prctl(option: int, *arguments: Any) -> None:
    """Raises OSError."""
    padded = (*arguments, 0, 0, 0, 0)[:4]
    _checked(_libc.prctl(option, *(ctypes.c_ulong(value) if isinstance(value, int) else value for value in padded)))


def syscall(number: int, *arguments: Any) -> int:
    """Raises OSError."""
    found: int = _libc.syscall(ctypes.c_long(number), *arguments)
    return _checked(found)


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def hide() -> None:
    """Other processes of this user can't read our memory and environment."""
    prctl(_PR_SET_DUMPABLE, 0)


def adopt_orphans() -> None:
    """Descendants whose parent ends become our children, so none of them gets lost."""
    prctl(_PR_SET_CHILD_SUBREAPER, 1)


def end_with_parent(signal: int) -> None:
    prctl(_PR_SET_PDEATHSIG, signal)


def gain_nothing() -> None:
    """No program executed from here on gains rights, by setuid or otherwise."""
    prctl(_PR_SET_NO_NEW_PRIVS, 1)


def filter_calls(program: ctypes.Structure) -> None:
    prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program))


def drop_capabilities() -> None:
    """All of them; with no_new_privs they don't come back, to root neither."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    _checked(_libc.capset(header, (ctypes.c_uint32 * 6)()))
