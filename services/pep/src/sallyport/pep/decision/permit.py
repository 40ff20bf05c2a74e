"""The permit: proof that the PDP said yes to exactly this call. Made here and nowhere else.

It is single use, names the call it was given for, and dies after a second or with the token, pool waits included.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from sallyport.pep.decision.counts import Reservation
from sallyport.pep.model import Caller, CheckedCall, Identity, Resolved

LIFETIME: Final = 1.0  # seconds
_MAKER: Final = object()


class PermitRefused(Exception):
    """The permit doesn't stand for this call, was used before, or is dead."""


class Permit:
    """Redeem it where the effect begins. `tool_name` and `arguments_digest` are those that the PDP judged."""

    __slots__ = (
        "_dies",
        "_now",
        "_over",
        "_redeemed",
        "_reservation",
        "_token_dies",
        "_wall",
        "arguments_digest",
        "catalog_digest",
        "decision_id",
        "identity",
        "method",
        "obligations",
        "reasons",
        "resolved",
        "revision",
        "tool_name",
    )

    def __init__(  # noqa: PLR0913 — a permit states everything it stands for
        self,
        maker: object,
        *,
        caller: Caller,
        call: CheckedCall,
        identity: Identity,
        resolved: tuple[Resolved, ...],
        revision: str,
        reasons: Sequence[str],
        obligations: Sequence[str],
        reservation: Reservation,
        now: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        if maker is not _MAKER:
            raise TypeError("only the decision room makes a permit")
        self.decision_id = identity.decision_id
        self.method = call.method
        self.tool_name = call.name
        self.arguments_digest = call.digest
        self.catalog_digest = call.catalog_digest
        self.identity = identity
        self.resolved = resolved
        self.revision = revision
        self.reasons = tuple(reasons)
        self.obligations = tuple(obligations)
        self._now, self._wall = now, wall
        self._dies = now() + LIFETIME
        self._token_dies = caller.expires_at
        self._reservation = reservation
        self._redeemed = self._over = False

    @property
    def redeemed(self) -> bool:
        """Whether the effect may have begun."""
        return self._redeemed

    def redeem(self, *, method: str, name: str, digest: str) -> None:
        """Spend the permit on the very call it names, or raise PermitRefused."""
        if self._redeemed:
            raise PermitRefused("used before")
        if (method, name, digest) != (self.method, self.tool_name, self.arguments_digest):
            raise PermitRefused("names another call")
        if self._over:  # its place in the count is given back
            raise PermitRefused("its call is over")
        if self._now() >= self._dies:
            raise PermitRefused("older than a second")
        if self._wall() >= self._token_dies:
            raise PermitRefused("the token has expired")
        self._redeemed = True
        self._reservation.settle()

    def end(self) -> None:
        """The call is over, however it went: a permit that wasn't redeemed never will be, and counts no longer."""
        self._over = True
        self._reservation.give_back()


# Only this room calls it: a test reads every import of this name.
make: Final = partial(Permit, _MAKER)
