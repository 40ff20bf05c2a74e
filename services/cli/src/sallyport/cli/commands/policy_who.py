"""`sallyport policy who-can`: which roles, through which agents, may call a tool, or use a method, on what."""

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
    tool: Annotated[str, typer.Argument(metavar="TOOL", help="The tool's name, or a method's: prompts/get.")],
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
    rules = parts.snapshot.rules.get(tool)
    if rules is None:
        raise Complaint(f"there is no tool and no method {tool!r}", f"name one of: {', '.join(parts.snapshot.rules)}")
    asked = who.Asked(
        rules.action,
        instant_of(at) if at else datetime.now(UTC),
        input_of(values, None, rules.action.tool),
        Session(ip=None, **session_of(session)),
        uid_of(resource) if resource is not None else None,
    )
    answers = who.answers(parts, asked)
    for note in who.assumptions(asked):
        console.step(plain(note))
    for line in who.lines(answers):
        console.out.print(plain(line))
