"""The verifier: a small program that believes public keys, and outside checkpoints, and nothing that the writer says.

    python -m sallyport.audit verify DIR [--keys FILE|DIR]… [--checkpoint FILE] [--export-checkpoint]

Exit: 0 whole, 1 usage or unreadable, 2 tampered, 3 torn or unclosed, 4 a stream missing; the worst is 2, then 4, then 3.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import time
from typing import Any, Final

from sallyport.audit import record, stream
from sallyport.audit.chain import Chain, Fault, entries, lines, walk
from sallyport.audit.errors import KeyRefused, RecordRefused
from sallyport.audit.record import FIRST, MAX_LINE, SIGNED, Record
from sallyport.audit.report import USAGE, Report, State, StreamReport
from sallyport.audit.signer import Keys, load_keys, signed_by

_GRACE: Final = 5.0  # seconds a living writer's head may be late, slow disks included
_SKEW: Final = 60.0  # seconds its clock may be ahead of ours
_STALL: Final = 60_000_000_000  # ns; a disk that hangs delays signatures, but not for ever
_DRAFTED: Final = 5_000_000_000  # ns; a record is dated when it is drafted, a signature when it is written
_LONGEST_HEARTBEAT: Final = 600.0

Wanted = Mapping[str, Mapping[int, str]]  # stream -> seq -> hash of the record there, from outside


class CheckpointRefused(ValueError):
    """The checkpoint file isn't what `--export-checkpoint` printed, or none of the keys signed it."""


@dataclass(slots=True)
class _Walked:
    """A stream's report, and what it says about other streams."""

    report: StreamReport
    chain: Chain
    previous: list[Mapping[str, Any]] = field(default_factory=list)


def verify(
    path: Path,
    keys: Sequence[Path] | None = None,
    checkpoint: Path | None = None,
    *,
    now: float | None = None,
    heard: Callable[[Record], None] | None = None,
) -> Report:
    """Verify `DIR` or `DIR/audit`. Raises KeyRefused, CheckpointRefused or OSError if it can't even begin.

    `heard` gets every accepted record, stream by stream; what they are worth is known only once the report is there.
    """
    audit, base = locate(path)
    known = load_keys(keys or [base / "pki" / "audit"])
    wanted = _checkpoints(checkpoint, known) if checkpoint is not None else {}
    found = {
        name: _stream(audit / name, known, wanted.get(name, {}), time() if now is None else now, heard)
        for name in stream.streams(audit)
    }
    report = Report([one.report for one in found.values()])
    if not found:
        report.missing.append(f"there is no stream at all in {audit}")
    report.missing += [f"{name}: an outside checkpoint names it" for name in wanted if name not in found]
    for one in found.values():
        _accounts(one, found, report)
    for one in found.values():
        _adoptions(one, found)
    report.warnings += [text for one in found.values() for text in _warnings(one)]
    return report


def locate(path: Path) -> tuple[Path, Path]:
    """The folder of streams, and the folder that holds `pki/`."""
    if (path / "audit").is_dir():
        return path / "audit", path
    return path, path.resolve().parent


def verify_stream(
    chain: Chain,
    sources: Sequence[stream.Source],
    wanted: Mapping[int, str] | None = None,
    heard: Callable[[Record], None] | None = None,
) -> StreamReport:
    """One stream by itself: its chain, its signatures, its contents. Nothing is said about whether it still grows."""
    left = dict(wanted or {})
    conflicts: list[str] = []

    def seen(line: Record) -> None:
        expected = left.pop(line["seq"], None)
        if expected is not None and expected != chain.head:
            conflicts.append(f"tampered at line {line['seq'] + 1}: an outside checkpoint has another record there")
        if heard is not None:
            heard(line)

    fault = walk(chain, lines(sources), seen)
    report = _as_found(chain, fault)
    if left and not conflicts:
        conflicts.append(f"rolled back: an outside checkpoint names record {min(left)}, which isn't there")
    for conflict in conflicts[:1]:
        report.tampered(conflict)
    return report


