"""`sallyport token DIR`: one access token, alone on stdout."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sallyport.cli import issuer
from sallyport.cli.complaint import Complaint
from sallyport.cli.laptop import Laptop
from sallyport.runtime import strict_json


def token(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Made by `sallyport init`.")],
    user: Annotated[str, typer.Option(help="The human: alice, bob, carol, or anybody.")],
    agent: Annotated[str, typer.Option(help="The program acting for them: coding-bot, chat-bot, or any.")],
    org: Annotated[str | None, typer.Option(help="The tenant.", show_default="the sample person's")] = None,
    scope: Annotated[
        list[str] | None, typer.Option(help="An OAuth scope; may be repeated.", show_default=False)
    ] = None,
    role: Annotated[
        list[str] | None, typer.Option(help="A role; may be repeated.", show_default="the sample person's")
    ] = None,
    ttl: Annotated[int, typer.Option(min=1, help="Seconds until it expires.")] = 300,
    claim: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=JSON", help="Set any claim, or remove it with null (for tests).", show_default=False
        ),
    ] = None,
) -> None:
    """Print an access token for a user via an agent."""
    roles = None if role is None else tuple(role)
    overrides = dict(_claim(text) for text in claim or ())
    identity = issuer.Identity(user, agent, org, roles, tuple(scope or ()), ttl, overrides)
    print(issuer.mint(Laptop.at(directory), identity))


def _claim(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise Complaint(f"--claim {text}: not NAME=JSON", """write it as in --claim 'org_id="acme"'""")
    try:
        return name, strict_json.parse(value.encode())
    except strict_json.JsonRefused as refused:
        raise Complaint(
            f"--claim {name}: the value is not JSON ({refused})", f"""quote strings: --claim '{name}="text"'"""
        ) from None
