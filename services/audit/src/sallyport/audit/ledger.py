"""One stream on disk: gives records their place, commits them whole, and mends itself after a failure.

Used by the writer's thread alone. State advances only when the flush came back: what failed was never written.
"""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic_ns, time_ns
from typing import Any, Final, NamedTuple, Self

from sallyport.audit import recovery, stream
from sallyport.audit.errors import RecordRefused
from sallyport.audit.record import FIRST, Draft, digest, draft, timestamp
from sallyport.audit.segment import FULL, Disk, Reserve, Segments
from sallyport.audit.signer import Signer

_MAX_PREVIOUS: Final = 2000  # streams one open record accounts for; what is left waits for the next start


class Receipt(NamedTuple):
    """Where a durable record stands."""

    stream: str
    seq: int
    hash: str


@dataclass(frozen=True, slots=True)
class Clock:
    wall: Callable[[], int] = time_ns
    mono: Callable[[], int] = monotonic_ns


@dataclass(frozen=True, slots=True)
class Setting:
    """How often heads are signed, where files roll, and how the disk is reached. Times in seconds."""

    checkpoint_every: float = 0.8  # with its flush within the second that is promised
    heartbeat_every: float = 10.0
    segment_bytes: int = 64 << 20
    clock: Clock = field(default_factory=Clock)
    disk: Disk = field(default_factory=Disk)


@dataclass(slots=True)
class _Staged:
    """Lines that are being committed, and the state that holds if they are."""

    seq: int
    head: str
    pending: set[str]
    lines: list[bytes] = field(default_factory=list)
    opened: list[str] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)

    def add(self, line: bytes) -> None:
        self.seq, self.head = self.seq + 1, digest(line)
        self.lines.append(line)

    def follow(self, one: Draft) -> None:
        """RecordRefused for what a verifier would call forged: a second intent, or an outcome without one."""
        known = one.decision_id in self.pending
        if one.kind == "intent":
            if known:
                raise RecordRefused("this decision has an intent already")
            self.pending.add(one.decision_id)
            self.opened.append(one.decision_id)
        elif one.decision_id:
            if not known:
                raise RecordRefused("no durable intent of this decision, or it has an outcome already")
            self.pending.remove(one.decision_id)
            self.answered.append(one.decision_id)

    def undo(self) -> None:
        self.pending.difference_update(self.opened)
        self.pending.update(set(self.answered) - set(self.opened))


