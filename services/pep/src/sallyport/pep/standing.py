"""Whether what was permitted still is, while its stream goes on (N28)."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from sallyport.pep.model import Caller


class Revoked(Exception):
    """The token or a policy has ended what was permitted, while it was being answered."""


@dataclass(slots=True)
class Standing:
    """Asked before each frame. A policy's change is known within half a second; only then is anything decided anew."""

    caller: Caller
    revision: str  # by which it was permitted
    in_force: Callable[[], str]  # the revision that serves now; empty: unknown
    still: Callable[[], Awaitable[tuple[str, ...] | None]]  # asks the PDP anew: what a permit demands now, or no permit
    obligations: tuple[str, ...] = ()  # of all permits so far: none of them is forgotten
    wall: Callable[[], float] = field(default=time.time)

    async def check(self) -> None:
        """Raises Revoked."""
        if self.wall() >= self.caller.expires_at:
            raise Revoked("the token has expired")
        now = self.in_force()
        if now == self.revision:
            return
        demanded = await self.still() if now else None
        if demanded is None:
            raise Revoked("a policy no longer permits it" if now else "no policy set serves")
        self.obligations = tuple(dict.fromkeys((*self.obligations, *demanded)))
        self.revision = now
