"""`sallyport k8s push DIR`: a policy set into a release, checked and tested first, and waited for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.text import Text

from sallyport.cli import console, policy_set
from sallyport.cli.commands import policy_check, policy_test
from sallyport.cli.complaint import Complaint, Exit
from sallyport.cli.k8s import applying, lacking, policy_maps, telling, waiting
from sallyport.cli.k8s import gate as gates
from sallyport.cli.k8s.gate import Context, Gate, Kubeconfig, Namespace, Release
from sallyport.cli.policy_set import Where
from sallyport.runtime import mounted_dir
from sallyport.runtime.mounted_dir import Contents
from sallyport.runtime.problems import Problem

if TYPE_CHECKING:
    from sallyport.cli.k8s.cluster import Cluster


def push(
    directory: Where,
    namespace: Namespace = None,
    release: Release = "sallyport",
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    timeout: Annotated[int, typer.Option(min=1, help="Seconds to wait until every replica serves it.")] = 120,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check, test and compare; change nothing.")] = False,
) -> None:
    """Check and test a policy set, put it into the release's ConfigMaps, and wait until every replica serves it.

    Exit code: 0 it serves everywhere, 1 not everywhere in time, somebody else changed it, or the catalog is missing, 2 it
    is refused and nothing was changed, 3 not allowed, 4 no answer.
    """
    place = policy_set.locate(directory)
    given = mounted_dir.read(place)
    sources = policy_maps.sources(place, given.files)
    cluster = gates.connect(kubeconfig, context)
    gate = gates.find(cluster, namespace, release)
    stored = policy_maps.read(cluster, gate, sources)
    lacking.refuse(gate, {name: part for name, part in stored.lacking.items() if part == lacking.CATALOG})
    composed = policy_maps.compose(given, stored)
    writes = policy_maps.writes(stored, composed.files)
    _examine(cluster, gate, directory, composed, dry_run=dry_run)
    changes = policy_maps.differences(stored.files, composed.files)
    for sign, name in changes or [("=", "the release holds this very set")]:
        console.out.print(Text(f"  {sign} {name}", style={"+": "green", "-": "red"}.get(sign, "")))
    for name in stored.lacking:
        console.step(f"ConfigMap {name} isn't there: a push makes it")
    if dry_run:
        console.out.print(f"would serve as revision {composed.revision[:12]}; nothing was changed")
        return
    if writes:
        applying.write(cluster, gate, stored, writes, sources)
        told = ", ".join(f"{sign}{name}" for sign, name in changes)
        telling.tell(cluster, gate, telling.PUSHED, composed.revision, told)
        applying.nudge(cluster, gate, composed.revision)
    waiting.wait(cluster, gate, composed.revision, timeout)


def _examine(cluster: Cluster, gate: Gate, directory: Path, composed: Contents, *, dry_run: bool) -> None:
    """With the eyes of `policy check` and `policy test`. What is wrong is told to the cluster too, and ends the push."""

    def refuse(wrong: str, next_step: str, detail: str) -> NoReturn:
        if not dry_run:
            telling.tell(cluster, gate, telling.REFUSED, composed.revision, detail)
        raise Complaint(f"{directory}: {wrong}; nothing was changed", next_step, Exit.USAGE)

    parts, problems, found = policy_check.examine(composed)
    policy_check.show(problems, found, parts)
    if problems:
        refuse(_counted(problems), "mend the lines above, then push again", _first(problems))
    if not any(name.endswith(".test.yaml") for name in composed.files):
        console.warn("no NAME.test.yaml beside these policies says what they are meant to do")
        return
    tested = policy_test.run_set(composed, directory)
    if failed := [report for report in tested.reports if report.failed or report.problems]:
        files = ", ".join(Path(report.file).name for report in failed)
        refuse("its own tests don't pass", "mend the policy or the test, then push again", f"tests fail: {files}")


def _counted(problems: tuple[Problem, ...]) -> str:
    return f"{len(problems)} problem{'' if len(problems) == 1 else 's'}; this set would be refused"


def _first(problems: tuple[Problem, ...]) -> str:
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{problems[0]}{more}"
