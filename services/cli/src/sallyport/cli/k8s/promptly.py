"""Calls that may hang, on threads that nobody waits for longer than said, not even at the end of the process."""

from __future__ import annotations

import contextlib
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
    workers = [
        threading.Thread(target=_work, args=(todo, done, until), daemon=True) for _ in range(min(parallel, len(calls)))
    ]
    for worker in workers:
        worker.start()
    try:
        return _found(done, len(calls), until)
    finally:
        # A thread that a process's end catches inside a library of compiled code can abort it: none is left but a stuck one.
        _empty(todo)
        for worker in workers:
            worker.join(max(0.0, until - time.monotonic()))


def _found(done: queue.SimpleQueue[tuple[str, T] | Exception], count: int, until: float) -> Mapping[str, T]:
    found: dict[str, T] = {}
    while len(found) < count:
        try:
            ended = done.get(timeout=max(0.0, until - time.monotonic()))
        except queue.Empty:
            break
        if isinstance(ended, Exception):
            raise ended
        found[ended[0]] = ended[1]
    return found


def _empty(todo: queue.SimpleQueue[tuple[str, Callable[[], T]]]) -> None:
    with contextlib.suppress(queue.Empty):
        while True:
            todo.get_nowait()


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
