"""How `up` keeps its two children, with a real program that listens: the standard library's web server."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sallyport.cli import ports
from sallyport.cli.service import Died, Service
from sallyport.cli.supervisor import Supervisor
from tests.support.bridge import alive


def web(name: str, directory: Path, taken: set[int]) -> Service:
    port = ports.free(taken)
    arguments = (str(port), "--bind", "127.0.0.1")
    return Service(name, "http.server", arguments, directory, directory / f"{name}.log", (port,))


class Kept:
    """A supervisor at work, and what it announced."""

    def __init__(self, directory: Path, *, restart: bool) -> None:
        taken: set[int] = set()
        self.pdp, self.pep = web("pdp", directory, taken), web("pep", directory, taken)
        self.pids: asyncio.Queue[tuple[int, int]] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def announce() -> None:
            loop.call_soon_threadsafe(self.pids.put_nowait, (self.pdp.pid, self.pep.pid))

        self.supervisor = Supervisor(self.pdp, self.pep, restart, announce)

    async def announced(self) -> tuple[int, int]:
        return await asyncio.wait_for(self.pids.get(), 30)


@asynccontextmanager
async def kept(directory: Path, *, restart: bool = True) -> AsyncIterator[Kept]:
    """Stopped by a real SIGINT at the end, as with Ctrl-C."""
    it = Kept(directory, restart=restart)
    work = asyncio.create_task(it.supervisor.run())
    try:
        yield it
    finally:
        if not work.done():
            os.kill(os.getpid(), signal.SIGINT)
        await asyncio.wait_for(work, 30)


async def test_both_are_up_when_announced_and_gone_when_stopped(tmp_path: Path) -> None:
    async with kept(tmp_path) as it:
        pids = await it.announced()
        assert all(map(alive, pids))
        assert all(map(ports.is_listening, (*it.pdp.listens, *it.pep.listens)))
    assert not any(map(alive, pids))


async def test_a_dead_child_is_started_again_on_the_same_port(tmp_path: Path) -> None:
    async with kept(tmp_path) as it:
        pdp, pep = await it.announced()
        os.kill(pdp, signal.SIGKILL)
        again, same = await it.announced()
        assert again != pdp
        assert same == pep
        assert ports.is_listening(it.pdp.listens[0])


async def test_with_no_restart_the_dead_stay_dead_and_the_other_goes_on(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with kept(tmp_path, restart=False) as it:
        pdp, pep = await it.announced()
        os.kill(pdp, signal.SIGKILL)
        assert await it.pdp.ended() == -signal.SIGKILL
        assert alive(pep)
        os.kill(pep, signal.SIGKILL)
        assert await it.pep.ended() == -signal.SIGKILL
        assert it.pids.empty()
    assert "--no-restart" in capfd.readouterr().err


async def test_the_pep_stops_before_the_pdp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    stop = Service.stop

    async def noted(service: Service) -> bool:
        gone = await stop(service)
        order.append(service.name)
        return gone

    monkeypatch.setattr(Service, "stop", noted)
    async with kept(tmp_path) as it:
        await it.announced()
    assert order == ["pep", "pdp"]


async def test_a_child_that_dies_at_its_first_start_ends_it_all(tmp_path: Path) -> None:
    taken: set[int] = set()
    pdp = web("pdp", tmp_path, taken)
    pep = Service("pep", "http.server", ("no-port",), tmp_path, tmp_path / "pep.log", (ports.free(taken),))
    with pytest.raises(Died, match="the pep ended at its start"):
        await Supervisor(pdp, pep, restart=True, announce=lambda: None).run()
    assert not ports.is_listening(pdp.listens[0])
    assert "no-port" in pep.last_words()


async def test_n7_a_secret_of_the_shell_does_not_reach_a_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "sesame")
    service = web("pdp", tmp_path, set())
    await service.start()
    try:
        environment = await asyncio.to_thread(Path(f"/proc/{service.pid}/environ").read_bytes)
    finally:
        assert await service.stop()
    assert b"PATH=" in environment
    assert b"sesame" not in environment


async def test_a_child_imports_nothing_from_the_directory_it_runs_in(tmp_path: Path) -> None:
    (tmp_path / "http.py").write_text("raise SystemExit('imported from the working directory')")
    service = web("pdp", tmp_path, set())
    await service.start()
    assert await service.stop()


def test_a_child_dies_when_the_pipe_to_its_parent_ends() -> None:
    port = ports.free(set())
    command = [sys.executable, "-m", "sallyport.cli.tether", "http.server", str(port), "--bind", "127.0.0.1"]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.poll() is None
    child.stdin.close()  # what the kernel does for a parent that was killed
    try:
        assert child.wait(30) == -signal.SIGTERM
    finally:
        child.kill()
        child.stdout.close()


def test_a_free_port_is_free_and_taken_only_once() -> None:
    taken: set[int] = set()
    found = [ports.free(taken) for _ in range(5)]
    assert len(set(found)) == 5
    assert taken == set(found)
    assert all(map(ports.is_free, found))
    assert not any(map(ports.is_listening, found))
