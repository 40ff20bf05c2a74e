"""How much memory the container has left, where one bounds us: by cgroup v2, or v1."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Final

_GROUP: Final = Path("/sys/fs/cgroup")
_UNBOUNDED: Final = 1 << 60  # v1 has a number for it: the largest, in whole pages
# The most, what is taken, and what of it is a file's bytes that nobody has used again and that can be had back.
_FORMS: Final = (
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"),
)
_STATM: Final = Path("/proc/self/statm")
_DATA: Final = 5  # proc_pid_statm(5): data and stack, in pages


def left(group: Path = _GROUP) -> int | None:
    """Bytes, none below 0; None where nothing bounds us, or nobody says so."""
    for most, taken, stat, cached in _FORMS:
        try:
            bound, now = (int((group / name).read_text()) for name in (most, taken))
            counted = dict(line.split() for line in (group / stat).read_text().splitlines())
            return None if bound >= _UNBOUNDED else max(0, bound - now + int(counted.get(cached, 0)))
        except (OSError, ValueError):  # not this form, or "max"
            continue
    return None


def own(statm: Path = _STATM) -> int:
    """Bytes of this process's data, as RLIMIT_DATA counts them; 0 where nobody says so."""
    try:
        return int(statm.read_text().split()[_DATA]) * resource.getpagesize()
    except (OSError, ValueError, IndexError):
        return 0
