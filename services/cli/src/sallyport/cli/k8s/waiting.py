"""Waiting until every replica serves a revision, with progress, and not for ever."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NoReturn, TypeAlias

from rich.text import Text

from sallyport.cli import console
from sallyport.cli.complaint import Complaint, Exit
from sallyport.cli.k8s import asking, promptly
from sallyport.cli.k8s import gate as gates
from sallyport.cli.k8s.asking import Answer
from sallyport.cli.k8s.gate import Gate
from sallyport.cli.k8s.standing import MAX_SHOWN
from sallyport.cli.plain import cut

if TYPE_CHECKING:
    from sallyport.cli.k8s.cluster import Cluster

_POLL_SECONDS: Final = 1.0
_LAST_LOOK: Final = 1.0  # seconds that a look begun in time may take beyond it

_Seen: TypeAlias = tuple[Gate, Mapping[str, Answer]]


def wait(cluster: Cluster, gate: Gate, revision: str, timeout: float) -> None:
    """Pods that come and go meanwhile count, too. Raises Complaint after `timeout` seconds."""
    begun = time.monotonic()
    answers: Mapping[str, Answer] = {}
    shown = ""
    while True:
        gate, answers = _look(cluster, gate, begun + timeout + _LAST_LOOK) or (gate, answers)
        late = [pod.name for pod in gate.staying if answers.get(pod.name, asking.LATE).revision != revision]
        count = f"{len(gate.staying) - len(late)} of {len(gate.staying)} pods"
        seconds = time.monotonic() - begun
        if gate.staying and not late:
            break
        if count != shown:
            console.step(f"{count} serve revision {revision[:12]} ({seconds:.0f} s)")
            shown = count
        if seconds >= timeout:
            _give_up(gate, answers, late, revision, timeout)
        time.sleep(min(_POLL_SECONDS, timeout - seconds))
    said = f"revision {revision[:12]} in {count}, {seconds:.0f} s"
    console.out.print(Text("in force: ", style="bold green").append(said, style="not bold default"))


def _look(cluster: Cluster, gate: Gate, until: float) -> _Seen | None:
    """None where the API server itself has no answer in time."""

    def look() -> _Seen:
        now = gates.again(cluster, gate)
        return now, asking.everybody(cluster, now, until=until)

    return promptly.gather({"look": look}, until + promptly.HAND_OVER, 1).get("look")


def _give_up(gate: Gate, answers: Mapping[str, Answer], late: list[str], revision: str, timeout: float) -> NoReturn:
    for name in late:
        answer = answers.get(name, asking.LATE)
        has = answer.revision[:12] or "no revision"
        why = (
            cut("; ".join(answer.errors), MAX_SHOWN)
            or "it hasn't read the new set yet: kubelets take up to two minutes"
        )
        console.err.print(Text(f"{name} serves {has}: {why}", style="red"))
    raise Complaint(
        f"{len(late)} of {len(gate.staying)} pods don't serve revision {revision[:12]} after {timeout:.0f} s",
        f"see {gates.status_command(gate)}; the set lies in the ConfigMaps, and a pod that can read it will serve it",
        Exit.FAILED,
    )
