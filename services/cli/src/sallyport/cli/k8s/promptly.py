"""Calls that may hang, on threads that nobody waits for longer than said, not even at the end of the process."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

T = TypeVar("T")
HAND_OVER: Final = 0.2  # seconds for the result of a call that ends when it must


def gather(calls: Mapping[str, Callable[[], T]], until: float, parallel: int) -> Mapping[str, T]:
    """What those return that end by `until` (monotonic), by name. Raises what any of them raises."""
    until += HAND_OVER
    todo: queue.SimpleQueue[tuple[str, Callable[[], T]]] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[str, T] | Exception] = queue.SimpleQueue()
    for item in calls.items():
        todo.put(item)
    for _ in range(min(parallel, len(calls))):
        threading.Thread(target=_work, args=(todo, done, until), daemon=True).start()
    found: dict[str, T] = {}
    while len(found) < len(calls):
        try:
            ended = done.get(timeout=max(0.0, until - time.monotonic()))
        except queue.Empty:
            break
        if isinstance(ended, Exception):
            raise ended
        found[ended[0]] = ended[1]
    return found


def _work(
    todo: queue.SimpleQueue[tuple[str, Callable[[], T]]],
    done: queue.SimpleQueue[tuple[str, T] | Exception],
    until: float,
) -> None:
    while time.monotonic() < until:
        try:
            name, call = todo.get_nowait()
        except queue.Empty:
            return
        try:
            done.put((name, call()))
        except Exception as error:  # noqa: BLE001 — raised again by whoever waits
            done.put(error)
