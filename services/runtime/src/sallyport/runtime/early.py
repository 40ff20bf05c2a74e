"""The first thing that a service's process does. Imports next to nothing: what comes before it is deaf.

Process 1 of a container isn't ended by a signal that it doesn't handle: one that came now would be lost.
"""

from __future__ import annotations

import os
import signal


def end_when_asked() -> None:
    """With 0, by SIGTERM or SIGINT, until `ending.Ending` takes over: nothing is open before."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))
