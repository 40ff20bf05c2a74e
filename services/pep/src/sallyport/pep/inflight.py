"""Requests that are being answered, so that whoever asked can give one up by its id (MCP, Cancellation).

Both eras also end a call by closing its connection; a legacy client only tells, and leaves the connection open.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

from sallyport.pep.model import Caller

_Key: TypeAlias = tuple[Caller, type, str | int]  # the caller by its token: two clients of one user count alike


class GivenUp(Exception):
    """The client no longer wants the answer."""

    def __init__(self) -> None:
        super().__init__("given up by the client")


@dataclass(eq=False, slots=True)
class _Running:
    task: asyncio.Task[object]
    given_up: bool = False


@dataclass(slots=True)
class InFlight:
    """One per process: another replica's requests aren't known here."""

    _running: dict[_Key, list[_Running]] = field(default_factory=dict)

    @contextmanager
    def one(self, caller: Caller, request_id: str | int | None) -> Iterator[None]:
        """Around all that a request does. Raises GivenUp, in place of the cancellation that ended it."""
        task = asyncio.current_task()
        if request_id is None or task is None:
            yield
            return
        key, this = _key(caller, request_id), _Running(task)
        self._running.setdefault(key, []).append(this)
        try:
            yield
        except asyncio.CancelledError:
            if not this.given_up or task.uncancel():  # the connection is closed as well
                raise
            raise GivenUp from None
        finally:
            self._running[key].remove(this)
            if not self._running[key]:
                del self._running[key]

    def give_up(self, caller: Caller, request_id: str | int) -> None:
        """End the caller's request of this id. Where two have it, nobody knows which is meant: neither ends."""
        found = self._running.get(_key(caller, request_id), [])
        if len(found) == 1 and not found[0].given_up:
            found[0].given_up = True
            found[0].task.cancel()


def _key(caller: Caller, request_id: str | int) -> _Key:
    return caller, type(request_id), request_id
