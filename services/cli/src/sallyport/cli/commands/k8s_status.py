"""`sallyport k8s status`: what serves in each pod of a release, and what is wrong there."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from sallyport.cli import console
from sallyport.cli.complaint import Exit
from sallyport.cli.k8s import asking, lacking, telling
from sallyport.cli.k8s import gate as gates
from sallyport.cli.k8s.gate import Context, Gate, Kubeconfig, Namespace, Release
from sallyport.cli.k8s.standing import Standing, table
from sallyport.cli.plain import plain


def status(
    namespace: Namespace = None,
    release: Release = "sallyport",
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    ca: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Check that the PEPs' certificates come from this CA.", show_default=False),
    ] = None,
    record: Annotated[
        bool, typer.Option("--record", help="Write an Event of the revision seen, if none tells it yet.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show each pod's revision, readiness and last error, asked of the pod itself, and the last policy events.

    Exit code: 0 every pod is ready on one revision and every ConfigMap that they mount is there, 1 not so, 2 wrong usage,
    3 not allowed, 4 no answer.
    """
    cluster = gates.connect(kubeconfig, context)
    gate = gates.find(cluster, namespace, release)
    missing = lacking.find(cluster, gate)
    standing = Standing(gate.pods, asking.everybody(cluster, gate, ca), datetime.now(UTC), tuple(missing))
    events = telling.last(cluster, gate)
    if record:
        telling.record(cluster, gate, standing, events)
        events = telling.last(cluster, gate)
    if as_json:
        print(standing.as_json(gate.namespace, gate.release, events))
    else:
        _show(gate, standing, [lacking.told(gate, name, part) for name, part in missing.items()])
        for event in events:
            console.out.print(plain(f"{event.at:%Y-%m-%dT%H:%M:%SZ}  {event.reason}  {event.message}"))
    if not standing.good:
        raise typer.Exit(Exit.FAILED)


def _show(gate: Gate, standing: Standing, more: Sequence[str]) -> None:
    for line in [*table(standing.rows()), *map(plain, more)]:
        console.out.print(line)
    if standing.good:
        console.out.print(f"good: all of {gate.release} serve revision {standing.revision[:12]}")
    else:
        console.err.print("not good: see above; docs/k8s-commands.md says what each line means")
