"""`sallyport policy who-can`: which roles, through which agents, may call a tool on what."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from sallyport.cli import console, policy_set
from sallyport.cli.complaint import Complaint
from sallyport.cli.facts import Inputs, Sessions, input_of, instant_of, session_of, uid_of
from sallyport.cli.plain import plain
from sallyport.cli.policy_set import There

_HERE: Final = Path()


def who_can(
    tool: Annotated[str, typer.Argument(metavar="TOOL", help="The tool's name.")],
    resource: Annotated[
        str | None,
        typer.Argument(metavar="TYPE::ID", help="One resource.", show_default="each that the set names"),
    ] = None,
    directory: There = _HERE,
    at: Annotated[
        str, typer.Option(metavar="TIME", help="When, such as 2026-03-04T12:00:00Z.", show_default="now")
    ] = "",
    values: Inputs = None,
    session: Sessions = None,
) -> None:
    """Ask for everybody whom the set tells apart whether they may call TOOL: permit, under conditions, or never.

    Exit code: 0 answered, 2 wrong usage.
    """
    from sallyport.cli import who  # noqa: PLC0415 — takes Cedar along
    from sallyport.pdp.model import Session  # noqa: PLC0415

    parts = policy_set.read(policy_set.locate(directory))
    declared = parts.snapshot.catalog.tool(tool)
    if declared is None:
        names = ", ".join(one.name for one in parts.snapshot.catalog.tools)
        raise Complaint(f"catalog.yaml has no tool {tool!r}", f"name one of: {names}")
    asked = who.Asked(
        declared,
        instant_of(at) if at else datetime.now(UTC),
        input_of(values, None, declared),
        Session(ip=None, **session_of(session)),
        uid_of(resource) if resource is not None else None,
    )
    answers = who.answers(parts, asked)
    for note in who.assumptions(asked):
        console.step(plain(note))
    for line in who.lines(answers):
        console.out.print(plain(line))
