"""What is known of one upstream: whether it is there, and which era it speaks. Found out by one for all who ask."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sallyport.pep.upstream import footing
from sallyport.pep.upstream.circuit import Circuit
from sallyport.pep.upstream.failures import UpstreamBroke, UpstreamUnavailable
from sallyport.pep.upstream.flight import Flight
from sallyport.pep.upstream.footing import Footing
from sallyport.pep.upstream.legacy import Legacy
from sallyport.pep.upstream.line import Line
from sallyport.pep.upstream.sessions import Session


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
        self.circuit = Circuit(asyncio.get_running_loop().time)
        self._footing: Footing | None = None
        self._settling: Flight[Footing] | None = None

    async def footing(self) -> Footing:
        """Raises UpstreamUnavailable."""
        if self._footing is not None and not self.circuit.is_open:
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
        if isinstance(error, UpstreamBroke | UpstreamUnavailable) and error.fault:
            self.circuit.failed(str(error), began)
            self._footing = None

    def slow(self, began: float) -> None:
        """A caller may choose what takes long, so the gate asks for itself whether there is anybody."""
        if self.circuit.slow("no answer in time", began) and self._settling is None:
            self._settling = Flight(self._settle)

    def answered(self) -> None:
        if self.circuit.answered():
            self._changed("tools")  # whatever it was, it may be another now

    async def close(self) -> None:
        if self._settling is not None:
            await self._settling.end()

    async def _settle(self) -> Footing:
        began = asyncio.get_running_loop().time()
        try:
            self._footing = found = await footing.settle(self._line, self._legacy, *self._asked)
        except UpstreamUnavailable as unavailable:
            self.failed(unavailable, began)
            self.circuit.trouble = str(unavailable)
            raise
        finally:
            self._settling = None
        if found.session is not None and found.session.id:
            self._adopt(found.session)
        self.answered()
        return found
