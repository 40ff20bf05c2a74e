"""What a verification found, stream by stream, and the exit code that says it in a number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from sallyport.audit.record import Record, clean, escape

WHOLE, USAGE, TAMPERED, BROKEN_OFF, MISSING, UNRECONCILED, NOTHING = 0, 1, 2, 3, 4, 5, 6


class State(StrEnum):
    CLOSED = "closed"
    OPEN = "open"  # being written now
    RECOVERED = "recovered"  # broken off, and its successor states exactly what is here
    UNCLOSED = "unclosed"
    TORN = "torn"
    TAMPERED = "tampered"


_CODES: Final = {State.TAMPERED: TAMPERED, State.UNCLOSED: BROKEN_OFF, State.TORN: BROKEN_OFF}
_WORST_FIRST: Final = (TAMPERED, MISSING, BROKEN_OFF)


@dataclass(slots=True)
class StreamReport:
    """One stream. Its first `records` records hold, and end with the hash `head`."""

    stream: str
    state: State
    records: int
    head: str
    detail: str = ""  # "tampered at line n: why", "torn at byte m after record n"
    bytes: int = 0  # of the valid prefix, over all segments
    torn: int = 0  # bytes after it, of a torn tail
    signed: Record | None = None  # the newest record that carries a signature

    def tampered(self, detail: str) -> None:
        """What is found first is kept: it names the earliest line."""
        if self.state is not State.TAMPERED:
            self.state, self.detail = State.TAMPERED, detail


@dataclass(slots=True)
class Report:
    streams: list[StreamReport] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)  # a sentence each
    warnings: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        codes = {_CODES.get(one.state, WHOLE) for one in self.streams}
        if self.missing:
            codes.add(MISSING)
        return next((code for code in _WORST_FIRST if code in codes), WHOLE)

    @property
    def verdict(self) -> str:
        return {WHOLE: "whole", TAMPERED: "TAMPERED", BROKEN_OFF: "torn or unclosed", MISSING: "a stream is missing"}[
            self.exit_code
        ]

    def lines(self) -> Iterator[str]:
        """For people; no name or text of a stream can break a line."""
        for one in self.streams:
            detail = f" · {one.detail}" if one.detail else ""
            yield plain(f"{one.stream}: {one.state} · valid: {one.records} records{detail}")
        yield from (plain(f"missing: {text}") for text in self.missing)
        yield from (plain(f"warning: {text}") for text in self.warnings)
        total = sum(one.records for one in self.streams)
        yield f"{self.verdict}: {len(self.streams)} streams, {total} records"


def plain(text: str) -> str:
    """One line for a terminal; file names are an opponent's text too."""
    shown = clean(text, 1000).replace("\\", "\\\\")
    return "".join(f"\\u{ord(char):04x}" if ord(char) < 0x20 else char for char in escape(shown))  # noqa: PLR2004 — C0
