"""Whether streams still stand once the policies are others: asked evenly within a second, few at a time, each thing once.

All streams see another policy set at the same moment. Calls are asked for in between, and must not wait for them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias, TypeVar

from sallyport.pep.asked import Asked
from sallyport.pep.decision import Denied, Mismatch, server
from sallyport.pep.lists import Lists
from sallyport.pep.model import Caller, ResourceRef
from sallyport.pep.refusal import Reason

_LANE: Final = 4  # questions at once
_ASKING: Final = 1.0  # seconds for one answer
_WITHIN: Final = 1.0  # seconds over which those who ask are spread
_STEP: Final = 0.6180339887  # each next one so much later, modulo one: even, however many they are
_Found = TypeVar("_Found")
_Key: TypeAlias = tuple[Caller, str, str, tuple[ResourceRef, ...]]


@dataclass(slots=True)
class _Answer:
    permitted: bool | None = None  # None: there is none yet
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)


class Again:
    """One per process."""

    def __init__(self, lists: Lists) -> None:
        self._lists = lists
        self._lane = asyncio.Semaphore(_LANE)
        self._revision, self._answers = "", dict[_Key, _Answer]()
        self._turn = 0.0

    def turn(self) -> float:
        """In how many seconds it is the next stream's turn."""
        self._turn = (self._turn + _STEP) % 1.0
        return self._turn * _WITHIN

    async def in_lane(self, ask: Callable[[float], Awaitable[_Found]]) -> _Found:
        """Let it ask as soon as there is room; it is told until when."""
        async with self._lane:
            return await ask(time.monotonic() + _ASKING)

    async def permitted(self, asked: Asked, revision: str, refs: tuple[ResourceRef, ...]) -> bool | None:
        """Whether it still may listen, and to these, by the policies in force; None: the PDP didn't say."""
        if revision != self._revision:
            self._revision, self._answers = revision, {}
        answer = self._answers.setdefault((asked.caller, asked.server, asked.digest, refs), _Answer())
        async with answer.asking:
            if answer.permitted is None:
                answer.permitted = await self.in_lane(lambda until: self._ask(replace(asked, deadline=until), refs))
            return answer.permitted

    async def _ask(self, asked: Asked, refs: tuple[ResourceRef, ...]) -> bool | None:
        here = (ResourceRef(*server(asked.server)),)
        for action, wanted in (("subscriptions/listen", here), ("resources/subscribe", refs)):
            found = await self._lists.judged(action, wanted, asked)
            if _is_no_answer(found):
                return None
            if not isinstance(found, Mapping) or not found.keys() >= set(wanted):
                return False
            if any(found[ref] for ref in wanted if ref in here):  # what a stream of changes says can't be masked
                return False
        return True


def _is_no_answer(found: Mapping[ResourceRef, tuple[str, ...]] | Denied | Mismatch) -> bool:
    """Nor is one about another catalog: ours is about to be that one."""
    return isinstance(found, Mismatch) or (isinstance(found, Denied) and found.refusal.reason is Reason.NO_DECISION)
