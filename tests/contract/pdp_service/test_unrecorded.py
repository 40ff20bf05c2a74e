"""A PDP that can't record denies everything, so it says that it isn't ready, and the PEP isn't either."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from sallyport.contract.limits import MAX_PROBLEMS
from sallyport.contract.seal import HopKeyFile
from sallyport.pdp.inforce import InForce
from sallyport.pdp.server import SERVICE, Server
from sallyport.pep.catalog import CatalogStore
from sallyport.pep.decision import PdpClient
from sallyport.pep.inforce import CatalogInForce
from sallyport.pep.reach import Reach
from sallyport.pep.schema import compile_schema
from sallyport.pep.tools import NAMES
from sallyport.runtime.problems import Problem
from sallyport.runtime.telemetry import Tracing
from tests.contract.pdp_service.running import (
    CATALOG_DIGEST,
    NOT_SERVING,
    POLICIES,
    SECONDS,
    SERVING,
    connected,
    health,
    in_force_of,
    settings,
)

FULL: Final = "the audit record can't be written: No space left on device"


async def test_a_pdp_that_cannot_record_makes_the_pep_not_ready_until_it_can(tmp_path: Path) -> None:
    failure, chosen, in_force = "", settings(tmp_path), in_force_of(POLICIES)
    server = Server(chosen, in_force, Tracing("pdp", ""), failure=lambda: failure)
    await server.start()
    client = PdpClient(server.listen, HopKeyFile(chosen.hop_key))
    store = CatalogStore(POLICIES, compile_schema=compile_schema, reach=Reach(NAMES, {}, frozenset()))
    pep = CatalogInForce(store, client, SECONDS, lambda _names: None)
    try:
        async with connected(server, chosen, in_force) as pdp:
            for failure in ("", FULL, ""):
                await pep.look(time.monotonic() + SECONDS)
                state = await pdp.revision()
                said = [f"audit: {failure}"] if failure else []
                assert (state.ready, list(state.problems), state.catalog_digest) == (not failure, said, CATALOG_DIGEST)
                assert pep.not_ready("") == ({"pdp": said[0]} if failure else {})
                assert await health(server.health, SERVICE) == (NOT_SERVING if failure else SERVING)
    finally:
        await pep.close()
        await client.close()
        await server.stop()


def test_why_nothing_is_recorded_is_told_before_what_else_is_wrong() -> None:
    in_force = InForce()
    in_force.refuse([Problem("a.cedar", number, 1, "no") for number in range(1, 2 * MAX_PROBLEMS)])
    told = in_force.revision_answer(bytes(16), FULL).problems
    assert (len(told), told[0], told[1]) == (MAX_PROBLEMS, f"audit: {FULL}", "a.cedar:1:1: no")