class Ledger:
    """Commits drafts in order. `commit` raises OSError if nothing of it is durable; `mend` must follow with success."""

    def __init__(self, name: str, folder: Path, signer: Signer, setting: Setting) -> None:
        self.name = name
        self.setting = setting
        self._signer = signer
        self._segments = Segments(folder, setting.disk, setting.segment_bytes)
        self._reserve = Reserve(folder)
        self._seq, self._head = -1, FIRST
        self._pending: set[str] = set()
        self.signed_at = self.unsigned_since = setting.clock.mono()
        self.unsigned = False

    @classmethod
    def start(cls, directory: Path, service: str, version: str, signer: Signer, setting: Setting) -> tuple[Self, int]:
        """Make a stream that accounts for those before it; it becomes visible whole. Also gives the lock to hold."""
        with stream.starting(directory, service):
            stream.discard_unborn(directory, service)
            ended = recovery.unaccounted(directory, service, signer.keys)[:_MAX_PREVIOUS]
            name = stream.new_name(service, setting.clock.wall())
            hidden = directory / f".{name}"
            hidden.mkdir(mode=0o700)
            ledger, lock = cls(name, hidden, signer, setting), stream.lock(hidden)
            try:
                ledger._open(service, version, ended)
                hidden.rename(directory / name)
                ledger._move(directory / name)
                stream.sync_folder(directory)
            except BaseException:  # a start that failed leaves nothing behind, least of all a held lock
                ledger.abandon()
                os.close(lock)
                shutil.rmtree(hidden, ignore_errors=True)
                raise
            _free_reserves(directory, ended)
        return ledger, lock

    def draft(self, kind: str, fields: Any) -> Draft:
        return draft(kind, fields, self.name, self.setting.clock.wall(), self.setting.clock.mono())

    def commit(self, drafts: Sequence[Draft], *, checkpoint: bool = False) -> list[Receipt | RecordRefused]:
        """All of it in one write and one flush; an answer for each draft. OSError: nothing counts as written."""
        staged = _Staged(self._seq, self._head, self._pending)
        answers = [self._stage(staged, one) for one in drafts]
        now = self.setting.clock.mono()
        if checkpoint:
            staged.add(self._signed(staged, "checkpoint", {}))
        if staged.lines:
            try:
                self._segments.append(b"\n".join(staged.lines) + b"\n")
            except BaseException:  # whatever broke, the state on disk isn't the state here
                staged.undo()
                raise
            self._advance(staged, now, signed=checkpoint)
        return answers

    def due(self) -> float:
        """Seconds until the head must be signed again."""
        setting = self.setting
        at = self.unsigned_since + setting.checkpoint_every * 1e9 if self.unsigned else self._next_heartbeat()
        return (at - setting.clock.mono()) / 1e9

    def mend(self) -> None:
        """Cut back to the last durable record and take the reserve again; OSError while that can't be done."""
        self._segments.cut_back()
        self._reserve.take()

    def last_words(self) -> None:
        """On a full disk: give up the reserve, so that what is durable gets signed and the heart goes on beating."""
        self._reserve.release()
        self._segments.cut_back()
        self.commit([], checkpoint=True)

    def close(self, drafts: Sequence[Draft]) -> None:
        """Sign the end. The reserve is spent for it if need be."""
        self._reserve.release()
        self._segments.cut_back()
        self.commit(drafts)
        staged = _Staged(self._seq, self._head, self._pending)
        staged.add(self._signed(staged, "close", {"pending": len(self._pending)}))
        self._segments.append(staged.lines[0] + b"\n")
        self._advance(staged, self.setting.clock.mono(), signed=True)
        self._segments.close()

    def abandon(self) -> None:
        self._segments.close()

    def _stage(self, staged: _Staged, one: Draft) -> Receipt | RecordRefused:
        try:
            staged.follow(one)
        except RecordRefused as refused:
            return refused
        staged.add(one.line(staged.seq + 1, staged.head))
        return Receipt(self.name, staged.seq, staged.head)

    def _advance(self, staged: _Staged, now: int, *, signed: bool) -> None:
        self._seq, self._head = staged.seq, staged.head
        if signed:
            self.signed_at, self.unsigned = now, False
        elif not self.unsigned:
            self.unsigned_since, self.unsigned = now, True

    def _signed(self, staged: _Staged, kind: str, fields: dict[str, Any]) -> bytes:
        clock = self.setting.clock
        place = {"stream": self.name, "seq": staged.seq + 1, "prev": staged.head, "kind": kind}
        return self._signer.sign({**fields, **place, "time": timestamp(clock.wall()), "mono": clock.mono()})

    def _open(self, service: str, version: str, ended: Sequence[recovery.Ended]) -> None:
        """The open record, the unknown outcomes and a checkpoint go to disk as one, or a crash between would lose them."""
        self._reserve.take()
        staged = _Staged(self._seq, self._head, self._pending)
        opened = {
            "service": service,
            "version": version,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "heartbeat_ms": int(self.setting.heartbeat_every * 1000),
            "lock": str(stream.lock_inode(self._segments.folder)),
            "previous": [one.entry() for one in ended],
        }
        staged.add(self._signed(staged, "open", opened))
        for fields in recovery.outcomes(ended):
            self._stage(staged, self.draft("outcome", fields))
        if len(staged.lines) > 1:
            staged.add(self._signed(staged, "checkpoint", {}))
        self._segments.append(b"\n".join(staged.lines) + b"\n")
        self._advance(staged, self.setting.clock.mono(), signed=True)

    def _move(self, folder: Path) -> None:
        self._segments.folder = folder
        self._reserve.move(folder)

    def _next_heartbeat(self) -> float:
        return self.signed_at + self.setting.heartbeat_every * 1e9


def _free_reserves(directory: Path, ended: Sequence[recovery.Ended]) -> None:
    """A killed process couldn't give its reserve back; it holds no record."""
    for one in ended:
        if one.state != "open":
            Reserve(directory / one.stream).release()


def is_full(error: OSError) -> bool:
    return error.errno in FULL
