"""The record for people: the reference line, JSON, and rows for a table. A view only: `verify` says what to believe."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sallyport.audit import record, stream
from sallyport.audit.chain import lines
from sallyport.audit.errors import RecordRefused
from sallyport.audit.record import KINDS, Record, clean, escape
from sallyport.audit.verify import locate

# What the reference line tells of. The PDP's `decision` says the same once more: only for whoever asks for it.
DECISIONS: Final = frozenset({"intent", "refusal"})
ONCE: Final = KINDS - {"decision"}
_DENIALS: Final = frozenset({"denied", "unknown_tool"})  # one answer to the client, and one here
_NONE: Final = "-"
_LONGEST: Final = 4096  # characters of one value shown


@dataclass(frozen=True, slots=True)
class Filter:
    """Empty means all. `since` is an RFC 3339 UTC time or a prefix of one, compared as text."""

    decision: str = ""
    kinds: frozenset[str] = frozenset()
    since: str = ""
    user: str = ""

    def takes(self, line: Record) -> bool:
        return (
            (not self.decision or line.get("decision_id") == self.decision)
            and (not self.kinds or line["kind"] in self.kinds)
            and (not self.since or line["time"] >= self.since)
            and (not self.user or line.get("user") == self.user)
        )


@dataclass(frozen=True, slots=True)
class Row:
    """One record as a table shows it; every cell is one line."""

    time: str
    kind: str
    compound_id: str
    tool: str
    resource: str
    decision: str
    decision_id: str


def records(path: Path, chosen: Filter | None = None) -> Iterator[Record]:
    """All records of `DIR` or `DIR/audit` that the filter takes, stream by stream. Unreadable lines are passed over."""
    audit, _ = locate(path)
    wanted = chosen or Filter()
    for name in stream.streams(audit):
        for raw in lines(stream.sources(audit / name)):
            try:
                line = record.decode(raw.data.removesuffix(b"\n"))
            except RecordRefused:
                continue  # what it was is the verifier's to say
            if wanted.takes(line):
                yield line


def rows(path: Path, chosen: Filter | None = None) -> Iterator[Row]:
    return (row(line) for line in records(path, chosen))


def row(line: Record) -> Row:
    who, tool, what, decision = _fields(line)
    cells = (line["time"], line["kind"], who, tool, what, decision, _text(line.get("decision_id")))
    return Row(*(_one_line(cell) for cell in cells))


def line(shown: Record) -> str:
    """`[Timestamp] [CompoundID] [ToolName] [Resource] [PDP_Decision]`; no value can close its bracket."""
    return " ".join(f"[{_bracketed(value)}]" for value in (shown["time"], *_fields(shown)))


def as_json(shown: Record) -> str:
    """The canonical line itself: its hash is the chain's."""
    return record.encode(shown).decode()


def _fields(line: Record) -> tuple[str, str, str, str]:
    who = _text(line.get("compound_id") or line.get("user"))
    tool = line.get("tool") or line.get("method") or _joined(line.get("actions"))
    return who, _text(tool), _joined(line.get("resources")) or _NONE, _decision(line)


def _decision(line: Record) -> str:
    kind = line["kind"]
    if kind == "intent":
        return "PERMIT"
    if kind == "refusal":
        return "DENY" if line["reason"] in _DENIALS else f"REFUSED({line['reason']})"
    if kind == "decision":
        return _judged(line)
    return f"OUTCOME({line['outcome']})" if kind == "outcome" else str(kind).upper()


def _judged(line: Record) -> str:
    """The PDP's word. What is shown in a listing isn't permitted yet, so it must not read as if it were."""
    if line.get("purpose") == "visibility":
        return f"SHOWN({line.get('shown')})+HIDDEN({line.get('hidden')})"
    return "PERMIT" if line.get("effect") == "permit" else "DENY"


def _joined(value: Any) -> str:
    return ", ".join(str(one) for one in value) if isinstance(value, list) else ""


def _text(value: Any) -> str:
    return value if isinstance(value, str) and value else _NONE


def _bracketed(text: str) -> str:
    cut = clean(text, _LONGEST)  # first: a cut must not take the escape from before a bracket
    for char in "\\[]":
        cut = cut.replace(char, f"\\{char}")
    return _visible(cut)


def _one_line(text: str) -> str:
    return _visible(clean(text, _LONGEST))


def _visible(text: str) -> str:
    """No control character reaches a terminal or a line reader."""
    return "".join(f"\\u{ord(char):04x}" if ord(char) < 0x20 else char for char in escape(text))  # noqa: PLR2004 — C0
