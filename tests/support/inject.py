"""Throws an exception into a coroutine at its n-th suspension: every await point there is, not a list of them."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from typing import Any, TypeVar

T = TypeVar("T")


class Injected:
    """Awaitable. `hit` says whether the coroutine ever came to that point."""

    def __init__(self, work: Coroutine[Any, Any, T], point: int, error: BaseException) -> None:
        self._work = work
        self._point = point
        self._error = error
        self.hit = False

    def __await__(self) -> Generator[Any, Any, Any]:
        seen = 0
        try:
            waiting_for = self._work.send(None)
            while True:
                if seen == self._point:
                    self.hit = True
                    waiting_for = self._work.throw(self._error)
                    seen += 1
                    continue
                seen += 1
                try:
                    sent = yield waiting_for
                except BaseException as error:  # noqa: BLE001 — passed on to the coroutine, whatever it is
                    waiting_for = self._work.throw(error)
                else:
                    waiting_for = self._work.send(sent)
        except StopIteration as end:
            return end.value
