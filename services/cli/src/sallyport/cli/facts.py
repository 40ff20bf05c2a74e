"""Facts of a question on the command line: arguments, session, time, a resource."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from sallyport.cli import arguments
from sallyport.cli.complaint import Complaint
from sallyport.runtime import strict_yaml

if TYPE_CHECKING:
    from sallyport.contract.catalog import Tool

_FACTS: Final = ("risk", "mfa_age", "call_count")
Inputs = Annotated[
    list[str] | None,
    typer.Option("--input", metavar="KEY=VALUE", help="An argument; KEY:=JSON gives JSON.", show_default=False),
]
Sessions = Annotated[
    list[str] | None,
    typer.Option("--session", metavar="FACT=N", help="risk, mfa_age or call_count.", show_default=False),
]


def input_of(values: list[str] | None, file: Path | None, tool: Tool | None) -> Mapping[str, Any]:
    """The arguments, those of the file first."""
    found = arguments.parse(values or ()).fit(tool.input if tool is not None else {})
    return {**(_mapping(file) if file is not None else {}), **found}


def session_of(values: list[str] | None) -> dict[str, int]:
    facts: dict[str, int] = {}
    for value in values or ():
        name, _, number = value.partition("=")
        if name not in _FACTS or not number.isascii() or not number.isdigit():
            raise Complaint(
                f"--session {value}: not a fact with its number", f"write one of: {', '.join(_FACTS)}, as risk=20"
            )
        facts[name] = int(number)
    return facts


def uid_of(text: str) -> tuple[str, str]:
    kind, _, identity = text.partition("::")
    if not kind or not identity:
        raise Complaint(f"{text!r} is no resource", "write it as File::alice/notes.txt")
    quoted = len(identity) > 1 and identity[0] == identity[-1] == '"'
    return kind, identity[1:-1] if quoted else identity


def instant_of(text: str) -> datetime:
    """With its time zone: a local time would be another one on another machine."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise Complaint(f"--at {text}: no time with a time zone", "write it as 2026-03-04T12:00:00Z")
    return found


def _mapping(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise Complaint(f"{file} is not a file", "name a JSON or YAML file with the arguments")
    value = strict_yaml.parse(file.read_bytes(), str(file)).value
    if not isinstance(value, dict):
        raise Complaint(f"{file} holds no arguments", "write one JSON or YAML object: {path: alice/notes.txt}")
    return dict(value)
