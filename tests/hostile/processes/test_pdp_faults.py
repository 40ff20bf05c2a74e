"""The PDP as a process: killed, stopped, or somebody else on its port. Refused in time, and back within a second."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sallyport.contract.seal import HopKey
from tests.support import laptop
from tests.support.laptop import PATIENCE, Up
from tests.support.lying_pdp import LyingPdp, listening
from tests.support.raw_call import Connection, permitted, unavailable
from tests.support.stopwatch import Stopwatch

DEADLINE = 0.5  # seconds, as pep.yaml says
READ = ("read_file", {"path": "alice/notes.txt"})


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Up]:
    directory = laptop.init(tmp_path / "laptop")
    with laptop.up(directory, "--no-restart") as running:
        yield running


@pytest.fixture
def restarting(tmp_path: Path) -> Iterator[Up]:
    directory = laptop.init(tmp_path / "laptop")
    with laptop.up(directory) as running:
        yield running


def connection(running: Up) -> Connection:
    return Connection(running.endpoint, laptop.token(running.directory))


async def ordinary(caller: Connection) -> float:
    """Seconds that a permitted call takes on this machine now: what a busy one adds to everything."""
    started = time.monotonic()
    assert permitted(await caller.call(*READ))
    return time.monotonic() - started


async def refused_in_time(pep: int, caller: Connection, besides: float) -> None:
    """`besides` is what an ordinary call takes; the PDP's part of it has the deadline and a fifth more."""
    watch = Stopwatch(pep)
    answer = await caller.call(*READ)
    assert watch.seconds < DEADLINE * 1.2 + 2 * besides
    assert unavailable(answer), answer
    assert answer["error"]["message"] == "authorization unavailable"


async def permitted_within(up: Up, caller: Connection, seconds: float) -> None:
    since = Stopwatch(up.endpoint.pep, up.endpoint.pdp)
    while not permitted(await caller.call(*READ)):
        assert since.seconds < seconds


async def test_a_stopped_pdp_refuses_every_call_and_a_continued_one_permits_at_once(own: Up) -> None:
    pep = own.endpoint.pep
    async with connection(own) as caller:
        besides = max([await ordinary(caller) for _ in range(5)])
        os.kill(own.endpoint.pdp, signal.SIGSTOP)
        try:
            for _ in range(3):
                await refused_in_time(pep, caller, besides)
        finally:
            os.kill(own.endpoint.pdp, signal.SIGCONT)
        await permitted_within(own, caller, 1.0)


async def test_a_killed_pdp_refuses_every_call_and_an_impostor_on_its_port_changes_nothing(own: Up) -> None:
    pep = own.endpoint.pep
    async with connection(own) as caller:
        besides = max([await ordinary(caller) for _ in range(5)])
        address = own.endpoint.pdp_address
        os.kill(own.endpoint.pdp, signal.SIGKILL)
        await asyncio.to_thread(own.until, "pdp")
        for _ in range(3):
            await refused_in_time(pep, caller, besides)
        impostor = LyingPdp(HopKey.generate())
        async with listening(impostor, address):
            async with asyncio.timeout(PATIENCE):
                while not impostor.asked:  # until the PEP has met the impostor
                    await refused_in_time(pep, caller, besides)
            await refused_in_time(pep, caller, besides)


async def test_calls_work_again_within_a_second_of_the_pdps_return_without_a_restart_of_the_pep(
    restarting: Up,
) -> None:
    async with connection(restarting) as caller:
        assert permitted(await caller.call(*READ))
        before = restarting.endpoint
        os.kill(before.pdp, signal.SIGKILL)
        await asyncio.to_thread(restarting.until, "up:")
        await permitted_within(restarting, caller, 1.0)
        assert restarting.endpoint.pep == before.pep
