"""`sallyport policy check`: would this set serve, and does it say what was meant?"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer
from rich.text import Text

from sallyport.cli import checking, console, policy_set
from sallyport.cli.complaint import Complaint, Exit
from sallyport.cli.policy_set import Where, locate
from sallyport.runtime import mounted_dir
from sallyport.runtime.mounted_dir import Contents
from sallyport.runtime.problems import ConfigError, Problem

if TYPE_CHECKING:
    from sallyport.pdp.findings.finding import Finding
    from sallyport.pdp.findings.parts import Parts


Examined: TypeAlias = "tuple[Parts | None, tuple[Problem, ...], tuple[Finding, ...]]"


class Format(StrEnum):
    TEXT = "text"
    JSON = "json"
    GITHUB = "github"


def check(
    directory: Where,
    strict: Annotated[bool, typer.Option("--strict", help="Fail on warnings too.")] = False,
    how: Annotated[
        Format, typer.Option("--format", help="For people, for a program, or for a pull request.")
    ] = Format.TEXT,
) -> None:
    """Load a policy set as the PDP would, and its catalog as the PEP would; then look for what can't have been meant.

    Exit code: 0 it would serve, 1 it would with warnings and --strict, 2 it would be refused.
    """
    place = locate(directory)
    parts, problems, found = _read(place)
    if how is Format.JSON:
        print(checking.as_json(problems, found, parts))
    elif how is Format.GITHUB:
        for line in checking.github(place, problems, found):
            print(line)
    else:
        show(problems, found, parts)
    if problems:
        raise Complaint(
            f"{place}: {_counted(len(problems), 'problem')}; this set would be refused",
            "mend the lines above, then check again: a gate that starts with this set refuses every call",
        )
    if found and strict:
        raise Complaint(
            f"{place}: {_counted(len(found), 'warning')}, and --strict",
            "mend the lines above, or check without --strict",
            Exit.FAILED,
        )


def _read(place: Path) -> Examined:
    try:
        return examine(mounted_dir.read(place))
    except ConfigError as error:
        return None, error.problems, ()


def examine(contents: Contents) -> Examined:
    """The set itself where it would serve, then what keeps it from serving, then what can't have been meant."""
    from sallyport.cli import unfulfilled  # noqa: PLC0415 — takes both services along
    from sallyport.pdp.findings.table import findings  # noqa: PLC0415 — no other command looks for them

    refused: tuple[Problem, ...] = ()
    try:
        parts = policy_set.parts(contents)
    except ConfigError as error:
        refused = error.problems
    # Both parse catalog.yaml: what both find is told once.
    if problems := tuple(dict.fromkeys((*refused, *policy_set.unservable(contents)))):
        return None, problems, ()
    found = (*findings(parts), *unfulfilled.findings(parts))
    return parts, (), tuple(sorted(found, key=lambda one: (one.file, one.line, one.column, one.rule)))


def show(problems: Sequence[Problem], found: Sequence[Finding], parts: Parts | None) -> None:
    for problem in problems:
        console.err.print(Text(str(problem), style="red"))
        if words := checking.mend(problem):
            console.err.print(f"    {words}")
    for finding in found:
        place = f"{finding.file}:{finding.line}:{finding.column}: "
        told = Text(place).append(f"{finding.rule}: ", style="yellow").append(finding.message)
        console.err.print(told)
        console.err.print(f"    {finding.mend}")
    if parts is not None:
        warned = f", {_counted(len(found), 'warning')}" if found else ""
        summary = checking.summary(parts) + warned
        console.out.print(Text("good: ", style="bold green").append(summary, style="not bold default"))


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
