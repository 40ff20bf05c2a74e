"""A PDP that records, as the PEP meets it, on whatever disk a test gives it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sallyport.audit.masker import Masker
from sallyport.audit.writer import Writer
from sallyport.pdp.observer import Observers
from sallyport.pdp.recorder import SERVICE, Recorder
from sallyport.pdp.server import Server
from sallyport.runtime.telemetry import Tracing
from tests.contract.pdp_service.running import POLICIES, Pdp, connected, in_force_of, settings
from tests.unit.audit.made import Home, no_flush, records

MASKING = bytes(range(32))


@dataclass
class Recording:
    pdp: Pdp
    writer: Writer
    recorder: Recorder
    home: Home

    def lines(self, kind: str = "decision") -> list[dict[str, Any]]:
        """What is on disk; all of it once the stream is closed."""
        return [line for line in records(self.home.audit / self.writer.stream) if line["kind"] == kind]


@asynccontextmanager
async def recording(
    home: Home, place: Path, recorder: type[Recorder] = Recorder, **disk: Any
) -> AsyncIterator[Recording]:
    """Closed in the order of the process: the server first, so that its last answer is in the record."""
    chosen, in_force = settings(place), in_force_of(POLICIES)
    writer = Writer.open(home.audit, SERVICE, home.signer, **{"fsync": no_flush, **disk})
    witness = recorder(writer, Masker(MASKING))
    server = Server(chosen, in_force, Tracing("pdp", ""), Observers([witness]), failure=witness.failure)
    await server.start()
    try:
        async with connected(server, chosen, in_force) as pdp:
            yield Recording(pdp, writer, witness, home)
    finally:
        await server.stop()
        await asyncio.to_thread(writer.close)
