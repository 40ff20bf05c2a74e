"""text/event-stream, piece by piece (HTML, Server-sent events); linear in the bytes, however they are cut."""

from __future__ import annotations

import re
from typing import Final

_LINE_END: Final = re.compile(rb"\r\n|\r|\n")
_BOM: Final = b"\xef\xbb\xbf"
_DIGITS: Final = 8


class TooLarge(Exception):
    """One event is longer than it may be."""


class Events:
    """Give the data of each event named `message` or not at all; comments are read over."""

    def __init__(self, max_bytes: int) -> None:
        self._max = max_bytes
        self._line: list[bytes] = []  # pieces of the line that has begun
        self._line_size = 0
        self._data: list[bytes] = []  # of the event that has begun
        self._data_size = 0
        self._kind = b""
        self._after_cr = False  # a line feed that comes next belongs to the line end before it
        self._first = True
        self.last_id = b""  # where a legacy server can go on from
        self.retry = 0  # milliseconds that it wants us to wait before

    def feed(self, piece: bytes) -> list[bytes]:
        """Take the next bytes and return the events that end in them. Raises TooLarge."""
        if self._after_cr and piece:
            piece, self._after_cr = piece.removeprefix(b"\n"), False
        if b"\n" not in piece and b"\r" not in piece:
            self._begin(piece)
            return []
        self._after_cr = piece.endswith(b"\r")
        first, *lines = _LINE_END.split(piece)
        whole = b"".join((*self._line, first))
        self._line, self._line_size = [], 0
        self._begin(lines.pop())
        return [data for line in (whole, *lines) if (data := self._end(line))]

    def _begin(self, piece: bytes) -> None:
        self._line.append(piece)
        self._line_size += len(piece)
        self._check()

    def _check(self) -> None:
        if self._line_size + self._data_size > self._max:
            raise TooLarge

    def _end(self, line: bytes) -> bytes:
        """One whole line: a field, or the end of the event, whose data it returns."""
        if self._first:
            self._first, line = False, line.removeprefix(_BOM)
        if not line:
            data = b"\n".join(self._data) if self._kind in {b"", b"message"} else b""
            self._data, self._data_size, self._kind = [], 0, b""
            return data
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" "))
            self._data_size += len(value) + 1
            self._check()
        elif name == b"event":
            self._kind = value.removeprefix(b" ")
        elif name == b"id":
            self.last_id = value.removeprefix(b" ")
        elif name == b"retry" and len(value) <= _DIGITS and value.strip().isdigit():
            self.retry = int(value)
        return b""
