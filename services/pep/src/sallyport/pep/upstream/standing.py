"""What is known of one upstream: whether it is there, and which era it speaks. Found out by one for all who ask."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from sallyport.pep.upstream import footing
from sallyport.pep.upstream.circuit import Circuit
from sallyport.pep.upstream.failures import UpstreamBroke, UpstreamUnavailable
from sallyport.pep.upstream.flight import Flight
from sallyport.pep.upstream.footing import Footing
from sallyport.pep.upstream.legacy import Legacy
from sallyport.pep.upstream.line import Line
from sallyport.pep.upstream.sessions import Session

APART: Final = 0.5  # seconds between two questions of our own that callers' requests brought about


class Standing:
    """Remembered until the network fails; while the circuit is open, finding out is its probe."""

    def __init__(
        self,
        line: Line,
        legacy: Legacy,
        asked: tuple[str, str],  # the era that the catalog names, and our version
        adopt: Callable[[Session], None],
        changed: Callable[[str], None],
    ) -> None:
        self._line, self._legacy, self._asked, self._adopt, self._changed = line, legacy, asked, adopt, changed
        self._clock = asyncio.get_running_loop().time
        self.circuit = Circuit(self._clock)
        self._footing: Footing | None = None
        self._holds_until = float("inf")
        self._asked_at = float("-inf")
        self._settling: Flight[Footing] | None = None

    async def footing(self) -> Footing:
        """Raises UpstreamUnavailable."""
        if self._footing is not None and not self.circuit.is_open and self._clock() < self._holds_until:
            return self._footing
        if self._settling is None:
            self.circuit.check()
            self._settling = Flight(self._settle)
        return await self._settling.join()

    def forget(self) -> None:
        """The next request asks again."""
        self._footing = None

    def failed(self, error: BaseException, began: float) -> None:
        """Count what the network did; after it another server may stand there, which speaks another era."""
        if not isinstance(error, UpstreamBroke | UpstreamUnavailable) or not error.fault:
            return
        if isinstance(error, UpstreamUnavailable) and not error.met:
            self.circuit.failed(str(error), began)
            self._footing = None
            return
        self._holds_until = min(self._holds_until, self._asked_at + APART)
        self._doubted(str(error), began)

    def slow(self, began: float) -> None:
        self._doubted("no answer in time", began)

    def _doubted(self, trouble: str, began: float) -> None:
        """A caller may choose what takes long, or breaks, so the gate asks for itself whether there is anybody."""
        due = self._settling is None and self._clock() >= self._asked_at + APART
        if self.circuit.doubted(trouble, began) and due:
            self._settling = Flight(self._settle)

    def answered(self) -> None:
        if self.circuit.answered():
            self._changed("tools")  # whatever it was, it may be another now

    async def close(self) -> None:
        if self._settling is not None:
            await self._settling.end()

    async def _settle(self) -> Footing:
        self._asked_at = began = self._clock()
        try:
            self._footing = found = await footing.settle(self._line, self._legacy, *self._asked)
        except UpstreamUnavailable as unavailable:
            if unavailable.fault:
                self.circuit.confirmed(str(unavailable), began)
                self._footing = None
            self.circuit.trouble = str(unavailable)
            raise
        finally:
            self._settling = None
        self._holds_until = float("inf")
        if found.session is not None and found.session.id:
            self._adopt(found.session)
        self.answered()
        return found
