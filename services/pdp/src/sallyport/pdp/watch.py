"""A cheap look at a policy directory, to tell whether it changed; it is read whole only then."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_LINK: Final = "..data"


@dataclass(frozen=True, slots=True)
class Look:
    """Two looks are equal if nothing happened between them that a file system tells."""

    link: str  # where `..data` points; empty for a plain directory
    entries: tuple[tuple[str, int, int, int, int], ...] = ()
    missing: str = ""  # why there is nothing to see

    def is_due(self, before: Look | None, judged: Look | None) -> bool:
        """Whether to read it now: it isn't what was judged last, and nobody is still writing it.

        A half-copied directory may be a valid one that lacks a forbid, so it must look the same twice. The kubelet
        swings a link to a finished one.
        """
        if self == judged:
            return False
        swung = bool(self.link) and (judged is None or judged.link != self.link)
        return swung or self == before


def look(directory: Path) -> Look:
    link = ""
    try:
        link = _target(directory)
        with os.scandir(directory / link) as entries:
            found = [(entry.name, entry.stat(follow_symlinks=False)) for entry in entries]
    except OSError as error:
        return Look(link, missing=error.strerror or type(error).__name__)
    # The change time, too: a file of the same length may be copied over with its old modification time.
    return Look(
        link,
        tuple(sorted((name, told.st_ino, told.st_size, told.st_mtime_ns, told.st_ctime_ns) for name, told in found)),
    )


def _target(directory: Path) -> str:
    try:
        return str((directory / _LINK).readlink())
    except FileNotFoundError:
        return ""
