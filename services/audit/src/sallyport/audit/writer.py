"""The writer: many callers, one thread, one flush for all that is waiting. A future resolves when its record is on disk.

A lone record never waits for company, unless `gather` says so; under load, what comes during one flush goes into the next (group commit). While
the disk fails every append fails at once, is counted, and the writer tries again by itself every 100 ms.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final, NamedTuple, TypeVar

from sallyport.audit.errors import AuditUnavailable, RecordRefused
from sallyport.audit.ledger import Clock, Ledger, Receipt, Setting, is_full
from sallyport.audit.record import Draft, clean
from sallyport.audit.segment import Disk, flush
from sallyport.audit.signer import Signer

__all__ = ["Clock", "Receipt", "Writer"]

_MAX_QUEUED: Final = 16384  # records
_MAX_QUEUED_SIZE: Final = 32 << 20  # characters
_MAX_BATCH: Final = 1024  # records in one flush; bounds the wait of the first
_MAX_BATCH_SIZE: Final = 4 << 20  # characters; bounds the buffer
_MAX_REASONS: Final = 64
_RETRY_SECONDS: Final = 0.1
_TICK_SECONDS: Final = 1.0

Answer = Receipt | RecordRefused | AuditUnavailable
Promise = Future[Receipt] | asyncio.Future[Receipt]
P = TypeVar("P", Future[Receipt], asyncio.Future[Receipt])
Pairs = Iterable[tuple[str, Mapping[str, Any]]]


class _Entry(NamedTuple):
    draft: Draft
    promise: Promise


class Writer:
    """Thread-safe; usable only in the process that opened it. `failure` is empty while the record is healthy."""

    def __init__(self, ledger: Ledger, lock: int, gather: float = 0.0) -> None:
        """`gather`: seconds to wait for company after a first record, where nobody waits for a record to be durable."""
        self.stream = ledger.name
        self.failure = ""
        self._ledger = ledger
        self._lock = lock
        self._gather = gather
        self._pid = os.getpid()
        self._wake = threading.Condition(threading.Lock())
        self._queue: deque[_Entry] = deque()
        self._queued_size = 0
        self._taken: list[_Entry] = []  # not resolved yet
        self._lost: Counter[str] = Counter()
        self._sources: list[Callable[[], Pairs]] = []
        self._closing = False
        self._close_error = ""
        self._retry_at = 0.0
        self._tick_at = monotonic() + _TICK_SECONDS
        self._thread = threading.Thread(target=self._run, name=f"audit-{self.stream}", daemon=True)

    @classmethod
    def open(  # noqa: PLR0913 — one keyword each for what a deployment or a test sets
        cls,
        directory: Path,
        service: str,
        signer: Signer,
        *,
        version: str = "unknown",
        clock: Clock | None = None,
        checkpoint_every: float = 0.8,
        heartbeat_every: float = 10.0,
        segment_bytes: int = 64 << 20,
        gather: float = 0.0,
        fsync: Callable[[int], None] = flush,
        write: Callable[[int, bytes | memoryview], int] = os.write,
    ) -> Writer:
        """Start a new stream beneath `directory`, accounting for the streams before it. AuditUnavailable if it can't."""
        setting = Setting(checkpoint_every, heartbeat_every, segment_bytes, clock or Clock(), Disk(write, fsync))
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            ledger, lock = Ledger.start(directory, service, version, signer, setting)
        except OSError as error:
            raise AuditUnavailable(f"can't start an audit stream in {directory}: {error.strerror}") from error
        writer = cls(ledger, lock, gather)
        writer._thread.start()
        return writer

    @property
    def healthy(self) -> bool:
        return not self.failure and self._thread.is_alive()

    def append(self, kind: str, fields: Mapping[str, Any]) -> Future[Receipt]:
        """Queue one record; the fields are copied before this returns. RecordRefused at once if they can't be one.

        The future gives a Receipt after the flush, or AuditUnavailable: then nothing of it is on disk.
        """
        return self._put(self._ledger.draft(kind, fields), Future())

    def record(self, kind: str, fields: Mapping[str, Any]) -> asyncio.Future[Receipt]:
        """The same for `await`. It is queued now: a waiter that is cancelled neither loses nor tears the record."""
        return self._put(self._ledger.draft(kind, fields), asyncio.get_running_loop().create_future())

    def count_lost(self, reason: str) -> None:
        """Count what was refused without a record; the next `gap` states it."""
        with self._wake:
            self._count(reason)

    def add_source(self, source: Callable[[], Pairs]) -> None:
        """Ask `source` for records about once a second, and once more before the close."""
        with self._wake:
            self._sources.append(source)

    def close(self) -> None:
        """Write all that is queued and sign the end. AuditUnavailable if the close couldn't be written."""
        self._same_process()
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1
        if self._close_error:
            raise AuditUnavailable(f"the stream has no signed close: {self._close_error}")

    def _put(self, draft: Draft, promise: P) -> P:
        self._same_process()
        with self._wake:
            if self._closing:
                problem = "the audit stream is closed"
            elif len(self._queue) >= _MAX_QUEUED or self._queued_size >= _MAX_QUEUED_SIZE:
                problem = "the audit queue is full"
            else:
                self._queue.append(_Entry(draft, promise))
                self._queued_size += draft.size
                self._wake.notify()
                return promise
            self._count(draft.label)
        promise.set_exception(AuditUnavailable(problem))
        return promise

    def _same_process(self) -> None:
        if os.getpid() != self._pid:
            raise AuditUnavailable("this process was forked from the one that writes: open a stream of its own")

    def _run(self) -> None:
        try:
            while self._turn():
                pass
            self._finish()
        except BaseException as error:  # noqa: BLE001 — whatever ends this thread, those who wait are refused
            self._die(error)

    def _turn(self) -> bool:
        """One batch; False once all is written that was queued before the close."""
        batch, ending = self._take()
        self._taken = batch
        if ending and not batch:
            return False
        if self.failure and not self._mended():
            self._refuse(batch)
        else:
            self._commit(batch)
        self._taken = []
        return True

    def _take(self) -> tuple[list[_Entry], bool]:
        with self._wake:
            wait = self._patience()
            if not self._queue and not self._closing and wait > 0:
                self._wake.wait(wait)
            gathering = bool(self._gather and self._queue and not self._closing)
        if gathering:
            sleep(self._gather)  # not on the condition: each append would wake this thread, and hold up who appends
        with self._wake:
            batch: list[_Entry] = []
            size = 0
            while self._queue and len(batch) < _MAX_BATCH and size < _MAX_BATCH_SIZE:
                batch.append(self._queue.popleft())
                size += batch[-1].draft.size
            self._queued_size -= size
            return batch, self._closing and not self._queue

    def _patience(self) -> float:
        """How long nothing needs doing, if nobody appends."""
        until = self._retry_at if self.failure else self._tick_at
        return until - monotonic() if self.failure else min(until - monotonic(), self._ledger.due())

    def _commit(self, batch: list[_Entry]) -> None:
        lost = self._take_lost()
        extra = [*self._gap(lost), *self._from_sources()]
        try:
            drafts = [*extra, *(entry.draft for entry in batch)]
            answers = self._ledger.commit(drafts, checkpoint=self._ledger.due() <= 0)
        except OSError as error:
            self._give_back(lost)
            self._fail(error)
            self._refuse(batch)
        else:
            _resolve([(entry.promise, answer) for entry, answer in zip(batch, answers[len(extra) :], strict=True)])

    def _fail(self, error: OSError) -> None:
        self.failure = f"the audit record can't be written: {error.strerror or error}"
        self._retry_at = monotonic() + _RETRY_SECONDS
        if is_full(error) and self._ledger.due() <= self._ledger.setting.checkpoint_every:
            with suppress(OSError):  # the head stays unsigned, and the verifier says so
                self._ledger.last_words()

    def _mended(self) -> bool:
        if monotonic() < self._retry_at:
            return False
        lost = self._take_lost()
        try:
            self._ledger.mend()
            self._ledger.commit(self._gap(lost), checkpoint=True)
        except OSError as error:
            self._give_back(lost)
            self._fail(error)
            return False
        self.failure = ""
        return True

    def _refuse(self, batch: Sequence[_Entry]) -> None:
        with self._wake:
            for entry in batch:
                self._count(entry.draft.label)
        refusal = AuditUnavailable(self.failure)
        _resolve([(entry.promise, refusal) for entry in batch])

    def _finish(self) -> None:
        try:
            self._ledger.close([*self._gap(self._take_lost()), *self._from_sources(ending=True)])
        except OSError as error:
            self._close_error = error.strerror or str(error)
            self._ledger.abandon()

    def _die(self, error: BaseException) -> None:
        with self._wake:
            self._closing = True
            self.failure = self._close_error = f"the audit writer stopped: {type(error).__name__}"
            rest = [*self._taken, *self._queue]
            self._queue.clear()
        self._refuse(rest)
        self._ledger.abandon()

    def _from_sources(self, *, ending: bool = False) -> list[Draft]:
        now = monotonic()
        if now < self._tick_at and not ending:
            return []
        self._tick_at = now + _TICK_SECONDS
        return [self._ledger.draft(kind, fields) for source in self._sources for kind, fields in source()]

    def _gap(self, lost: Mapping[str, int]) -> list[Draft]:
        return [self._ledger.draft("gap", {"lost": dict(lost)})] if lost else []

    def _count(self, reason: str) -> None:
        known = reason in self._lost or len(self._lost) < _MAX_REASONS
        self._lost[clean(reason, 64) if known else "other"] += 1

    def _take_lost(self) -> Counter[str]:
        with self._wake:
            lost, self._lost = self._lost, Counter()
            return lost

    def _give_back(self, lost: Counter[str]) -> None:
        with self._wake:
            self._lost.update(lost)


def _resolve(pairs: Sequence[tuple[Promise, Answer]]) -> None:
    """Wake the waiters: each event loop once for all of its own."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[Promise, Answer]]] = {}
    for promise, answer in pairs:
        if isinstance(promise, Future):
            _settle(promise, answer)
        else:
            by_loop.setdefault(promise.get_loop(), []).append((promise, answer))
    for loop, group in by_loop.items():
        with suppress(RuntimeError):  # the loop is gone, and everybody who waited with it
            loop.call_soon_threadsafe(_settle_all, group)


def _settle_all(group: Sequence[tuple[Promise, Answer]]) -> None:
    for promise, answer in group:
        _settle(promise, answer)


def _settle(promise: Promise, answer: Answer) -> None:
    """A waiter that was cancelled is passed over; its record stands."""
    with suppress(InvalidStateError, asyncio.InvalidStateError):
        if isinstance(answer, Receipt):
            promise.set_result(answer)
        else:
            promise.set_exception(answer)
