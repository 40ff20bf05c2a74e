"""The pair as a pod runs it: any order of starting, killing and stopping, and never a permit without the PDP."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sallyport.contract.seal import HopKey
from tests.support import laptop
from tests.support.fake_server import fake_server
from tests.support.pod import PATIENCE, Pod, pod
from tests.support.raw_call import denied, permitted, unavailable
from tests.support.stopwatch import Stopwatch

READ = ("read_file", {"path": "alice/notes.txt"})


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Pod]:
    async with pod(tmp_path / "pod") as made:
        yield made


async def calls(here: Pod, number: int) -> Counter[str]:
    """One after the other on one connection."""
    found: Counter[str] = Counter()
    async with here.caller() as caller:
        while found.total() < number:
            answer = await caller.call(*READ)
            found["permitted" if permitted(answer) else "refused" if unavailable(answer) else "other"] += 1
    return found


async def test_n6_a_pdp_killed_on_its_socket_is_back_within_a_second_and_nothing_is_permitted_without_it(
    here: Pod,
) -> None:
    pdp, pep = await here.pdp(), await here.pep()
    await here.ready()
    sock, key = here.directory / "run" / "pdp.sock", here.directory / "run" / "hop.key"
    assert stat.S_IMODE(sock.stat().st_mode) & 0o077 == 0
    for _ in range(3):
        old = HopKey.from_file(key)
        await pdp.kill()
        assert sock.exists(), "a process that is killed leaves its socket"
        assert await calls(here, 20) == {"refused": 20}
        await here.ready(503)
        assert (await here.ask("/live")).status == 200
        pdp = await here.pdp()
        since = Stopwatch(pep.process.pid, pdp.process.pid)
        async with here.caller() as caller:
            while not permitted(await caller.call(*READ)):
                assert since.seconds < 1
        assert HopKey.from_file(key) != old


async def test_a_second_pdp_does_not_take_the_socket_of_one_that_runs(here: Pod) -> None:
    await here.pdp()
    await here.pep()
    await here.ready()
    key = HopKey.from_file(here.directory / "run" / "hop.key")
    second = await here.start("pdp")
    _, told = await asyncio.wait_for(second.process.communicate(), PATIENCE)
    assert second.process.returncode == 2
    assert "another PDP answers there" in told.decode()
    assert HopKey.from_file(here.directory / "run" / "hop.key") == key
    async with here.caller() as caller:
        assert permitted(await caller.call(*READ))


async def test_the_pep_starts_before_the_pdp_lives_without_it_and_is_ready_with_it(here: Pod) -> None:
    pep = await here.pep()
    assert (await here.ask("/live")).status == 200
    assert (await here.ask("/ready")).status == 503
    async with here.caller() as caller:
        assert unavailable(await caller.call(*READ))
        pdp = await here.pdp()
        since = Stopwatch(pep.process.pid, pdp.process.pid)
        await here.ready()
        assert since.seconds < 2
        assert permitted(await caller.call(*READ))


async def test_the_pep_names_the_revision_that_the_pdp_serves(here: Pod) -> None:
    pdp = await here.pdp()
    await here.pep()
    await here.ready()
    (in_force,) = [told["revision"] for told in pdp.logged if told["event"] == "policy set in force"]
    metrics = (await here.ask("/metrics")).body.decode()
    assert f'sallyport_policy_revision_info{{revision="{in_force}"}} 1.0' in metrics
    assert "sallyport_policy_reload_refused 0.0" in metrics
    assert f"revision {in_force}" in (await here.ask("/ready")).body.decode()


async def test_without_a_database_its_tools_are_not_served_and_operators_are_told_what_to_set(here: Pod) -> None:
    config = here.directory / "pep.yaml"
    lines = config.read_text().splitlines(keepends=True)
    config.write_text("".join(line for line in lines if not line.startswith("database:")))
    await here.pdp()
    await here.pep()
    await here.ready()
    told = (await here.ask("/ready")).body.decode()
    assert "the hosted tool 'database_query' isn't there without 'database' in pep.yaml; set it" in told
    async with here.caller() as caller:
        assert denied(await caller.call("database_query", {"table": "salaries"}))
        assert permitted(await caller.call(*READ))


async def test_both_stop_in_order_with_nothing_left_unsigned(here: Pod) -> None:
    pdp = await here.pdp()
    pep = await here.pep()
    await here.ready()
    async with here.caller() as caller:
        assert permitted(await caller.call(*READ))
    for container in (pep, pdp):
        code, seconds, _ = await container.stop()
        assert code == 0
        assert seconds < 15  # half of a pod's grace
    assert not (here.directory / "run" / "pdp.sock").exists()
    assert laptop.here("audit", "verify", here.directory).returncode == 0


@pytest.mark.parametrize("service", ["pdp", "pep"])
async def test_a_signal_at_any_moment_of_the_start_ends_it_with_0_and_a_whole_record(here: Pod, service: str) -> None:
    whole = time.monotonic()
    container = await here.start(service)
    await container.until("listening")
    whole = time.monotonic() - whole
    assert (await container.stop())[0] == 0
    moments = 12
    for moment in range(1, moments + 1):
        container = await here.start(service)
        await _heard(container.process.pid)
        await asyncio.sleep(whole * moment / moments)
        code, seconds, told = await container.stop()
        assert code == 0, (moment, told)
        assert "Traceback" not in told, (moment, told)
        assert seconds < 15
    assert laptop.here("audit", "verify", here.directory).returncode == 0


async def test_a_start_that_fails_half_way_says_what_is_wrong_and_nothing_else(here: Pod) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        container = await here.start("pep", management=f"127.0.0.1:{taken.getsockname()[1]}")
        _, told = await asyncio.wait_for(container.process.communicate(), PATIENCE)
    assert container.process.returncode == 2
    assert "ddress already in use" in told.decode()
    assert "Traceback" not in told.decode()
    assert laptop.here("audit", "verify", here.directory).returncode == 0


async def _heard(pid: int) -> None:
    """Until the interpreter handles SIGTERM: its own start, before any code of ours, takes some milliseconds."""
    async with asyncio.timeout(PATIENCE):
        while not int(_status(pid, "SigCgt"), 16) >> 14 & 1:  # noqa: ASYNC110 — another process's state
            await asyncio.sleep(0.001)


def _status(pid: int, name: str) -> str:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.partition(":")[2].strip() for line in lines if line.startswith(name))


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def test_a_signal_ends_a_start_that_waits_for_a_database(here: Pod) -> None:
    async with fake_server(silent) as port:
        config = here.directory / "pep.yaml"
        text = config.read_text().replace("sqlite:///data/sample.db", f"postgresql://me@127.0.0.1:{port}/x")
        config.write_text(text.replace("egress: []", f'egress: ["127.0.0.1:{port}"]'))
        container = await here.start("pep")
        async with asyncio.timeout(PATIENCE):
            while not list((here.directory / "audit").glob("pep-*/*.jsonl")):  # noqa: ASYNC110 — another process's state
                await asyncio.sleep(0.005)
        code, _, told = await container.stop()
        assert (code, "Traceback" in told) == (0, False), told  # 2, after five seconds, if it had been waited for
    assert laptop.here("audit", "verify", here.directory).returncode == 0


@pytest.mark.parametrize("service", ["pdp", "pep"])
def test_a_signal_is_heard_before_anything_heavy_is_imported(service: str) -> None:
    """It is the imports that take the time, and process 1 of a container ignores what it doesn't handle."""
    code = (
        f"import sys; import sallyport.{service}.__main__; import sallyport.runtime.early;"
        "heavy = {'grpc', 'pydantic', 'structlog', 'cedarpy', 'uvloop', 'asyncio'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=PATIENCE, env={**os.environ})
