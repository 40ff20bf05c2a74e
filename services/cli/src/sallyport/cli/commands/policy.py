"""`sallyport policy`: see, test, explain and compare policies with the services' own eyes, before they bite."""

from __future__ import annotations

import typer

from sallyport.cli.commands.policy_check import check
from sallyport.cli.commands.policy_diff import diff
from sallyport.cli.commands.policy_explain import explain
from sallyport.cli.commands.policy_fmt import fmt
from sallyport.cli.commands.policy_reload import reload
from sallyport.cli.commands.policy_show import show
from sallyport.cli.commands.policy_test import run_tests
from sallyport.cli.commands.policy_who import who_can

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def policy() -> None:
    """See, test, explain and compare policies."""


# One line a command, in the order of the help; the module behind it knows its options.
app.command("check", no_args_is_help=True)(check)
app.command("explain", no_args_is_help=True)(explain)
app.command("who-can", no_args_is_help=True)(who_can)
app.command("diff", no_args_is_help=True)(diff)
app.command("fmt", no_args_is_help=True)(fmt)
app.command("show", no_args_is_help=True)(show)
app.command("reload", no_args_is_help=True)(reload)
app.command("test", no_args_is_help=True)(run_tests)
