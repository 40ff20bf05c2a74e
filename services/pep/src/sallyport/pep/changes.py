"""Who hears that a list has changed: streams of clients, told by whatever knows, once a second at most."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeAlias

# Kinds of lists; none: nothing to say, but look whether all still stands.
Hear: TypeAlias = Callable[[frozenset[str]], None]

KINDS: Final = frozenset({"tools", "prompts", "resources"})
_EVERY: Final = 1.0  # seconds between two tellings: an upstream may say it as often as it likes


@dataclass(frozen=True, slots=True)
class _Hearing:
    hear: Hear
    concerns: Callable[[str, str], bool]


class Changes:
    """One per process. What is told waits for the next telling; only that goes through all streams."""

    def __init__(self) -> None:
        self._hearing: dict[int, _Hearing] = {}
        self._next = 0
        self._changed: set[tuple[str, str]] = set()
        self._told_at = float("-inf")
        self._telling: asyncio.TimerHandle | None = None

    @contextmanager
    def heard(self, hear: Hear, concerns: Callable[[str, str], bool]) -> Iterator[None]:
        """Within, `hear` is told of lists for which `concerns` holds: of an upstream (or "", any), and their kind."""
        self._next += 1
        mine = self._next
        self._hearing[mine] = _Hearing(hear, concerns)
        try:
            yield
        finally:
            del self._hearing[mine]

    def tell(self, *changed: str, upstream: str = "") -> None:
        """Lists of these kinds may look different now, to somebody who is shown what this upstream has."""
        self._changed.update((upstream, kind) for kind in changed)
        if self._telling is None:
            loop = asyncio.get_running_loop()
            self._telling = loop.call_at(max(loop.time(), self._told_at + _EVERY), self._tell)

    def policies_changed(self) -> None:
        """Another policy set serves: every list may be another, and nothing stands that isn't asked anew."""
        for one in list(self._hearing.values()):
            one.hear(frozenset(kind for kind in KINDS if one.concerns("", kind)))

    def keys_changed(self) -> None:
        """Other token keys are believed: no list is another for that, but who came by a key that went has to go."""
        for one in list(self._hearing.values()):
            one.hear(frozenset())

    def close(self) -> None:
        """Nobody is told any more."""
        if self._telling is not None:
            self._telling.cancel()

    def _tell(self) -> None:
        self._told_at, self._telling = asyncio.get_running_loop().time(), None
        changed, self._changed = self._changed, set()
        for one in list(self._hearing.values()):
            kinds = frozenset(kind for upstream, kind in changed if one.concerns(upstream, kind))
            if kinds:
                one.hear(kinds)
