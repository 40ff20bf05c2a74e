"""`sallyport audit`: verify the record, hold its two sides against each other, and read it."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from sallyport.audit import show as view
from sallyport.audit import verify as verifier
from sallyport.audit.record import KINDS, Record, escape
from sallyport.cli import console
from sallyport.cli.audit_place import require_directory, require_record
from sallyport.cli.commands.audit_reconcile import reconcile
from sallyport.cli.complaint import Complaint, Exit

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)
_EARLIEST: Final = "0001-01-01T00:00:00.000000Z"
_ALL_KINDS: Final = ", ".join(sorted(KINDS))
_DETAILS: Final = (
    ("compound_id", "who"),
    ("org", "org"),
    ("roles", "roles"),
    ("scopes", "scopes"),
    ("source", "asked over"),
    ("client", "client"),
    ("purpose", "purpose"),
    ("tool", "tool"),
    ("actions", "actions"),
    ("resources", "resources"),
    ("effect", "decision"),
    ("shown", "shown"),
    ("hidden", "hidden"),
    ("reasons", "policies"),
    ("errors", "errors"),
    ("obligations", "demands"),
    ("reason", "refused"),
    ("detail", "detail"),
    ("outcome", "outcome"),
    ("revision", "revision"),
    ("in_force", "in force"),
    ("trigger", "trigger"),
    ("problems", "problems"),
)


class Format(StrEnum):
    LINE = "line"
    JSON = "json"
    TABLE = "table"


@app.callback()
def audit() -> None:
    """Verify the audit record, reconcile its two sides, or read it."""


# Handed over whole: a usage error must be 1 there, because 2 means tampered.
_WHOLE: Final = {"allow_extra_args": True, "ignore_unknown_options": True}
app.command("reconcile", add_help_option=False, context_settings=_WHOLE)(reconcile)


@app.command(add_help_option=False, context_settings=_WHOLE)
def verify(context: typer.Context) -> None:
    """Check every stream of DIR with public keys alone.

    Exit code: 0 whole, 1 wrong usage, 2 tampered, 3 torn or unclosed, 4 a stream missing.
    """
    require_record(context.args)
    raise typer.Exit(verifier.main(context.args))


@app.command(no_args_is_help=True)
def show(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Made by `sallyport init`, or an audit directory.")],
    how: Annotated[
        Format | None,
        typer.Option("--format", help="How to print.", show_default="line, or all there is on --decision"),
    ] = None,
    decision: Annotated[str | None, typer.Option(metavar="ID", help="Only this decision.", show_default=False)] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(help="intent, refusal, outcome, decision, ...; may be repeated.", show_default=False),
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="UTC, such as 2026-11-21T09.", show_default=False)
    ] = None,
    user: Annotated[str | None, typer.Option(help="Only this user.", show_default=False)] = None,
) -> None:
    """Print what was decided. The record isn't checked here; `verify` does that."""
    require_directory(directory, Exit.USAGE)
    _require_text(decision, "--decision", "an id, as a refusal or `audit show` prints it")
    _require_text(user, "--user", "a user, such as alice")
    chosen = view.Filter(decision or "", _kinds(kind, how, decision), _since(since), user or "")
    found = list(view.records(directory, chosen))
    if decision and not found:
        raise Complaint(
            f"no record of decision {decision} in {directory}",
            f"look at all of them: {console.command('audit', 'show', directory)}",
            Exit.FAILED,
        )
    for text in _lines(found, how, whole=bool(decision)):
        sys.stdout.write(text + "\n")


def _require_text(value: str | None, option: str, what: str) -> None:
    if value is not None and not value:
        raise Complaint(f"{option} is empty", f"give {what}, or leave {option} out")


def _since(text: str | None) -> str:
    """The time without its Z, so that it compares as a prefix; refused unless some time begins with it."""
    if text is None:
        return ""
    begun = text.removesuffix("Z")
    whole = begun + _EARLIEST[len(begun) :]
    if not begun or not _is_time(whole):
        raise Complaint(f"--since {text!r} is no UTC time", "write 2026-11-21, 2026-11-21T09 or 2026-11-21T09:30:00Z")
    return begun


def _is_time(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return _TIME.fullmatch(text) is not None


def _kinds(kind: list[str] | None, how: Format | None, decision: str | None) -> frozenset[str]:
    """What isn't asked for otherwise: the decisions; for a machine all that is said once; of one decision all there is."""
    if unknown := set(kind or ()) - KINDS:
        raise Complaint(f"--kind: there is no {', '.join(sorted(map(repr, unknown)))}", f"one of: {_ALL_KINDS}")
    if how is Format.JSON:
        return frozenset(kind or view.ONCE)
    return frozenset(kind or (() if decision else view.DECISIONS))


def _lines(found: Iterable[Record], how: Format | None, *, whole: bool) -> Iterator[str]:
    match how:
        case Format.JSON:
            yield from map(view.as_json, found)
        case Format.TABLE:
            yield from _table([view.row(record) for record in found])
        case None if whole:
            for record in found:
                yield from _details(record)
        case _:
            yield from map(view.line, found)


def _table(rows: list[view.Row]) -> Iterator[str]:
    """Columns of plain text: they survive a pipe, and no box is drawn."""
    head = ("TIME", "KIND", "WHO", "TOOL", "RESOURCE", "DECISION", "DECISION ID")
    cells = [head]
    cells += [(r.time, r.kind, r.compound_id, r.tool, r.resource, r.decision, r.decision_id) for r in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _details(record: Record) -> Iterator[str]:
    yield f"{record['time']} {record['kind']}"
    for name, label in _DETAILS:
        if name in record:
            yield f"  {label:<10} {_plain(record[name], empty='none')}"


def _plain(value: Any, *, empty: str) -> str:
    """One line, whatever it holds: no control character of an opponent's text reaches the terminal."""
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return escape(json.dumps(text, ensure_ascii=False)[1:-1]) or empty
