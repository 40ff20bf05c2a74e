"""The writer: durable before it says so, one flush for many, and alone nobody waits."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import pytest

from sallyport.audit.errors import AuditUnavailable, RecordRefused
from sallyport.audit.report import State
from tests.unit.audit.made import INTENT, Home, append, fill, kill, records, segment, until


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


class Gate:
    """A disk whose flush waits until it is let through."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.entered = threading.Event()
        self.flushes = 0

    def flush(self, descriptor: int) -> None:
        self.flushes += 1
        self.entered.set()
        assert self.open.wait(10)
        os.fsync(descriptor)


def gated(home: Home) -> tuple[Any, Gate]:
    gate = Gate()
    gate.open.set()
    writer = home.open(fsync=gate.flush)
    gate.open.clear()
    gate.entered.clear()
    gate.flushes = 0
    return writer, gate


def test_n27_nothing_is_acknowledged_before_its_flush_came_back(home: Home) -> None:
    writer, gate = gated(home)
    future = append(writer, 0)
    assert gate.entered.wait(10)
    assert not future.done()
    gate.open.set()
    receipt = future.result(10)
    assert (receipt.stream, receipt.seq) == (writer.stream, 1)
    writer.close()


def test_all_that_waits_during_one_flush_goes_into_the_next(home: Home) -> None:
    writer, gate = gated(home)
    first = append(writer, 0)
    assert gate.entered.wait(10)
    rest = [append(writer, number) for number in range(1, 200)]
    gate.open.set()
    wait([first, *rest], 10)
    assert gate.flushes == 2
    writer.close()
    assert home.verify().exit_code == 0


async def test_a_cancelled_waiter_neither_loses_nor_tears_its_record(home: Home) -> None:
    writer, gate = gated(home)
    task = asyncio.ensure_future(writer.record("intent", {**INTENT, "decision_id": "mine"}))
    await asyncio.to_thread(gate.entered.wait, 10)
    task.cancel()
    other = writer.record("outcome", {"decision_id": "mine", "outcome": "cancelled"})
    gate.open.set()
    await asyncio.wait_for(other, 10)
    assert task.cancelled()
    await asyncio.to_thread(writer.close)
    assert [line["kind"] for line in records(home.audit / writer.stream)] == ["open", "intent", "outcome", "close"]


async def test_many_coroutines_get_each_their_own_receipt(home: Home) -> None:
    writer = home.open()
    waiting = [writer.record("intent", {"decision_id": f"{number}"}) for number in range(500)]
    receipts = await asyncio.wait_for(asyncio.gather(*waiting), 10)
    await asyncio.to_thread(writer.close)
    lines = records(home.audit / writer.stream)
    assert [lines[receipt.seq]["decision_id"] for receipt in receipts] == [f"{number}" for number in range(500)]


