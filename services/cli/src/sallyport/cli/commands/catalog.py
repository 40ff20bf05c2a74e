"""`sallyport catalog`: what upstreams offer, reviewed and approved one by one."""

from __future__ import annotations

import typer

from sallyport.cli.commands.catalog_approve import approve
from sallyport.cli.commands.catalog_diff import diff
from sallyport.cli.commands.catalog_pull import pull

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def catalog() -> None:
    """Review and approve what upstreams offer."""


app.command("pull", no_args_is_help=True)(pull)
app.command("diff", no_args_is_help=True)(diff)
app.command("approve", no_args_is_help=True)(approve)