def _as_found(chain: Chain, fault: Fault | None) -> StreamReport:
    length = 0 if chain.previous is None else chain.previous.before + len(chain.previous.data)
    report = StreamReport(chain.stream, State.CLOSED, chain.seq + 1, chain.head, bytes=length, signed=chain.last_signed)
    if fault is None:
        if not chain.closed:
            report.state, report.detail = State.UNCLOSED, f"unclosed after record {report.records}"
    elif fault.torn:
        report.state, report.torn = State.TORN, fault.bytes_after
        report.detail = f"torn at byte {fault.byte} of {fault.file} after record {report.records}"
    else:
        report.tampered(f"tampered at line {fault.line} ({fault.file}, byte {fault.byte}): {fault.reason}")
    return report


def _stream(
    folder: Path, keys: Keys, wanted: Mapping[int, str], now: float, heard: Callable[[Record], None] | None
) -> _Walked:
    chain = Chain(folder.name, keys)
    if odd := stream.irregular(folder):
        return _Walked(StreamReport(folder.name, State.TAMPERED, 0, FIRST, odd), chain)
    locked = stream.is_locked(folder)  # asked first: a clean end while we read isn't a death
    report = verify_stream(chain, stream.sources(folder), wanted, heard)
    if report.state in {State.UNCLOSED, State.TORN} and _is_living(folder, chain, now, locked=locked):
        report.state, report.detail = State.OPEN, ""
    return _Walked(report, chain, list(entries(chain.opened)) if chain.opened else [])


def _is_living(folder: Path, chain: Chain, now: float, *, locked: bool) -> bool:
    """Signed within its heartbeat; and where it was written (not a copy), the lock is held."""
    if chain.opened is None or chain.last_signed is None:
        return False
    beat = chain.opened.get("heartbeat_ms", 0)
    allowed = (min(beat / 1000, _LONGEST_HEARTBEAT) if type(beat) is int else 0) + _GRACE
    fresh = -_SKEW <= now - _seconds(chain.last_signed["time"]) <= allowed
    timely = not chain.unsigned_since or now - _seconds(chain.unsigned_since) <= _GRACE
    in_place = chain.opened.get("lock") == str(stream.lock_inode(folder))
    return fresh and timely and (not in_place or locked)


def _accounts(one: _Walked, found: Mapping[str, _Walked], report: Report) -> None:
    """Hold each earlier stream against what this one's signed open record says of it."""
    for entry in one.previous:
        earlier = found.get(entry["stream"])
        if earlier is None:
            report.missing.append(f"{entry['stream']}: {one.report.stream} says that it came before")
        elif entry["state"] == "open":
            _same_start(earlier, entry)
        else:
            _same_end(earlier, entry, one.report.stream)


def _same_start(earlier: _Walked, entry: Mapping[str, Any]) -> None:
    first = earlier.chain.opened
    if first is None or record.digest(record.encode(first)) != entry["head"]:
        earlier.report.tampered("tampered at line 1: a later stream states another beginning")


def _same_end(walked: _Walked, entry: Mapping[str, Any], successor: str) -> None:
    earlier = walked.report
    here = (earlier.records - 1, earlier.head, earlier.bytes, earlier.torn)
    stated = tuple(entry.get(name) for name in ("seq", "head", "bytes", "torn"))
    if here != stated:
        earlier.tampered(f"its end isn't as {successor} states: record {stated[0]}, not {here[0]}")
    elif earlier.state in {State.UNCLOSED, State.TORN, State.OPEN}:
        if _unbelievable(walked.chain):
            earlier.tampered("its unsigned end runs backwards, or for longer than a signature was ever due")
            return
        what = f" ({earlier.detail})" if earlier.detail else ""
        earlier.state, earlier.detail = State.RECOVERED, f"{successor} states this very end{what}"


