"""`sallyport policy explain`: why something was, or would be, permitted or denied."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from sallyport.cli import audit_place, console, policy_set
from sallyport.cli.complaint import Complaint, Exit
from sallyport.cli.facts import Inputs, Sessions, input_of, session_of, uid_of
from sallyport.cli.policy_set import There

if TYPE_CHECKING:
    from sallyport.cli.recorded import Given, Recorded
    from sallyport.pdp.findings.parts import Parts
    from sallyport.pdp.model import Principal, Query

_HERE: Final = Path()


def explain(
    decision_id: Annotated[
        str | None, typer.Argument(metavar="DECISION_ID", help="A recorded decision, of DIR/audit.", show_default=False)
    ] = None,
    request: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Ask what this file says: one case as in a *.test.yaml.", show_default=False),
    ] = None,
    case: Annotated[
        str, typer.Option(metavar="NAME", help="The case, if FILE holds several.", show_default=False)
    ] = "",
    directory: There = _HERE,
    audit: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where the decision is recorded: DIR or DIR/audit.", show_default="as --dir"),
    ] = None,
    role: Annotated[
        list[str] | None,
        typer.Option(
            help="A role that the user had, where the PDP's record is gone, or another one to try. May be repeated.",
            show_default="as recorded",
        ),
    ] = None,
    resource: Annotated[
        str | None,
        typer.Option(metavar="TYPE::ID", help="The resource, if the record names none.", show_default=False),
    ] = None,
    values: Inputs = None,
    input_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="All arguments, as JSON or YAML.", show_default=False)
    ] = None,
    session: Sessions = None,
) -> None:
    """Say why a call was decided as it was: every policy looked at, and which part of it was false, with the values.

    Exit code: 0 explained, 1 there is no such decision, 2 wrong usage.
    """
    if (decision_id is None) is (request is None):
        raise Complaint(
            "say either a DECISION_ID or --request FILE",
            f"ids are listed by `{console.command('audit', 'show', 'DIR')}`",
        )
    parts = policy_set.read(policy_set.locate(directory))
    if request is not None:
        _explain_file(request, case, parts)
        return
    from sallyport.cli.recorded import Given  # noqa: PLC0415 — no other command needs the engine room

    recorded = _recorded(directory, directory if audit is None else audit, str(decision_id), parts)
    if recorded is None:
        return
    tool = parts.snapshot.catalog.tool(recorded.action)
    given = Given(
        None if role is None else tuple(role),
        resource=None if resource is None else uid_of(resource),
        input=input_of(values, input_file, tool),
        session=session_of(session),
    )
    _explain_record(recorded, given, parts)


def _explain_file(file: Path, case: str, parts: Parts) -> None:
    from sallyport.cli import asked  # noqa: PLC0415

    for number, one in enumerate(asked.read(file, parts.snapshot, case)):
        if number:
            console.out.print("")
        question = one.question
        _print(parts, question.principal, question.query, question.at)


def _recorded(there: Path, audit: Path, decision_id: str, parts: Parts) -> Recorded | None:
    """What policies decided; None where something else did, and that is told."""
    from sallyport.cli import turned_away  # noqa: PLC0415
    from sallyport.cli.recorded import read  # noqa: PLC0415

    audit_place.require_directory(audit, Exit.USAGE)
    if not decision_id:
        raise Complaint("no decision is named", f"see `{console.command('audit', 'show', audit)}`")
    found, refused = next(read(audit, decision_id), None), turned_away.find(audit, decision_id)
    if refused is not None and (refused.by_the_catalog or found is None or not found.resources):
        for line in turned_away.lines(refused, parts.snapshot.catalog, there):
            console.out.print(line)
        return None
    if found is None:
        raise Complaint(
            f"no call with the decision id {decision_id} is recorded in {audit}",
            "name the directory of `sallyport init` with --dir, or its record with --audit; "
            f"`{console.command('audit', 'show', audit)}` lists what is recorded; a listing no policy decided",
            Exit.FAILED,
        )
    return found


def _explain_record(recorded: Recorded, given: Given, parts: Parts) -> None:
    from sallyport.cli.recorded import rebuild  # noqa: PLC0415

    if not recorded.resources and given.resource is None:
        raise Complaint(
            f"the record names no resource: {recorded.action} was refused before one was known"
            + (f", by {', '.join(recorded.reasons)}" if recorded.reasons else ""),
            "say one that it could have been about, such as --resource File::alice/notes.txt",
        )
    rebuilt = rebuild(recorded, given, parts)
    _head(recorded, parts)
    for note in rebuilt.notes:
        console.warn(note)
    if recorded.revision == parts.snapshot.revision and not rebuilt.faithful:
        console.warn("this isn't the recorded decision: something that isn't recorded was otherwise; see above")
    for query in rebuilt.queries:
        _print(parts, rebuilt.principal, query, rebuilt.at)


def _head(recorded: Recorded, parts: Parts) -> None:
    effect = "permit" if recorded.permitted else "deny"
    reasons = ", ".join(recorded.reasons) or "no policy"
    console.out.print(f"recorded {recorded.at:%Y-%m-%dT%H:%M:%SZ}: {effect} by {reasons}\n")
    if recorded.revision != parts.snapshot.revision:
        console.warn(
            f"the record's revision is {recorded.revision[:12]}, this set's {parts.snapshot.revision[:12]}: "
            "explained is what this set says today; for that day's answer, name that day's directory with --dir, "
            "and the record with --audit"
        )


def _print(parts: Parts, principal: Principal, query: Query, at: datetime) -> None:
    from sallyport.cli import explaining  # noqa: PLC0415
    from sallyport.pdp.explain.explanation import explain as explain_question  # noqa: PLC0415

    explained = explain_question(parts.snapshot, principal, query, at)
    for line in explaining.lines(parts.snapshot, principal, query, at, explained):
        console.out.print(line)
