"""A PDP whose record can't be written denies every question, says how many it lost, and recovers by itself."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from pathlib import Path

import pytest

from sallyport.audit.errors import AuditUnavailable, RecordRefused
from sallyport.audit.masker import Masker
from sallyport.audit.writer import Writer
from sallyport.authz.v1 import authz_pb2 as pb
from sallyport.pdp.recorder import Recorder
from sallyport.pdp.server import SERVICE
from tests.contract.pdp_audit.recording import Recording, recording
from tests.contract.pdp_audit.test_recorder import decision
from tests.contract.pdp_service.running import NOT_SERVING, SERVING, health, question, visibility
from tests.hostile.audit.test_failing_disk import Faults, fill_the_disk, home, tiny
from tests.unit.audit.made import Home, until

__all__ = ["home", "tiny"]


async def denials(made: Recording) -> set[bool]:
    """Whether questions that the policies permit are denied as ones that can't be recorded; in both ways of asking."""
    one = await made.pdp.ask(question())
    many = await made.pdp.ask_batch(visibility("read_file", "list_files"))
    results = [*one.results, *many.results]
    denying = [result for result in results if result.effect == pb.EFFECT_DENY]
    assert all(list(result.errors) == [pb.ERROR_CODE_INTERNAL] for result in denying)
    return {result in denying for result in results}


async def permitted(made: Recording) -> bool:
    return await denials(made) == {False}


async def denied(made: Recording) -> bool:
    return await denials(made) == {True}


async def recovers(made: Recording) -> None:
    async with asyncio.timeout(60):
        while not await permitted(made):
            pass


def flushed(made: Recording) -> None:
    """Wait until no record that was taken waits for the disk."""
    until(lambda: all(written.done() for _, written in made.recorder._waiting))


@pytest.mark.parametrize("call", ["write_error", "flush_error"])
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
async def test_n27_what_cannot_be_recorded_is_not_permitted(home: Home, tmp_path: Path, call: str, code: int) -> None:
    faults = Faults()
    async with recording(home, tmp_path, write=faults.write, fsync=faults.flush) as made:
        assert await permitted(made)
        await made.writer.record("policy", {"trigger": "start"})  # so what was answered is on disk
        assert await health(made.pdp.server.health, SERVICE) == SERVING
        setattr(faults, call, code)
        with pytest.raises(AuditUnavailable):
            await made.writer.record("decision", {"decision_id": "x", "source": "grpc"})
        assert await health(made.pdp.server.health, SERVICE) == NOT_SERVING
        assert await health(made.pdp.server.health) == SERVING  # a restart mends no disk
        for _ in range(5):
            assert await denied(made)
        assert made.writer.failure
        setattr(faults, call, 0)
        await recovers(made)
        assert made.writer.healthy
    assert sum(line["lost"].get("decision", 0) for line in made.lines("gap")) >= 11
    assert len(made.lines()) >= 4
    assert home.verify().exit_code == 0


async def test_n27_on_a_full_disk_every_question_is_denied(tiny: Home, tmp_path: Path) -> None:
    async with recording(tiny, tmp_path, fsync=os.fdatasync) as made:
        assert await permitted(made)
        filler = fill_the_disk(tiny)
        async with asyncio.timeout(60):
            while not await denied(made):
                pass  # the segment's last page may still have room
        for _ in range(10):
            assert await denied(made)
        filler.unlink()
        await recovers(made)
    assert sum(line["lost"].get("decision", 0) for line in made.lines("gap")) >= 20
    assert tiny.verify().exit_code == 0


class Stuck:
    """A flush that doesn't come back until it is let go."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.go.set()
        self.waiting = threading.Event()

    def flush(self, _: int) -> None:
        self.waiting.set()
        self.go.wait(30)


class Hurried(Recorder):
    """Its clock is the test's."""

    now = 0.0

    def __init__(self, writer: Writer, masker: Masker) -> None:
        super().__init__(writer, masker, lambda: Hurried.now)


async def test_n27_a_disk_that_hangs_is_no_disk_after_a_moment(home: Home, tmp_path: Path) -> None:
    """Nothing fails, nothing ends: without a clock the PDP would answer on for ever and record nothing."""
    stuck = Stuck()
    Hurried.now = 0.0
    async with recording(home, tmp_path, Hurried, fsync=stuck.flush) as made:
        try:
            assert await permitted(made)
            flushed(made)
            stuck.go.clear()
            assert await permitted(made), "one group commit is no outage"
            Hurried.now += 1.0
            assert await denied(made)
        finally:
            stuck.go.set()
        flushed(made)  # or the next question would be denied and counted, too
        await recovers(made)
    assert made.lines("gap")[0]["lost"] == {"decision": 2}


class Stepped:
    """Once slow, each flush comes back when it is let go, and no sooner."""

    def __init__(self) -> None:
        self.slow = False
        self.entered, self.go = threading.Semaphore(0), threading.Semaphore(0)

    def flush(self, _: int) -> None:
        if self.slow:
            self.entered.release()
            self.go.acquire(timeout=30)

    def fast(self) -> None:
        self.slow = False
        self.go.release(100)


async def test_n27_what_comes_during_a_slow_flush_is_no_younger_for_the_flush_before(
    home: Home, tmp_path: Path
) -> None:
    """Flushes of 0.7 s, none of them late by itself: what waits for the second one was answered during the first."""
    disk = Stepped()
    Hurried.now = 0.0
    async with recording(home, tmp_path, Hurried, fsync=disk.flush) as made:
        disk.slow = True
        try:
            made.recorder.decided(decision())
            assert disk.entered.acquire(timeout=10)
            Hurried.now = 0.1
            made.recorder.decided(decision())
            Hurried.now = 0.7
            disk.go.release()
            assert disk.entered.acquire(timeout=10), "the second flush holds the second record"
            made.recorder.decided(decision())
            Hurried.now = 0.95
            with pytest.raises(AuditUnavailable, match="waits for the disk"):
                made.recorder.decided(decision())
            assert made.recorder.failure()
        finally:
            disk.fast()
        await recovers(made)
        assert not made.recorder.failure()
    assert sum(line["lost"]["decision"] for line in made.lines("gap")) >= 1


async def test_n27_a_queue_that_is_full_denies(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stuck = Stuck()
    async with recording(home, tmp_path, fsync=stuck.flush) as made:
        try:
            stuck.waiting.clear()
            stuck.go.clear()
            made.recorder.decided(decision())
            await asyncio.to_thread(stuck.waiting.wait, 10)
            monkeypatch.setattr("sallyport.audit.writer._MAX_QUEUED", 0)
            assert await denied(made)
        finally:
            stuck.go.set()


async def test_n6_a_record_that_cannot_be_made_is_counted_and_denied(home: Home, tmp_path: Path) -> None:
    async with recording(home, tmp_path) as made:
        with pytest.raises(RecordRefused):
            made.recorder.decided(decision(source=""))
    assert made.lines("gap")[0]["lost"] == {"decision": 1}


async def test_a_closed_stream_denies(home: Home, tmp_path: Path) -> None:
    async with recording(home, tmp_path) as made:
        await asyncio.to_thread(made.writer.close)
        assert await denied(made)
        assert isinstance(made.writer, Writer)