def _unbelievable(chain: Chain) -> bool:
    """The successor signs whatever end it found; what nobody signed before may only be a moment's work."""
    signed = chain.last_signed
    return signed is not None and (chain.tail[0] < signed["mono"] - _DRAFTED or chain.tail[1] - signed["mono"] > _STALL)


def _adoptions(one: _Walked, found: Mapping[str, _Walked]) -> None:
    """An unknown outcome must answer an intent that its stream really left open, and only once."""
    for line in one.chain.adopted:
        of = line["of"]
        earlier = found.get(of["stream"])
        if earlier is None or earlier.report.state is State.TAMPERED:
            continue
        if earlier.chain.pending.get(line["decision_id"]) != of["seq"]:
            one.report.tampered(f"tampered at line {line['seq'] + 1}: an outcome of no open intent of {of['stream']}")
        else:
            del earlier.chain.pending[line["decision_id"]]


def _warnings(one: _Walked) -> Iterator[str]:
    report = one.report
    if report.state is State.OPEN and one.chain.last_signed is not None:
        unsigned = one.chain.seq - one.chain.last_signed["seq"]
        yield f"{report.stream} is being written: its last {unsigned} records aren't signed yet (at most a second)"
    if report.state is State.RECOVERED:
        unsigned = one.chain.seq - (one.chain.last_signed or {"seq": -1})["seq"]
        yield f"{report.stream} was broken off: {report.detail}; nobody signed its last {unsigned} records"
    if one.chain.pending and report.state in {State.CLOSED, State.RECOVERED}:
        yield f"{report.stream} has {len(one.chain.pending)} intents without outcome"


def _checkpoints(path: Path, keys: Keys) -> Wanted:
    """Signed records kept outside, one a line."""
    wanted: dict[str, dict[int, str]] = {}
    with path.open("rb") as file:
        while data := file.readline(MAX_LINE + 2):
            try:
                line = record.decode(data.rstrip(b"\r\n"))
            except RecordRefused as refused:
                raise CheckpointRefused(f"{path}: no checkpoint: {refused}") from None
            if line["kind"] not in SIGNED or not signed_by(keys, line):
                raise CheckpointRefused(f"{path}: a checkpoint that none of the keys signed")
            wanted.setdefault(line["stream"], {})[line["seq"]] = record.digest(data.rstrip(b"\r\n"))
    if not wanted:
        raise CheckpointRefused(f"{path} holds no checkpoint: make it with --export-checkpoint")
    return wanted


def _seconds(text: str) -> float:
    """An impossible date is infinitely old."""
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return float("-inf")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="audit verify", description="Verify audit streams with public keys alone.")
    parser.add_argument("directory", type=Path, help="DIR or DIR/audit")
    parser.add_argument(
        "--keys", type=Path, action="append", help="a PEM file or a folder of *.pub (default DIR/pki/audit)"
    )
    parser.add_argument("--checkpoint", type=Path, help="checkpoints kept outside, as --export-checkpoint printed them")
    parser.add_argument(
        "--export-checkpoint", action="store_true", help="print the newest signed record of each stream"
    )
    try:
        options = parser.parse_args(arguments)
    except SystemExit as ending:  # argparse's own usage error is 2, which here means tampered
        return USAGE if ending.code else 0
    try:
        report = verify(options.directory, options.keys, options.checkpoint)
    except (KeyRefused, CheckpointRefused, OSError) as error:
        sys.stderr.write(f"audit verify: {error}\n")
        return USAGE
    out = sys.stderr if options.export_checkpoint else sys.stdout
    out.writelines(f"{text}\n" for text in report.lines())
    if options.export_checkpoint:
        sys.stdout.writelines(f"{text}\n" for text in export(report))
    return report.exit_code


def export(report: Report) -> list[str]:
    """One JSON line a stream, to be kept where the log's disk can't be reached from."""
    newest = (one.signed for one in report.streams if one.state is not State.TAMPERED)
    return [record.encode(line).decode() for line in newest if line is not None]
