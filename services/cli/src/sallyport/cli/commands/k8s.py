"""`sallyport k8s`: a release on a cluster, from its first keys to its live policies."""

from __future__ import annotations

import typer

from sallyport.cli.commands.k8s_dev_certs import dev_certs
from sallyport.cli.commands.k8s_pull import pull
from sallyport.cli.commands.k8s_push import push
from sallyport.cli.commands.k8s_status import status

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def k8s() -> None:
    """Try, tune and watch a release on a Kubernetes cluster."""


app.command("dev-certs", no_args_is_help=True)(dev_certs)
app.command("pull", no_args_is_help=True)(pull)
app.command("push", no_args_is_help=True)(push)
app.command("status")(status)
