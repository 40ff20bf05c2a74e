"""Waiting until every replica serves a revision, with progress, and not for ever."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NoReturn

from rich.text import Text

from sallyport.cli import console
from sallyport.cli.complaint import Complaint, Exit
from sallyport.cli.k8s import asking
from sallyport.cli.k8s import gate as gates
from sallyport.cli.k8s.asking import Answer
from sallyport.cli.k8s.gate import Gate

if TYPE_CHECKING:
    from sallyport.cli.k8s.cluster import Cluster

_POLL_SECONDS: Final = 1.0


def wait(cluster: Cluster, gate: Gate, revision: str, timeout: float) -> None:
    """Pods that come and go meanwhile count, too. Raises Complaint after `timeout` seconds."""
    begun = time.monotonic()
    shown = ""
    while True:
        gate = gates.again(cluster, gate)
        answers = asking.everybody(cluster, gate)
        late = [pod.name for pod in gate.staying if answers[pod.name].revision != revision]
        count = f"{len(gate.staying) - len(late)} of {len(gate.staying)} pods"
        seconds = time.monotonic() - begun
        if gate.staying and not late:
            break
        if count != shown:
            console.step(f"{count} serve revision {revision[:12]} ({seconds:.0f} s)")
            shown = count
        if seconds > timeout:
            _give_up(gate, answers, late, revision, timeout)
        time.sleep(_POLL_SECONDS)
    said = f"revision {revision[:12]} in {count}, {seconds:.0f} s"
    console.out.print(Text("in force: ", style="bold green").append(said, style="not bold default"))


def _give_up(gate: Gate, answers: Mapping[str, Answer], late: list[str], revision: str, timeout: float) -> NoReturn:
    for name in late:
        has = answers[name].revision[:12] or "no revision"
        why = "; ".join(answers[name].errors) or "it hasn't read the new set yet: kubelets take up to two minutes"
        console.err.print(Text(f"{name} serves {has}: {why}", style="red"))
    raise Complaint(
        f"{len(late)} of {len(gate.staying)} pods don't serve revision {revision[:12]} after {timeout:.0f} s",
        f"see {gates.status_command(gate)}; the set lies in the ConfigMaps, and a pod that can read it will serve it",
        Exit.FAILED,
    )
