"""A policy directory as the `policy` commands take it: named by itself, or by the directory of `sallyport init`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sallyport.cli import console
from sallyport.cli.complaint import Complaint
from sallyport.runtime import mounted_dir

if TYPE_CHECKING:
    from sallyport.pdp.findings.parts import Parts
    from sallyport.pdp.snapshot import Snapshot

_HELP = "A policy directory, or one made by `sallyport init`."
Where = Annotated[Path, typer.Argument(metavar="DIR", help=_HELP)]
There = Annotated[Path, typer.Option("--dir", metavar="DIR", help=_HELP, show_default="where you are")]


def locate(directory: Path) -> Path:
    """The policy directory itself."""
    inside = directory / "policies"
    place = inside if inside.is_dir() else directory
    if not place.is_dir():
        raise Complaint(
            f"{directory} is not a directory",
            f"name a policy directory, or one made by `{console.command('init', 'DIR')}`",
        )
    return place


def load(place: Path) -> Snapshot:
    """As the PDP loads it. Raises ConfigError with every problem."""
    from sallyport.pdp.load import load as load_set  # noqa: PLC0415 — no other command needs Cedar

    return load_set(mounted_dir.read(place))


def read(place: Path) -> Parts:
    """The same, with what the other files say. Raises ConfigError."""
    from sallyport.pdp.findings.parts import read as read_set  # noqa: PLC0415

    return read_set(mounted_dir.read(place))
