"""`sallyport policy`: look at a policy set with the PDP's own eyes, before it bites."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from sallyport.cli import console
from sallyport.cli.complaint import Complaint
from sallyport.runtime import mounted_dir
from sallyport.runtime.problems import ConfigError

if TYPE_CHECKING:
    from sallyport.pdp.snapshot import Snapshot

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

Where = Annotated[Path, typer.Argument(metavar="DIR", help="A policy directory, or one made by `sallyport init`.")]


@app.callback()
def policy() -> None:
    """Check policies, or show what they compile to."""


@app.command(no_args_is_help=True)
def check(directory: Where) -> None:
    """Load a policy set as the PDP would.

    Prints every problem with file and line. Exit code: 0 it would serve, 2 it would be refused.
    """
    place = _policies(directory)
    try:
        snapshot = _load(place)
    except ConfigError as error:
        for problem in error.problems:
            console.err.print(Text(str(problem), style="red"))
        count = len(error.problems)
        raise Complaint(
            f"{place}: {count} problem{'' if count == 1 else 's'}; the PDP would refuse this set",
            "mend the lines above; until then a running PDP keeps the last good set",
        ) from None
    console.out.print(Text("good: ", style="bold green").append(_summary(snapshot), style="not bold default"))


@app.command(no_args_is_help=True)
def show(directory: Where) -> None:
    """Print what is compiled from the roles, and every policy, as Cedar with ids."""
    snapshot = _load(_policies(directory))
    console.out.print(snapshot.compiled.rstrip())
    for policy in snapshot.policies:
        if policy.statement.text not in snapshot.compiled:
            console.out.print(f"\n// {policy.statement.file}\n{policy.statement.text.strip()}")


def _load(place: Path) -> Snapshot:
    from sallyport.pdp.load import load  # noqa: PLC0415 — no other command needs Cedar

    return load(mounted_dir.read(place))


def _summary(snapshot: Snapshot) -> str:
    return f"{len(snapshot.policies)} policies, {len(snapshot.catalog.tools)} tools, revision {snapshot.revision[:12]}"


def _policies(directory: Path) -> Path:
    inside = directory / "policies"
    place = inside if inside.is_dir() else directory
    if not place.is_dir():
        raise Complaint(f"{directory} is not a directory", "name a policy directory, or one made by `sallyport init`")
    return place
