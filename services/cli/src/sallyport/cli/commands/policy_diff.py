"""`sallyport policy diff`: what another policy set would change, in words and for requests that were really made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sallyport.cli import console, policy_set
from sallyport.cli.complaint import Complaint, Exit
from sallyport.cli.facts import Sessions, session_of
from sallyport.cli.plain import plain
from sallyport.runtime.problems import ConfigError, Problem

if TYPE_CHECKING:
    from sallyport.cli.comparing import Asked
    from sallyport.cli.recorded import Given
    from sallyport.pdp.findings.parts import Parts


def diff(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="A policy directory.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="Another one.")],
    requests: Annotated[
        Path | None,
        typer.Option(
            metavar="LOG", help="An audit directory, its records as a file, or a *.test.yaml.", show_default=False
        ),
    ] = None,
    role: Annotated[
        list[str] | None,
        typer.Option(help="A role of everybody recorded; may be repeated.", show_default="inferred"),
    ] = None,
    session: Sessions = None,
) -> None:
    """Say what differs between two policy sets, and ask both what LOG holds: which requests flip, and why.

    Exit code: 0 nothing flips, 1 something does, 2 wrong usage or a set that doesn't load.
    """
    from sallyport.cli import comparing, recorded  # noqa: PLC0415 — takes Cedar along

    before, after = _read(old), _read(new)
    told = tuple(comparing.differences(before, after))
    for line in told or ("the two sets say the same",):
        console.out.print(plain(line))
    if requests is None:
        return
    given = recorded.Given(None if role is None else tuple(role), session=session_of(session))
    asked = _asked(requests, before, after, given)
    found = tuple(comparing.answers(asked, before, after))
    console.out.print("")
    for line in comparing.flips(found):
        console.out.print(plain(line))
    otherwise = sum(one.otherwise for one in found)
    flipped = sum(one.flips for one in found)
    tail = f"; {otherwise} with other obligations" if otherwise else ""
    console.out.print(f"{len(found)} requests asked of both: {flipped} flip{'s' if flipped == 1 else ''}{tail}")
    if flipped:
        raise typer.Exit(Exit.FAILED)


def _read(directory: Path) -> Parts:
    place = policy_set.locate(directory)
    try:
        return policy_set.read(place)
    except ConfigError as error:
        problems = (Problem(str(place / one.file), one.line, one.column, one.message) for one in error.problems)
        raise ConfigError(problems) from None


def _asked(log: Path, old: Parts, new: Parts, given: Given) -> tuple[Asked, ...]:
    from sallyport.cli import comparing, recorded  # noqa: PLC0415

    if log.suffix in {".yaml", ".yml"}:
        return _cases(log, old, new)
    if not log.exists():
        raise Complaint(f"{log} is not there", "name an audit directory, a file of records, or a *.test.yaml")
    records = tuple(recorded.read(log) if log.is_dir() else recorded.read_file(log))
    if not records:
        raise Complaint(
            f"{log} holds no call that a PDP decided", f"see `{console.command('audit', 'show', log)}`, or name another"
        )
    again = comparing.rebuilt(records, given, old, new)
    if again.guessed:
        console.warn(
            f"without the PDP's, records hold neither roles nor arguments: for {again.guessed} calls the fewest roles are taken that give "
            "the recorded decision, and stand-ins for arguments; say --role if all had the same"
        )
    if again.nameless:
        console.warn(f"{again.nameless} refused calls are left out: their records name no resource")
    if again.left_out:
        console.warn(
            f"{len(again.left_out)} calls are left out: neither set decides them as recorded, so something that isn't "
            f"recorded made the difference (such as decision {again.left_out[0].decision_id})"
        )
    return again.asked


def _cases(log: Path, old: Parts, new: Parts) -> tuple[Asked, ...]:
    """The cases may name what only one of the sets knows."""
    from sallyport.cli import asked, comparing  # noqa: PLC0415

    found = asked.read(log, old.snapshot, also=new.snapshot)
    return tuple(comparing.Asked(f"case {one.name!r}", one.question) for one in found)
