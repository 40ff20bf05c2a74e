"""`sallyport call DIR --as USER/AGENT TOOL [key=value]…`: one tool call, and what the gate says to it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer
from rich.text import Text

from sallyport.cli import arguments, console, endpoint, issuer
from sallyport.cli.complaint import Complaint, Exit
from sallyport.cli.laptop import Laptop

if TYPE_CHECKING:
    from sallyport.cli.mcp_call import Refused, Result, Unreachable

_INTERNAL_ERROR: Final = -32603  # "authorization unavailable", or broken after the effect began


def call(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A directory that `sallyport up` runs on.")],
    tool: Annotated[str, typer.Argument(metavar="TOOL", help="The tool's name.")],
    caller: Annotated[str, typer.Option("--as", metavar="USER/AGENT", help="Who calls, such as alice/coding-bot.")],
    values: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE", help="Arguments; KEY:=JSON gives JSON as it is.", show_default=False),
    ] = None,
    org: Annotated[str | None, typer.Option(help="The tenant.", show_default="the sample person's")] = None,
    role: Annotated[
        list[str] | None, typer.Option(help="A role; may be repeated.", show_default="the sample person's")
    ] = None,
    scope: Annotated[
        list[str] | None, typer.Option(help="An OAuth scope; may be repeated.", show_default=False)
    ] = None,
    era: Annotated[Literal["modern", "legacy"], typer.Option(help="The protocol era to speak.")] = "modern",
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole answer as JSON.")] = False,
) -> None:
    """Call a tool as somebody.

    Exit code: 0 permitted and done, 2 wrong usage, 3 refused, 4 unavailable, 5 the tool failed.
    """
    from sallyport.cli import mcp_call  # noqa: PLC0415 — the SDK takes most of a second to import

    laptop = Laptop.at(directory)
    given = arguments.parse(values or ())
    who = _identity(caller, org, role, scope)
    here = endpoint.read(laptop)
    work = mcp_call.call(here, issuer.mint(laptop, who), tool, given.fit, ask=given.ambiguous, era=mcp_call.Era(era))
    outcome = asyncio.run(work)
    match outcome:
        case mcp_call.Result():
            code = _show_result(outcome, as_json=as_json)
        case mcp_call.Refused():
            code = _show_refusal(laptop, outcome, as_json=as_json)
        case mcp_call.Unreachable():
            code = _show_unreachable(laptop, outcome)
    raise typer.Exit(code)


def _identity(caller: str, org: str | None, role: list[str] | None, scope: list[str] | None) -> issuer.Identity:
    user, _, agent = caller.partition("/")
    if not user or not agent:
        raise Complaint(f"--as {caller!r}: not USER/AGENT", "say who calls, such as --as alice/coding-bot")
    return issuer.Identity(user, agent, org, None if role is None else tuple(role), tuple(scope or ()))


def _show_result(result: Result, *, as_json: bool) -> int:
    if as_json:
        print(json.dumps(result.document, indent=2))
    elif result.is_error:
        console.err.print(Text("tool error: ", style="bold red").append(result.text, style="not bold default"))
    else:
        console.out.print(result.text.removesuffix("\n"))
    return Exit.TOOL_ERROR if result.is_error else Exit.OK


def _show_refusal(laptop: Laptop, refused: Refused, *, as_json: bool) -> int:
    unavailable = refused.code == _INTERNAL_ERROR
    if as_json:
        print(json.dumps({"error": {"code": refused.code, "message": refused.message, "data": dict(refused.data)}}))
    else:
        word = "unavailable: " if unavailable else "refused: "
        text = Text(word, style="bold red").append(f"{refused.message} ({refused.code})", style="not bold default")
        console.err.print(text)
        _advise(laptop, refused, unavailable=unavailable)
    return Exit.UNAVAILABLE if unavailable else Exit.REFUSED


def _advise(laptop: Laptop, refused: Refused, *, unavailable: bool) -> None:
    for advice in _texts(refused.data.get("advice")):
        console.err.print(f"  advice:   {advice}")
    if "effect" in refused.data:
        console.err.print(f"  effect:   {refused.data['effect']} (the tool had begun)")
    if refused.decision_id:
        console.err.print(f"  decision: {refused.decision_id}")
        if not unavailable:
            why = console.command("policy", "explain", refused.decision_id, "--dir", laptop.root)
            console.err.print(f"  why:      {why}")
        record = console.command("audit", "show", laptop.root, "--decision", refused.decision_id)
        console.err.print(f"  record:   {record}")
    elif unavailable:
        console.err.print(f"  next:     see {laptop.run}/pep.log and pdp.log")


def _texts(value: object) -> tuple[str, ...]:
    return tuple(str(entry) for entry in value) if isinstance(value, list) else ()


def _show_unreachable(laptop: Laptop, unreachable: Unreachable) -> int:
    next_step = f"is `{console.command('up', laptop.root)}` still running? Its log: {laptop.run}/pep.log"
    console.show(Complaint(f"no answer from the PEP ({unreachable.reason})", next_step))
    return Exit.UNAVAILABLE
