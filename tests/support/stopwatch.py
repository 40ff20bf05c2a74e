"""Time on a machine that has others to run, too: a bound is about what the tested takes, and not about its turn to run."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class Stopwatch:
    """Seconds since it was made, without those in which a thread of this process or of `pids` had to wait for a CPU."""

    def __init__(self, *pids: int) -> None:
        self._places = [Path(f"/proc/{who}/task") for who in ("self", *pids)]
        self._begun, self._before = time.monotonic(), self._all()

    @property
    def queued(self) -> float:
        """Of those since, the seconds spent waiting for a CPU."""
        return max(0.0, self._all() - self._before)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._begun - self.queued

    def _all(self) -> float:
        return sum(_waited(thread) for place in self._places for thread in place.glob("*/schedstat"))


def _waited(thread: Path) -> float:
    """The kernel's own count; 0 where it keeps none, or the thread has gone."""
    with suppress(OSError):
        return int(thread.read_text().split()[1]) / 1e9
    return 0.0


@contextmanager
def own_garbage() -> Iterator[None]:
    """Meanwhile the collector looks through nothing that was there before: others' objects are no part of what is tested."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
