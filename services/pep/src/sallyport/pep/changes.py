"""Who hears that a list has changed: streams of clients, told by whatever knows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeAlias

from sallyport.pep.model import Json

# Method and params of the notification; an empty method: nothing to say, but look whether all still stands.
Hear: TypeAlias = Callable[[str, dict[str, Json]], None]

KINDS: Final = frozenset({"tools", "prompts", "resources"})


class Changes:
    """One per process. Telling costs a call each; what is heard is sent later, by whoever heard it."""

    def __init__(self) -> None:
        self._hearing: dict[int, tuple[Hear, frozenset[str]]] = {}
        self._next = 0

    @contextmanager
    def heard(self, hear: Hear, kinds: frozenset[str]) -> Iterator[None]:
        """Within, `hear` is told of these kinds of lists."""
        self._next += 1
        mine = self._next
        self._hearing[mine] = (hear, kinds)
        try:
            yield
        finally:
            del self._hearing[mine]

    def tell(self, *changed: str) -> None:
        """Lists of these kinds may look different now, to somebody."""
        for hear, kinds in list(self._hearing.values()):
            for kind in kinds.intersection(changed):
                hear(f"notifications/{kind}/list_changed", {})

    def policies_changed(self) -> None:
        """Another policy set serves: every list may be another, and nothing stands that isn't asked anew."""
        self.tell(*KINDS)
        for hear, _ in list(self._hearing.values()):
            hear("", {})
