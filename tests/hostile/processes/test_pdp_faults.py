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
from tests.support.laptop import Up
from tests.support.lying_pdp import LyingPdp, listening
from tests.support.raw_call import Connection, permitted, unavailable

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


async def refused_in_time(caller: Connection) -> None:
    started = time.monotonic()
    answer = await caller.call(*READ)
    # The allowance beyond deadline + 20 % is for two busy cores, not for the product.
    assert time.monotonic() - started < DEADLINE * 1.2 + 0.3
    assert unavailable(answer), answer
    assert answer["error"]["message"] == "authorization unavailable"


async def permitted_within(caller: Connection, seconds: float) -> None:
    since = time.monotonic()
    while not permitted(await caller.call(*READ)):
        assert time.monotonic() - since < seconds


async def test_a_stopped_pdp_refuses_every_call_and_a_continued_one_permits_at_once(own: Up) -> None:
    async with connection(own) as caller:
        assert permitted(await caller.call(*READ))
        os.kill(own.endpoint.pdp, signal.SIGSTOP)
        try:
            for _ in range(3):
                await refused_in_time(caller)
        finally:
            os.kill(own.endpoint.pdp, signal.SIGCONT)
        await permitted_within(caller, 1.0)


async def test_a_killed_pdp_refuses_every_call_and_an_impostor_on_its_port_changes_nothing(own: Up) -> None:
    async with connection(own) as caller:
        assert permitted(await caller.call(*READ))
        address = own.endpoint.pdp_address
        os.kill(own.endpoint.pdp, signal.SIGKILL)
        await asyncio.to_thread(own.until, "pdp")
        for _ in range(3):
            await refused_in_time(caller)
        impostor = LyingPdp(HopKey.generate())
        async with listening(impostor, address):
            since = time.monotonic()
            while not impostor.asked:  # until the PEP has met the impostor
                await refused_in_time(caller)
                assert time.monotonic() - since < 5
            await refused_in_time(caller)


async def test_calls_work_again_within_a_second_of_the_pdps_return_without_a_restart_of_the_pep(
    restarting: Up,
) -> None:
    async with connection(restarting) as caller:
        assert permitted(await caller.call(*READ))
        before = restarting.endpoint
        os.kill(before.pdp, signal.SIGKILL)
        await asyncio.to_thread(restarting.until, "up:")
        await permitted_within(caller, 1.0)
        assert restarting.endpoint.pep == before.pep
