"""`sallyport policy`: look at a policy set with the services' own eyes, before it bites."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import typer
from rich.text import Text

from sallyport.cli import console
from sallyport.cli.complaint import Complaint
from sallyport.runtime import mounted_dir
from sallyport.runtime.problems import ConfigError, Problem

if TYPE_CHECKING:
    from sallyport.pdp.snapshot import Snapshot

_ANY: Final = {"allow_extra_args": True, "ignore_unknown_options": True}

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

Where = Annotated[Path, typer.Argument(metavar="DIR", help="A policy directory, or one made by `sallyport init`.")]


@app.callback()
def policy() -> None:
    """Check policies, or show what they compile to."""


@app.command(no_args_is_help=True)
def check(directory: Where) -> None:
    """Load a policy set as the PDP would, and its catalog as the PEP would.

    Prints every problem with file and line. Exit code: 0 it would serve, 2 it would be refused.
    """
    place = _policies(directory)
    # Both parse catalog.yaml: what both find is told once.
    problems = dict.fromkeys(problem for load in (_load, _load_catalog) for problem in _problems(load, place))
    if problems:
        _complain(place, problems)
    snapshot = _load(place)
    console.out.print(Text("good: ", style="bold green").append(_summary(snapshot), style="not bold default"))


@app.command(no_args_is_help=True)
def show(directory: Where) -> None:
    """Print what is compiled from the roles, and every policy, as Cedar with ids."""
    snapshot = _load(_policies(directory))
    console.out.print(snapshot.compiled.rstrip())
    for policy in snapshot.policies:
        if policy.statement.text not in snapshot.compiled:
            console.out.print(f"\n// {policy.statement.file}\n{policy.statement.text.strip()}")


# Named in the design, so somebody will type them: a hidden command answers better than "No such command".
@app.command("test", hidden=True, add_help_option=False, context_settings=_ANY)
@app.command("explain", hidden=True, add_help_option=False, context_settings=_ANY)
def later(context: typer.Context) -> None:
    now = console.command("policy", "check", "DIR"), console.command("audit", "show", "DIR", "--decision", "ID")
    raise Complaint(
        f"`policy {context.info_name}` comes with a later version",
        f"check a set with `{now[0]}`; see why something was decided with `{now[1]}`",
    )


def _complain(place: Path, problems: Collection[Problem]) -> NoReturn:
    for problem in problems:
        console.err.print(Text(str(problem), style="red"))
    raise Complaint(
        f"{place}: {len(problems)} problem{'' if len(problems) == 1 else 's'}; this set would be refused",
        "mend the lines above, then check again: a gate that starts with this set refuses every call",
    )


def _problems(load: Callable[[Path], object], place: Path) -> tuple[Problem, ...]:
    try:
        load(place)
    except ConfigError as error:
        return error.problems
    return ()


def _load(place: Path) -> Snapshot:
    from sallyport.pdp.load import load  # noqa: PLC0415 — no other command needs Cedar

    return load(mounted_dir.read(place))


def _load_catalog(place: Path) -> None:
    """As the PEP loads it: with schemas it can compile and hosted tools that there are."""
    from sallyport.pep import catalog  # noqa: PLC0415 — no other command needs the PEP's parts
    from sallyport.pep.schema import compile_schema  # noqa: PLC0415
    from sallyport.pep.tools import NAMES  # noqa: PLC0415

    data = mounted_dir.read(place).files.get(catalog.FILE)
    if data is not None:  # a missing one is told by the PDP's loader
        catalog.load(data, compile_schema=compile_schema, hosted=NAMES)


def _summary(snapshot: Snapshot) -> str:
    return f"{len(snapshot.policies)} policies, {len(snapshot.catalog.tools)} tools, revision {snapshot.revision[:12]}"


def _policies(directory: Path) -> Path:
    inside = directory / "policies"
    place = inside if inside.is_dir() else directory
    if not place.is_dir():
        raise Complaint(
            f"{directory} is not a directory",
            f"name a policy directory, or one made by `{console.command('init', 'DIR')}`",
        )
    return place
