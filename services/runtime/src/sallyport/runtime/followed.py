"""What is built from files that others replace while we serve: a renewed certificate, an issuer's next keys.

The files' bytes are compared, not their times: the kubelet swings a link, and a restored file may be an old one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

import structlog

from sallyport.runtime.problems import ConfigError

T = TypeVar("T")
_POLL: Final = 1.0  # seconds between two looks; a change is taken at the second look that sees it
_AGAIN: Final = 30.0  # seconds until the same refused bytes are built from once more: some take long to refuse
_ATTEMPTS: Final = 8  # changes that may happen while we build, before a start gives up
_log: Final = structlog.get_logger()


def _anything(_served: Any, _made: Any) -> None:
    """Whatever could be built may take the old one's place."""


class Followed(Generic[T]):
    """`value` is the last that could be built; who uses it asks for it anew each time. What is broken never gets there."""

    def __init__(
        self,
        what: str,
        state: Callable[[], str],
        build: Callable[[], T],
        fit: Callable[[T, T], None] = _anything,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`what` names it to operators; equal `state`s build equal values. Either may raise ConfigError, here too.

        `fit`, of what serves and what was built, raises ConfigError for what a start may serve, but what may not
        replace that.
        """
        self.what = what
        self.failure = ""  # why what the files hold now isn't what serves
        self._state, self._build, self._fit, self._clock = state, build, fit, clock
        self._refused, self._again = "", 0.0  # the state that was, and when it is tried once more
        self._taken, self.value = self._first()
        self._before = self._taken

    def look(self) -> bool:
        """Look at the files; True where something else serves from now on. It reads files, so not on the loop."""
        seen = self._seen()
        still, self._before = seen == self._before, seen
        if not still:
            return False  # somebody may be writing it: half of a CA file is a CA file that lacks a CA
        if seen == self._taken:
            self._tell("")
            self._refused = ""
            return False
        if seen == self._refused and self._clock() < self._again:
            return False
        return self._try(seen)

    async def watch(self, then: Callable[[T, T], None] = lambda _older, _newer: None, *, poll: float = _POLL) -> None:
        """Look every `poll` seconds until cancelled; `then` hears on the loop what served and what serves now."""
        while True:
            await asyncio.sleep(poll)
            older = self.value
            try:
                if await asyncio.to_thread(self.look):
                    then(older, self.value)
            except Exception as error:  # noqa: BLE001 — a watch that ends would freeze what serves, silently
                _log.error("following files broke; it goes on", what=self.what, error=type(error).__name__)

    def _first(self) -> tuple[str, T]:
        for _ in range(_ATTEMPTS):
            seen = self._state()
            made = self._made(seen)
            if made is not None:
                return seen, made
        raise ConfigError.about(self.what, "its files kept changing while they were read; start when they are still")

    def _made(self, seen: str) -> T | None:
        """What was built of this very state; None where it changed underneath. Raises ConfigError."""
        try:
            made = self._build()
        except ConfigError:
            if self._state() == seen:
                raise
            return None
        return made if self._state() == seen else None

    def _seen(self) -> str:
        try:
            return self._state()
        except ConfigError as error:
            return f"unreadable: {error}"

    def _try(self, seen: str) -> bool:
        """Once more from time to time, as long as it isn't taken: a certificate may only become valid in a moment."""
        try:
            made = self._made(seen)
            if made is None:
                return False
            self._fit(self.value, made)
        except ConfigError as error:
            self._refuse(seen, str(error))
        except Exception as error:  # noqa: BLE001 — whatever breaks the builder is no reason to stop serving
            self._refuse(seen, f"can't be used: {type(error).__name__}")
        else:
            self.value, self._taken, self.failure, self._refused = made, seen, "", ""
            _log.info("replaced", what=self.what)
            return True
        return False

    def _refuse(self, seen: str, failure: str) -> None:
        self._refused, self._again = seen, self._clock() + _AGAIN
        self._tell(failure)

    def _tell(self, failure: str) -> None:
        """A line at each change, not at each look."""
        if failure == self.failure:
            return
        self.failure = failure
        if failure:
            _log.error("replacement refused; the last good one serves", what=self.what, problem=failure)
        else:
            _log.info("the files hold again what serves", what=self.what)
