"""Who asks without a key of ours: counted and said, or whoever tries every minute would leave no trace.

Loopback is everybody's in the pod, so what is said of a flood is bounded: the first at once, then a line a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, TypeAlias

import structlog

Later: TypeAlias = Callable[[float, Callable[[], None]], object]
EVERY: Final = 1.0  # seconds between two lines
_log: Final = structlog.get_logger()


def _later(seconds: float, then: Callable[[], None]) -> None:
    asyncio.get_running_loop().call_later(seconds, then)


class Strangers:
    """One for the process. `total` is how many questions came so far that no key of ours has sealed."""

    def __init__(self, later: Later = _later) -> None:
        self._later = later
        self._said = 0
        self._quiet = True
        self.total = 0

    def saw(self) -> None:
        """One more. Nothing of it is believed, so nothing of it is told."""
        self.total += 1
        if self._quiet:
            self._say()

    def _say(self) -> None:
        """What came since the last line; as long as any come, once more after a while."""
        count, self._said = self.total - self._said, self.total
        self._quiet = not count
        if count:
            _log.warning("sealed by nobody we know", count=count, total=self.total)
            self._later(EVERY, self._say)
