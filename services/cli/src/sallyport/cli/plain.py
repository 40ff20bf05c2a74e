"""Text for a terminal: no name out of a file or a record moves the cursor or starts a line of its own."""

from __future__ import annotations

from typing import Final

_MORE: Final = "…"


def plain(text: str) -> str:
    return "".join(char if char.isprintable() else f"\\u{{{ord(char):x}}}" for char in text)


def cut(text: str, most: int) -> str:
    """At most so many bytes of it, and a sign where more was."""
    raw = text.encode("utf-8", "replace")
    if len(raw) <= most:
        return text
    return raw[: most - len(_MORE.encode())].decode("utf-8", "ignore") + _MORE
