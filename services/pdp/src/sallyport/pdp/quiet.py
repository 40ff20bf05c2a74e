"""How another thread builds a policy set without holding up the one that answers: both share one interpreter lock."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_SWITCH_SECONDS: Final = 0.0005  # each time the serving thread waits for the lock, it waits so long


@contextmanager
def building() -> Iterator[None]:
    """No collection of garbage meanwhile, and none that looks at what was built: it holds the lock until it is done."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_SECONDS)
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
        sys.setswitchinterval(interval)
