"""A 200-record log, cut at every byte offset and with every byte flipped: the exact valid prefix is named each time."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest

from sallyport.audit.chain import Chain, lines, walk
from sallyport.audit.record import MAX_LINE
from sallyport.audit.report import State
from sallyport.audit.signer import Keys
from sallyport.audit.stream import Source
from sallyport.audit.verify import verify, verify_stream
from tests.unit.audit.made import SCALE, Home, records, segment, source

COUNT = 200
MASKS = (0x01, 0x20, 0x80, 0xFF)


class Log:
    """The bytes, and for each line the verifier's state before it, so that 10^5 cases don't each start at line 1."""

    def __init__(self, root: Path) -> None:
        self.home = Home(root)
        self.folder = self.home.stream(COUNT, checkpoint_every=0.0)
        self.data = segment(self.folder).read_bytes()
        self.keys: Keys = self.home.signer.keys

    def states(self) -> Iterator[tuple[Chain, int, bytes]]:
        chain, at = Chain(self.folder.name, self.keys), 0
        for line in self.data.splitlines(keepends=True):
            yield chain, at, line
            assert walk(chain, lines(source(line))) is None
            at += len(line)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Log:
    return Log(tmp_path_factory.mktemp("log"))


def fresh(chain: Chain) -> Chain:
    return replace(chain, pending=dict(chain.pending), adopted=list(chain.adopted))


def flip(data: bytes, at: int, mask: int) -> bytes:
    return data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]


def test_the_log_has_every_kind_of_line(log: Log) -> None:
    kinds = {line["kind"] for line in records(log.folder)}
    assert kinds == {"open", "intent", "outcome", "checkpoint", "close"}
    assert log.data.count(b"\n") >= COUNT


def test_n27_every_flipped_byte_is_named_with_its_line(log: Log) -> None:
    masks = MASKS if SCALE > 1 else MASKS[:1]
    for chain, at, line in log.states():
        following = b"".join(log.data[at + len(line) :].splitlines(keepends=True)[:2])
        for offset in range(len(line)):
            for mask in masks if SCALE > 1 else [MASKS[offset % 4]]:
                judged = fresh(chain)
                fault = walk(judged, lines(source(flip(line, offset, mask) + following)))
                found = (fault and fault.torn, fault and fault.line, judged.seq, judged.head)
                assert found == (False, chain.seq + 2, chain.seq, chain.head), (at, offset, mask, fault)


def test_n27_every_cut_is_torn_at_its_byte_after_its_last_whole_record(log: Log) -> None:
    for chain, _, line in log.states():
        for length in range(1, len(line)):
            judged = fresh(chain)
            fault = walk(judged, lines(source(line[:length])))
            assert fault is not None
            assert (fault.torn, fault.bytes_after) == (True, length)
            assert (judged.seq, judged.head) == (chain.seq, chain.head)


def test_a_cut_between_records_is_unclosed_after_the_last(log: Log) -> None:
    for chain, at, _ in log.states():
        report = verify_stream(Chain(log.folder.name, log.keys), source(log.data[:at]))
        assert (report.state, report.records) == (State.UNCLOSED, chain.seq + 1)


class Bounded(BytesIO):
    """A file that is never asked for more than the longest record."""

    def readline(self, size: int | None = -1, /) -> bytes:
        assert size is not None
        assert 0 < size <= MAX_LINE + 2
        return super().readline(size)


def test_a_line_without_end_is_never_read_whole(log: Log) -> None:
    endless = Source("000001.jsonl", lambda: Bounded(b"x" * (5 * MAX_LINE)))
    report = verify_stream(Chain(log.folder.name, log.keys), [endless])
    assert (report.state, report.records) == (State.TAMPERED, 0)


def test_the_whole_verifier_says_the_same_of_files(log: Log, tmp_path: Path) -> None:
    """The resumed walks above, against `verify` of a directory, at random places."""
    chance = random.Random(7)
    target = tmp_path / "copy" / "audit" / log.folder.name
    for _ in range(25 * SCALE):
        at = chance.randrange(len(log.data))
        line = log.data.count(b"\n", 0, at)
        shutil.rmtree(tmp_path / "copy", ignore_errors=True)
        shutil.copytree(log.folder, target)
        segment(target).write_bytes(flip(log.data, at, 0x04))
        report = judge(log, tmp_path / "copy")
        assert report == (2, line), at
        segment(target).write_bytes(log.data[:at])
        assert judge(log, tmp_path / "copy") == (3, line), at


def judge(log: Log, root: Path) -> tuple[int, int]:
    report = verify(root, [log.home.root / "pki" / "audit"], now=0.0)
    return report.exit_code, report.streams[0].records


def test_recovery_at_a_cut_drops_no_intact_record_and_repairs_nothing(log: Log, tmp_path: Path) -> None:
    chance = random.Random(8)
    for number in range(25 * SCALE):
        cut = chance.randrange(log.data.index(b"\n") + 1, len(log.data))
        home = Home(tmp_path / str(number))
        home.signer = log.home.signer
        shutil.copy(log.home.root / "pki/audit/signing.pub", home.root / "pki/audit/signing.pub")
        torn = home.audit / log.folder.name
        shutil.copytree(log.folder, torn)
        segment(torn).write_bytes(log.data[:cut])
        home.stream(3)
        assert segment(torn).read_bytes() == log.data[:cut]
        report = home.verify()
        assert report.exit_code == 0, list(report.lines())
        assert report.streams[0].state is State.RECOVERED
        assert report.streams[0].records == log.data.count(b"\n", 0, cut)
