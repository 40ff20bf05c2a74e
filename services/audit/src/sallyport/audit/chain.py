"""Walk one stream's lines as hostile input and find the exact prefix that holds; verifier and recovery both use it.

A line is known to be intact by what follows it: the next line's `prev`, or its own signature. Where the link between two
lines is broken, one of them was changed: the later one is believed if it is signed, or if its successor links to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from sallyport.audit import record
from sallyport.audit.errors import RecordRefused
from sallyport.audit.record import FIRST, MAX_LINE, SIGNED, Record
from sallyport.audit.signer import Keys, signed_by
from sallyport.audit.stream import Source

_READ: Final = MAX_LINE + 2  # one over the longest line with its newline
_ENTRY: Final = {"stream": str, "seq": int, "head": str, "state": str}


class Raw(NamedTuple):
    """A line as read; `last` says that nothing comes after it in the stream."""

    data: bytes
    file: str
    offset: int  # bytes before it in its file
    before: int  # bytes before it in the stream
    last: bool


@dataclass(frozen=True, slots=True)
class Fault:
    """Where the valid prefix ends. `line` counts from 1 over the whole stream; `byte` from 0 in `file`."""

    torn: bool  # a write that was cut short; else somebody changed it
    line: int
    file: str
    byte: int
    reason: str
    bytes_after: int  # of a torn tail


@dataclass(slots=True)
class Chain:
    """The state of a walk: everything known after the last accepted line. Constant in size but for open intents."""

    stream: str
    keys: Keys | None  # None: signatures aren't checked (recovery, which claims nothing)
    seq: int = -1
    head: str = FIRST
    before_head: str = FIRST
    opened: Record | None = None
    last_signed: Record | None = None
    unsigned_since: str = ""  # time of the first record after the last signed one
    closed: bool = False
    pending: dict[str, int] = field(default_factory=dict)  # decision id -> seq of the intent
    adopted: list[Record] = field(default_factory=list)  # outcomes given to another stream's intents
    previous: Raw | None = None
    tail: tuple[int, int] = (0, 0)  # monotonic ns: from the last signed record to the latest after it

    def misplaced(self, line: Record) -> str:
        """Why this well-formed line doesn't belong here, its link aside; empty if it does."""
        if line["stream"] != self.stream:
            return "it belongs to stream " + record.clean(line["stream"], 64)
        if self.closed:
            return "it comes after the close"
        if line["seq"] != self.seq + 1:
            return f"its seq is {line['seq']}, not {self.seq + 1}"
        if (line["kind"] == "open") != (self.seq < 0):
            return "a stream has one open record, its first"
        return ""

    def unfounded(self, line: Record) -> str:
        """Why this linked line can't be true; empty if it can."""
        if self.keys is not None and line["kind"] in SIGNED and not signed_by(self.keys, line):
            return "its signature is by none of the keys"
        if line["kind"] == "intent" and line["decision_id"] in self.pending:
            return "a second intent for one decision"
        if line["kind"] == "outcome" and "of" not in line and line["decision_id"] not in self.pending:
            return "an outcome without an intent before it, or a second one"
        return ""

    def accept(self, line: Record, raw: Raw) -> None:
        self.seq, self.before_head, self.head = line["seq"], self.head, record.digest(raw.data[:-1])
        self.previous = raw
        kind = line["kind"]
        if kind == "intent":
            self.pending[line["decision_id"]] = self.seq
        elif kind == "outcome":
            self._resolve(line)
        self._span(line)
        if kind in SIGNED:
            self.last_signed, self.unsigned_since = line, ""
            self.opened = self.opened or line
            self.closed = kind == "close"
        elif not self.unsigned_since:
            self.unsigned_since = line["time"]

    def _span(self, line: Record) -> None:
        """Keep the earliest and the latest monotonic time since the last signature, that one included."""
        if line["kind"] in SIGNED:
            self.tail = (line["mono"], line["mono"])
        else:
            self.tail = (min(self.tail[0], line["mono"]), max(self.tail[1], line["mono"]))

    def withdraw(self) -> None:
        """Take back the last line: what follows proves it was changed."""
        self.seq, self.head = self.seq - 1, self.before_head

    def _resolve(self, line: Record) -> None:
        if "of" in line:
            self.adopted.append(line)
        else:
            self.pending.pop(line["decision_id"])


def entries(opened: Record) -> Iterator[dict[str, Any]]:
    """What an open record states of earlier streams, as far as it is well-formed: it may be forged."""
    stated = opened.get("previous")
    for entry in stated if isinstance(stated, list) else ():
        if isinstance(entry, dict) and all(type(entry.get(name)) is kind for name, kind in _ENTRY.items()):
            yield entry


def lines(sources: Sequence[Source]) -> Iterator[Raw]:
    """All lines of all segments, never more than one of them in memory."""
    before = 0
    held: Raw | None = None
    for source in sources:
        offset = 0
        with source.open() as file:
            while data := file.readline(_READ):
                if held is not None:
                    yield held
                held = Raw(data, source.name, offset, before, last=False)
                offset += len(data)
                before += len(data)
                if len(data) == _READ:
                    break  # longer than any record: what comes after it is of no interest
    if held is not None:
        yield held._replace(last=True)


def walk(chain: Chain, raws: Iterator[Raw], seen: Callable[[Record], None] | None = None) -> Fault | None:
    """Accept lines until the first that doesn't hold; None if all do. `seen` gets each accepted record."""
    for raw in raws:
        line, reason = _read(raw)
        if line is None:
            return _fault(chain, raw, reason or ("it comes after the close" if chain.closed else ""))
        reason = chain.misplaced(line)
        if not reason and line["prev"] != chain.head:
            return _broken_link(chain, line, raw, next(raws, None))
        reason = reason or chain.unfounded(line)
        if reason:
            return _fault(chain, raw, reason)
        chain.accept(line, raw)
        if seen is not None:
            seen(line)
    return None


def _read(raw: Raw) -> tuple[Record | None, str]:
    if not raw.data.endswith(b"\n"):
        return None, "" if raw.last and _could_be_torn(raw.data) else "the line doesn't end"
    try:
        return record.decode(raw.data[:-1]), ""
    except RecordRefused as refused:
        return None, str(refused)


def _could_be_torn(tail: bytes) -> bool:
    """A write cut short leaves the beginning of a record: nothing stands after its closing brace."""
    if len(tail) > MAX_LINE:
        return False
    try:
        record.decode(tail[:-1])
    except RecordRefused:
        return True
    return False


def _fault(chain: Chain, raw: Raw, reason: str) -> Fault:
    """An empty reason is a torn tail."""
    return Fault(not reason, chain.seq + 2, raw.file, raw.offset, reason, 0 if reason else len(raw.data))


def _broken_link(chain: Chain, line: Record, raw: Raw, after: Raw | None) -> Fault:
    """Of two lines that don't fit together, name the one that was changed."""
    before = chain.previous
    if before is None or not _vouched_for(chain, line, raw, after) or _is_signed_head(chain):
        return _fault(chain, raw, "it doesn't link to the line before")
    chain.withdraw()
    return _fault(chain, before, "the next line links to other bytes")


def _vouched_for(chain: Chain, line: Record, raw: Raw, after: Raw | None) -> bool:
    if line["kind"] in SIGNED:
        return chain.keys is None or signed_by(chain.keys, line)
    if after is None:
        return False
    following, _ = _read(after)
    return following is not None and following["prev"] == record.digest(raw.data[:-1])


def _is_signed_head(chain: Chain) -> bool:
    return chain.last_signed is not None and chain.last_signed["seq"] == chain.seq
