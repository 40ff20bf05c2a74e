"""Real streams on real files for the audit tests; SALLYPORT_TEST_SCALE (default 1) multiplies the heavy ones."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from sallyport.audit import record
from sallyport.audit.errors import AuditUnavailable
from sallyport.audit.report import Report
from sallyport.audit.signer import Signer, generate
from sallyport.audit.stream import Source
from sallyport.audit.verify import verify
from sallyport.audit.writer import Receipt, Writer

SCALE = int(os.environ.get("SALLYPORT_TEST_SCALE", "1"))
INTENT: Mapping[str, Any] = {
    "issuer": "laptop",
    "user": "alice",
    "agent": "coding-bot",
    "org": "acme",
    "compound_id": "alice via coding-bot",
    "tool": "read_file",
    "method": "tools/call",
    "resources": ["File::alice/notes.txt"],
    "request_hmac": "a" * 64,
    "effect": "permit",
    "reasons": ["owner-reads"],
    "arguments": {"path": "hmac:" + "d" * 32},
    "client": "127.0.0.1",
}


def no_flush(_: int) -> None:
    """For tests of the chain, which need no disk."""


class Home:
    """A directory as `init` makes it, as far as the record goes: keys in pki/audit, streams in audit."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.audit = root / "audit"
        (root / "pki" / "audit").mkdir(parents=True)
        self.signer: Signer = generate(root / "pki" / "audit")

    def open(self, service: str = "pep", **options: Any) -> Writer:
        return Writer.open(self.audit, service, self.signer, **{"fsync": no_flush, "checkpoint_every": 3600, **options})

    @contextmanager
    def writing(self, service: str = "pep", **options: Any) -> Iterator[Writer]:
        writer = self.open(service, **options)
        try:
            yield writer
        finally:
            writer.close()

    def stream(self, count: int, **options: Any) -> Path:
        """A closed stream of `count` records, open and close among them; intents and outcomes in turn."""
        with self.writing(**options) as writer:
            fill(writer, count - 2)
        return self.audit / writer.stream

    def killed(self, count: int, **options: Any) -> Path:
        """A stream of `count` records whose process died."""
        writer = self.open(**options)
        fill(writer, count - 1)
        kill(writer)
        return self.audit / writer.stream

    def verify(self, **options: Any) -> Report:
        return verify(self.root, **options)


def fill(writer: Writer, count: int) -> None:
    waiting = [append(writer, number) for number in range(count)]
    for future in waiting:
        future.result(10)


def append(writer: Writer, number: int) -> Future[Receipt]:
    decision_id = f"{writer.stream[-8:]}-{number // 2:06d}"
    if number % 2:
        return writer.append("outcome", {"decision_id": decision_id, "outcome": "done"})
    return writer.append("intent", {**INTENT, "decision_id": decision_id})


def kill(writer: Writer) -> None:
    """End the writer as SIGKILL would: no close record, the lock gone."""
    writer._finish = lambda: None  # type: ignore[method-assign]
    writer.close()
    writer._ledger.abandon()


def segment(stream: Path, number: int = 1) -> Path:
    return stream / f"{number:06d}.jsonl"


def source(data: bytes) -> list[Source]:
    return [Source("000001.jsonl", lambda: BytesIO(data))]


def records(stream: Path) -> list[dict[str, Any]]:
    # What is being written at this moment is no record yet.
    whole = [path.read_bytes().rpartition(b"\n")[0] for path in sorted(stream.glob("*.jsonl"))]
    return [record.decode(line) for data in whole for line in data.splitlines()]


def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    """Wait for what another thread does, without a fixed sleep."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("it didn't happen in time")
        os.sched_yield()


def until_recorded(writer: Writer, kind: str, fields: Mapping[str, Any], seconds: float = 30.0) -> Receipt:
    """Append until the writer has mended itself."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return writer.append(kind, fields).result(seconds)
        except AuditUnavailable:
            if time.monotonic() > deadline:
                raise
