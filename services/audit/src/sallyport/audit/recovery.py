"""What a new stream says of those before it: where each ended, and an unknown outcome for each intent left open.

Nothing earlier is changed: a torn tail stays as it is, and the successor's signed open record states it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sallyport.audit import record, stream
from sallyport.audit.chain import Chain, entries, lines, walk
from sallyport.audit.errors import RecordRefused
from sallyport.audit.record import MAX_LINE, Record
from sallyport.audit.signer import Keys, signed_by

_TAIL = 4096  # bytes; a close record is far shorter


@dataclass(frozen=True, slots=True)
class Ended:
    """One earlier stream as the open record states it, and its intents without outcome."""

    stream: str
    seq: int
    head: str
    state: str  # closed, unclosed, torn, damaged; open: still being written, so only its first record is stated
    bytes: int = 0  # of the valid prefix
    torn: int = 0  # bytes after it
    pending: dict[str, int] = field(default_factory=dict)

    def entry(self) -> dict[str, Any]:
        stated = {"stream": self.stream, "seq": self.seq, "head": self.head, "state": self.state}
        return stated if self.state == "open" else {**stated, "bytes": self.bytes, "torn": self.torn}


def unaccounted(directory: Path, service: str, keys: Keys) -> list[Ended]:
    """Read every stream of the service that no later open record has settled; oldest first.

    Only first lines are read of the others, and only the last line of one that our own key closed with nothing open.
    """
    names = [name for name in stream.streams(directory) if stream.service_of(name) == service]
    opens = {name: opening(directory / name) for name in names}
    # Unsigned opens count too: keys rotate, and a forged one hides nothing from the verifier.
    stated = (entry for first in opens.values() if first for entry in entries(first[0]))
    settled = {entry["stream"] for entry in stated if entry["state"] != "open"}
    return [_read(directory / name, opens[name], keys) for name in names if name not in settled]


def outcomes(ended: Sequence[Ended]) -> Iterator[dict[str, Any]]:
    """The fields of an outcome for each intent that its own process left without one."""
    for one in ended:
        for decision_id, seq in one.pending.items():
            yield {"decision_id": decision_id, "outcome": "unknown", "of": {"stream": one.stream, "seq": seq}}


def opening(folder: Path) -> tuple[Record, bytes] | None:
    """The first record and its line; None if there is no whole one."""
    found = stream.sources(folder)
    if not found:
        return None
    with found[0].open() as file:
        line = file.readline(MAX_LINE + 1)
    try:
        return record.decode(line[:-1]), line
    except RecordRefused:
        return None


def _read(folder: Path, first: tuple[Record, bytes] | None, keys: Keys) -> Ended:
    if first is not None and stream.is_locked(folder):
        return Ended(folder.name, 0, record.digest(first[1][:-1]), "open")
    return _closed(folder, keys) or _walked(folder)


def _closed(folder: Path, keys: Keys) -> Ended | None:
    """A close by our own key that says nothing is open spares reading gigabytes at start."""
    found = stream.sources(folder)
    if not found:
        return None
    with found[-1].open() as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _TAIL))
        tail = file.read(_TAIL)
    line = tail.rstrip(b"\n").rpartition(b"\n")[2]
    try:
        last = record.decode(line)
    except RecordRefused:
        return None
    if not tail.endswith(line + b"\n") or last["kind"] != "close" or last["stream"] != folder.name:
        return None
    if last.get("pending") != 0 or not signed_by(keys, last):
        return None
    length = sum(_size(folder / source.name) for source in found)
    return Ended(folder.name, last["seq"], record.digest(line), "closed", length)


def _walked(folder: Path) -> Ended:
    chain = Chain(folder.name, keys=None)
    fault = walk(chain, lines(stream.sources(folder)))
    length = 0 if chain.previous is None else chain.previous.before + len(chain.previous.data)
    if fault is None:
        state, torn = ("closed" if chain.closed else "unclosed"), 0
    else:
        state, torn = ("torn" if fault.torn else "damaged"), fault.bytes_after
    return Ended(folder.name, chain.seq, chain.head, state, length, torn, chain.pending)


def _size(path: Path) -> int:
    return path.stat().st_size
