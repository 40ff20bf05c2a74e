"""Text for a terminal: no name out of a file or a record moves the cursor or starts a line of its own."""

from __future__ import annotations


def plain(text: str) -> str:
    return "".join(char if char.isprintable() else f"\\u{{{ord(char):x}}}" for char in text)