def test_a_writer_that_gathers_takes_into_one_flush_what_comes_meanwhile(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The PDP's records: nobody waits for one, so a flush for each would only hold up the questions."""
    gathering, enough = threading.Event(), threading.Event()
    flushes: list[int] = []

    def pause(seconds: float) -> None:
        assert seconds == 0.005
        gathering.set()
        assert enough.wait(10)

    monkeypatch.setattr("sallyport.audit.writer.sleep", pause)
    with home.writing(gather=0.005, fsync=flushes.append) as writer:
        before = len(flushes)
        first = append(writer, 0)
        assert gathering.wait(10)
        rest = [append(writer, 2 * number) for number in range(1, 20)]
        enough.set()
        for future in (first, *rest):
            future.result(10)
        assert len(flushes) == before + 1


def test_a_loop_that_is_gone_disturbs_nobody(home: Home) -> None:
    async def leave() -> None:
        writer.record("refusal", {"reason": "denied"})

    with home.writing() as writer:
        asyncio.run(leave())
        append(writer, 0).result(10)


def test_every_record_is_followed_by_a_signed_checkpoint_within_a_second(home: Home) -> None:
    with home.writing(checkpoint_every=0.8) as writer:
        append(writer, 0).result(10)
        path = segment(home.audit / writer.stream)
        until(lambda: b'"checkpoint"' in path.read_bytes())
        lines = records(home.audit / writer.stream)
        assert lines[-1]["mono"] - lines[-2]["mono"] < 1_000_000_000
        report = home.verify()
        assert (report.exit_code, report.streams[0].state) == (0, State.OPEN)
        assert "is being written" in report.warnings[0]


def test_an_idle_writer_signs_its_head_as_a_heartbeat(home: Home) -> None:
    with home.writing(heartbeat_every=0.05) as writer:
        path = segment(home.audit / writer.stream)
        until(lambda: path.read_bytes().count(b'"checkpoint"') >= 3)


def test_segments_roll_and_the_chain_goes_on(home: Home) -> None:
    stream = home.stream(60, segment_bytes=5000)
    fill_one_by_one = home.open(segment_bytes=2000)
    for number in range(20):
        append(fill_one_by_one, number).result(10)
    fill_one_by_one.close()
    assert segment(home.audit / fill_one_by_one.stream, 3).exists()
    assert segment(stream).exists()
    assert home.verify().exit_code == 0


def test_an_outcome_needs_its_intent_and_there_is_one_of_each(home: Home) -> None:
    with home.writing() as writer:
        append(writer, 0).result(10)
        with pytest.raises(RecordRefused, match="intent already"):
            append(writer, 0).result(10)
        append(writer, 1).result(10)
        with pytest.raises(RecordRefused, match="outcome already"):
            append(writer, 1).result(10)
    assert home.verify().exit_code == 0


def test_a_closed_writer_refuses(home: Home) -> None:
    writer = home.open()
    writer.close()
    writer.close()
    with pytest.raises(AuditUnavailable, match="closed"):
        append(writer, 0).result(10)


def test_a_full_queue_refuses_and_counts(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sallyport.audit.writer._MAX_QUEUED", 3)
    writer, gate = gated(home)
    append(writer, 0)
    assert gate.entered.wait(10)
    futures = [append(writer, number) for number in range(2, 20, 2)]
    with pytest.raises(AuditUnavailable, match="queue is full"):
        futures[-1].result(10)
    gate.open.set()
    writer.close()
    gaps = [line["lost"] for line in records(home.audit / writer.stream) if line["kind"] == "gap"]
    assert gaps == [{"intent": 6}]


def test_big_records_fill_the_queue_by_their_size(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sallyport.audit.writer._MAX_QUEUED_SIZE", 100_000)
    monkeypatch.setattr("sallyport.audit.writer._MAX_BATCH_SIZE", 20_000)
    writer, gate = gated(home)
    append(writer, 0)
    assert gate.entered.wait(10)
    futures = [writer.append("refusal", {"reason": "denied", "detail": "x" * 10_000}) for _ in range(30)]
    gate.open.set()
    answers = [future.exception(10) for future in futures]
    assert sum(answer is None for answer in answers) == 10
    assert writer._queued_size == 0
    assert gate.flushes >= 5
    writer.close()
    assert home.verify().exit_code == 0


def test_n6_a_writer_that_breaks_inside_refuses_all_who_wait(home: Home) -> None:
    def broken() -> Iterable[tuple[str, Mapping[str, Any]]]:
        raise MemoryError

    writer = home.open()
    writer.add_source(broken)
    writer._tick_at = 0.0
    with pytest.raises(AuditUnavailable, match="stopped: MemoryError"):
        append(writer, 0).result(10)
    until(lambda: not writer.healthy)
    with pytest.raises(AuditUnavailable):
        append(writer, 2).result(10)
    with pytest.raises(AuditUnavailable):
        writer.close()


def test_a_forked_child_cant_write_into_its_parents_stream(home: Home) -> None:
    script = f"""
import os, sys
from pathlib import Path
from sallyport.audit import AuditUnavailable, Signer, Writer
root = Path({str(home.root)!r})
writer = Writer.open(root / "audit", "pep", Signer.from_file(root / "pki/audit/signing.key"))
if os.fork() == 0:
    try:
        writer.append("refusal", {{"reason": "denied"}})
    except AuditUnavailable:
        os._exit(7)
    os._exit(0)
status = os.wait()[1]
writer.close()
sys.exit(os.waitstatus_to_exitcode(status))
"""
    command = [sys.executable, "-W", "ignore", "-c", script]
    assert subprocess.run(command, check=False, timeout=60).returncode == 7
    assert home.verify().exit_code == 0


def test_lost_counts_are_bounded_and_stated(home: Home) -> None:
    with home.writing() as writer:
        for number in range(200):
            writer.count_lost(f"reason {number}")
        append(writer, 0).result(10)
    gap = next(line["lost"] for line in records(home.audit / writer.stream) if line["kind"] == "gap")
    assert sum(gap.values()) == 200
    assert len(gap) == 65


def test_files_are_for_their_owner_alone(home: Home) -> None:
    stream = home.stream(4)
    assert stream.stat().st_mode & 0o777 == 0o700
    assert segment(stream).stat().st_mode & 0o777 == 0o600


def test_a_killed_writer_is_unclosed(home: Home) -> None:
    writer = home.open()
    fill(writer, 4)
    kill(writer)
    assert home.verify().exit_code == 3
