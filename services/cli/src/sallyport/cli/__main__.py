"""The `sallyport` command: the operator's hand on a laptop."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from sallyport.cli import console
from sallyport.cli.commands import audit, catalog, k8s, policy
from sallyport.cli.commands.call import call
from sallyport.cli.commands.demo import demo
from sallyport.cli.commands.init import init
from sallyport.cli.commands.stdio_bridge import stdio_bridge
from sallyport.cli.commands.token import token
from sallyport.cli.commands.up import up
from sallyport.cli.complaint import Complaint, Exit
from sallyport.runtime.problems import ConfigError

# No rich markup: help and usage errors stay plain text, piped or not.
app = typer.Typer(
    help="Sallyport: a zero-trust gate between AI agents and the tools they call.",
    epilog="New here? Run: sallyport demo",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for command in (demo, init, up, call, token):
    app.command(no_args_is_help=command is not demo)(command)
app.command(no_args_is_help=True)(stdio_bridge)
app.add_typer(policy.app, name="policy")
app.add_typer(catalog.app, name="catalog")
app.add_typer(audit.app, name="audit")
app.add_typer(k8s.app, name="k8s")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; an expected failure is two lines on stderr, never a traceback."""
    try:
        app(args=arguments)
    except Complaint as complaint:
        console.show(complaint)
        return complaint.code
    except ConfigError as error:
        console.show(
            Complaint(
                str(error), "mend that file; a policy set is checked with: " + console.command("policy", "check", "DIR")
            )
        )
        return Exit.USAGE
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output went away: nothing is left to say
        return Exit.FAILED
    except OSError as error:
        console.show(Complaint(_said(error), "check that the path exists, is yours, and its disk has room"))
        return Exit.FAILED
    return Exit.OK


def _said(error: OSError) -> str:
    """Without the errno: it tells an operator nothing."""
    return f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)


if __name__ == "__main__":
    sys.exit(main())
