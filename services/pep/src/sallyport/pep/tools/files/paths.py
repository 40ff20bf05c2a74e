"""The one spelling of a path: what is judged is what is opened, so nothing is normalised."""

from __future__ import annotations

import unicodedata
from typing import Final

ROOT: Final = "."
MAX_DEPTH: Final = 32
MAX_NAME: Final = 255  # bytes, as in most file systems
MAX_PATH: Final = 4096  # bytes, the longest resource id in the contract
RESERVED: Final = ".sallyport-"  # our temporary files: neither named nor listed


def components(path: str) -> tuple[str, ...] | None:
    """The names that lead from the root to `path`, () for the root, or None for any but the canonical spelling.

    Refused: absolute paths, "..", "." inside, empty parts (also at the end), backslashes, control characters, text
    that isn't NFC (some file systems fold it), names and paths that are too long or too deep. A leading "./" is
    refused too: a policy that looks at `input.path` must not see a second spelling.
    """
    if path == ROOT:
        return ()
    names = tuple(path.split("/"))
    if len(names) > MAX_DEPTH or not all(map(is_name, names)) or len(path.encode()) > MAX_PATH:
        return None
    return names


def is_name(name: str) -> bool:
    """Whether `name` may stand between two slashes, and leave in JSON."""
    return (
        name not in {"", ".", ".."}
        and not name.startswith(RESERVED)
        and "/" not in name
        and "\\" not in name
        and not any(unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for character in name)
        and len(name.encode()) <= MAX_NAME
        and unicodedata.is_normalized("NFC", name)
    )
