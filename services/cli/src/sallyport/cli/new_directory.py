"""A directory that a command fills: taken only if it is new or empty, and left empty if the filling fails."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sallyport.cli.complaint import Complaint


def claim(directory: Path, who: str) -> None:
    """`who` is the command that asks. Raises Complaint where anything is in the way."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        occupied = any(directory.iterdir())
    except (FileExistsError, NotADirectoryError):
        raise Complaint(f"{_file_in_the_way(directory)} is a file", "name a new directory") from None
    except OSError as error:
        raise Complaint(
            f"{directory} can't be made: {error.strerror}", "name a directory in a place where you may write"
        ) from None
    if occupied:
        raise Complaint(
            f"{directory} is not empty, and {who} overwrites nothing",
            f"name a new directory, or remove this one yourself: rm -r {shlex.quote(str(directory))}",
        )


@contextmanager
def whole(directory: Path) -> Iterator[None]:
    """All of it or nothing: half a directory would look like a whole one, after Ctrl-C too."""
    try:
        yield
    except BaseException:
        for entry in directory.iterdir():
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
        raise


def _file_in_the_way(directory: Path) -> Path:
    return next(path for path in (directory, *directory.parents) if path.exists())
