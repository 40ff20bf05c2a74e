"""What Landlock lets pass: changing modes, owners, times and attributes of files. A seccomp filter refuses those calls."""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass
from typing import Final

from sallyport.cli.bridge import kernel


@dataclass(frozen=True, slots=True)
class _Machine:
    audit: int  # AUDIT_ARCH_…
    calls: tuple[int, ...]


# fchmodat2, setxattrat, removexattrat, file_setattr; io_uring_setup, since a ring makes calls that no filter sees.
_EVERYWHERE: Final = (452, 463, 466, 469, 425)
_MACHINES: Final = {
    # chmod fchmod fchmodat chown fchown lchown fchownat utime utimes futimesat utimensat, three setxattr, three removexattr
    "x86_64": _Machine(
        0xC000003E,
        (90, 91, 268, 92, 93, 94, 260, 132, 235, 261, 280, 188, 189, 190, 197, 198, 199, *_EVERYWHERE),
    ),
    # fchmod fchmodat fchownat fchown utimensat, three setxattr, three removexattr
    "aarch64": _Machine(0xC00000B7, (52, 53, 54, 55, 88, 5, 6, 7, 14, 15, 16, *_EVERYWHERE)),
}
_LOAD_WORD: Final = 0x20
_IF_EQUAL: Final = 0x15
_IF_AT_LEAST: Final = 0x35
_RETURN: Final = 0x06
_NUMBER, _ARCHITECTURE = 0, 4  # offsets in struct seccomp_data
_X32: Final = 0x40000000  # a second numbering of x86_64's calls
_ALLOW: Final = 0x7FFF0000
_REFUSE: Final = 0x00050000 | 1  # EPERM


class _Step(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint16), ("then", ctypes.c_uint8), ("other", ctypes.c_uint8), ("k", ctypes.c_uint32))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("steps", ctypes.POINTER(_Step)))


def can_freeze() -> bool:
    return os.uname().machine in _MACHINES


def freeze() -> None:
    """Needs no_new_privs. Raises KeyError on a machine whose calls aren't known here, and OSError."""
    steps = _steps(_MACHINES[os.uname().machine])
    kernel.filter_calls(_Program(len(steps), (_Step * len(steps))(*steps)))


def _steps(machine: _Machine) -> list[_Step]:
    """Jumps count the steps that are left out; the last step refuses, the one before it allows."""
    tests = [_Step(_IF_AT_LEAST, 0, 0, _X32), *(_Step(_IF_EQUAL, 0, 0, call) for call in machine.calls)]
    for place, test in enumerate(tests):
        test.then = len(tests) - place  # past the other tests and the allowing step
    foreign = _Step(_IF_EQUAL, 0, len(tests) + 2, machine.audit)  # 32-bit calls have other numbers
    head = [_Step(_LOAD_WORD, 0, 0, _ARCHITECTURE), foreign, _Step(_LOAD_WORD, 0, 0, _NUMBER)]
    return [*head, *tests, _Step(_RETURN, 0, 0, _ALLOW), _Step(_RETURN, 0, 0, _REFUSE)]
