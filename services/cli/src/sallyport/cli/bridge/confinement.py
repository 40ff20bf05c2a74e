"""What a server gives up between fork and exec; any of it that fails means that nothing is executed."""

from __future__ import annotations

import contextlib
import os
import resource
from pathlib import Path

from sallyport.cli.bridge import kernel, landlock, metadata
from sallyport.cli.bridge.plan import Limits, Plan

_MIB = 1 << 20


def unavailable(plan: Plan) -> str:
    """What of the plan this machine can't do, or ""."""
    if plan.read_only and not landlock.can_forbid_writes():
        return (
            "--read-only needs Landlock of Linux 6.2 or newer, and it isn't there, off, or forbidden in this container"
        )
    if plan.read_only and not metadata.can_freeze():
        return f"--read-only isn't known for {os.uname().machine}"
    if plan.limits.processes is not None and os.getuid() == 0:
        return "--processes means nothing to root"
    return ""


def confine(plan: Plan) -> None:
    """Raises OSError, ValueError or KeyError."""
    kernel.gain_nothing()
    _limit(plan.limits)
    landlock.enter(read_only=plan.read_only)
    if plan.read_only:
        metadata.freeze()
    kernel.drop_capabilities()


def _limit(limits: Limits) -> None:
    _lower(resource.RLIMIT_CORE, 0)
    if limits.cpu_seconds is not None:
        _lower(resource.RLIMIT_CPU, limits.cpu_seconds)
    if limits.memory_mib is not None:
        # Not the address space: Node reserves a gigabyte of that and uses little.
        _lower(resource.RLIMIT_DATA, limits.memory_mib * _MIB)
    if limits.files is not None:
        _lower(resource.RLIMIT_NOFILE, limits.files)
    if limits.processes is not None:
        _lower(resource.RLIMIT_NPROC, _threads_of(os.getuid()) + limits.processes)


def _lower(kind: int, most: int) -> None:
    _, hard = resource.getrlimit(kind)
    bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (bound, bound))


def _threads_of(user: int) -> int:
    """The kernel counts all of a user's threads, wherever they came from."""
    found = 0
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            fields = dict(line.partition(":")[::2] for line in status.read_text("utf-8", "replace").splitlines())
            found += int(fields["Threads"]) if int(fields["Uid"].split()[0]) == user else 0
    return found
