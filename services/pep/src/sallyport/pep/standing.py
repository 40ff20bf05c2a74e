"""Whether what was permitted still is, while its stream goes on (N28)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, TypeAlias

from sallyport.pep.model import Caller, Proof

PATIENCE: Final = 5.0  # seconds without a word of the PDP; nothing is sent meanwhile
AGAIN: Final = 0.25  # seconds until it is asked once more


class Revoked(Exception):
    """The token or a policy has ended what was permitted, while it was being answered."""


class Unanswered(Exception):
    """Nobody says whether it still stands."""

    def __init__(self) -> None:
        super().__init__("no word of the PDP whether it still stands")


class No(Enum):
    """What is no permit."""

    PERMIT = "a policy no longer permits it"
    WORD = "the PDP didn't say"


Believed: TypeAlias = Callable[[Proof], bool]


def proven(caller: Caller, believed: Believed, wall: Callable[[], float] = time.time) -> None:
    """Raises Revoked where the token has ended, or is one that nobody would believe now."""
    if wall() >= caller.expires_at:
        raise Revoked("the token has expired")
    if not believed(caller.proof):
        raise Revoked("the key that signed the token is trusted no longer")


@dataclass(slots=True)
class Standing:
    """Asked before each frame. A policy's change is known within half a second; only then is anything decided anew."""

    caller: Caller
    believed: Believed
    revision: str  # by which it was permitted
    in_force: Callable[[], str]  # the revision that serves now; empty: unknown
    still: Callable[[], Awaitable[tuple[str, ...] | No]]  # asks the PDP anew: what a permit demands now
    obligations: tuple[str, ...] = ()  # of all permits so far: none of them is forgotten
    wall: Callable[[], float] = field(default=time.time)
    _deciding: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    async def check(self) -> None:
        """Returns once it is known that it stands. Raises Revoked or Unanswered."""
        if self.in_force() != self.revision:
            try:
                async with asyncio.timeout(PATIENCE), self._deciding:  # who looks and who sends ask one question
                    while (now := self.in_force()) != self.revision:
                        await self._decide(now)
            except TimeoutError:
                raise Unanswered from None
        proven(self.caller, self.believed, self.wall)

    async def _decide(self, now: str) -> None:
        proven(self.caller, self.believed, self.wall)  # whose token has ended waits for nobody's word
        demanded = await self.still() if now else No.WORD
        if demanded is No.PERMIT:
            raise Revoked(demanded.value)
        if demanded is No.WORD:
            await asyncio.sleep(AGAIN)
            return
        self.obligations = tuple(dict.fromkeys((*self.obligations, *demanded)))
        self.revision = now
