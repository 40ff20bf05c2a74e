"""How many elements an upstream's JSON may have: it is parsed in one go, in which only a number or an object's end gives others a turn.

Realistic rows are far from these bounds. What stands in strings, such as prose, code or CSV, is no element.
"""

from __future__ import annotations

from typing import Final

from sallyport.runtime.strict_json import outside_strings

MOST_BRACKETS: Final = 500_000
MOST_IN_A_ROW: Final = 100_000  # arrays and members between two turns: some 50 ms
_TURN: Final = b"0"
_TURNS: Final = bytes.maketrans(b"123456789}", _TURN * 10)
_NO_MARKS: Final = bytes(sorted(set(range(256)) - set(b"[:}0123456789")))


def excess(data: bytes) -> str:
    """What it has too many of; "" if nothing."""
    if data.count(b"[") + data.count(b"{") + data.count(b":") <= MOST_IN_A_ROW:  # as nearly all, in strings or not
        return ""
    outside = outside_strings(data)
    if outside.count(b"[") + outside.count(b"{") > MOST_BRACKETS:
        return f"more than {MOST_BRACKETS} arrays and objects"
    return f"more than {MOST_IN_A_ROW} arrays and members in a row" if _has_long_row(outside) else ""


def _has_long_row(outside: bytes) -> bool:
    """A row that is too long holds one of every so many marks; from there its two ends are looked for."""
    marks = outside.translate(_TURNS, _NO_MARKS) + _TURN
    return any(
        marks.find(_TURN, at) - marks.rfind(_TURN, 0, at) - 1 > MOST_IN_A_ROW
        for at in range(0, len(marks), MOST_IN_A_ROW)
    )
