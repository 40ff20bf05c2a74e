"""One request on its way through the rooms: who asks, on which catalog, until when."""

from __future__ import annotations

from dataclasses import dataclass

from sallyport.pep.catalog import LoadedCatalog
from sallyport.pep.decision.question import identity
from sallyport.pep.model import Caller, Identity
from sallyport.pep.trail import Trail


@dataclass(frozen=True, slots=True)
class Asked:
    """One attempt; where the PDP names another catalog there is a second one."""

    caller: Caller
    trail: Trail
    server: str  # the named set; empty: all
    view: LoadedCatalog  # what is served there
    deadline: float  # monotonic clock

    @property
    def digest(self) -> str:
        """Of the catalog."""
        return self.view.digest

    def who(self, traceparent: str) -> Identity:
        return identity(self.caller, self.trail.decision_id, traceparent)
