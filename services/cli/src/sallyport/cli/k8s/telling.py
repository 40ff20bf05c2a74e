"""Events beside the workload: who pushed or saw what. Written with the operator's own rights, or not at all."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from sallyport.cli import console
from sallyport.cli.complaint import Complaint
from sallyport.cli.k8s import gate as gates
from sallyport.cli.k8s.gate import Gate
from sallyport.cli.k8s.objects import Event
from sallyport.cli.k8s.standing import Standing
from sallyport.cli.k8s.trouble import Forbidden
from sallyport.cli.plain import plain

if TYPE_CHECKING:
    from sallyport.cli.k8s.cluster import Cluster

PUSHED: Final = "PolicyPushed"
REFUSED: Final = "PolicyRefused"
SERVED: Final = "PolicyServed"
_LONGEST: Final = 1024  # the API server takes no more
_SHOWN: Final = 5
_COMPARED: Final = 500  # of a detail, which the message may cut


def tell(cluster: Cluster, gate: Gate, reason: str, revision: str, detail: str) -> None:
    """Best effort: an event that can't be written changes nothing about the push."""
    workload = gates.known_workload(cluster, gate)
    message = f"revision {revision[:12]}, by {_who()}: {detail}"[:_LONGEST]
    event = Event(datetime.now(UTC), reason == REFUSED, reason, plain(message), workload.name)
    try:
        cluster.write_event(gate.namespace, workload, event)
    except Complaint as complaint:
        console.warn(f"no Event was written: {complaint.wrong} ({complaint.next_step})")


def record(cluster: Cluster, gate: Gate, standing: Standing, told: Sequence[Event]) -> None:
    """What the pods serve or refuse, unless the newest Event says it: of a `kubectl apply` nobody else tells."""
    errors = [error for answer in standing.answers.values() if answer.refused for error in answer.errors]
    if errors:
        _unless_told(cluster, gate, told, REFUSED, standing.revision, f"stays in force; seen: {errors[0]}")
    elif standing.good:
        _unless_told(cluster, gate, told, SERVED, standing.revision, "seen in force in every pod")


def _unless_told(cluster: Cluster, gate: Gate, told: Sequence[Event], reason: str, revision: str, detail: str) -> None:
    """A push that was told is in force when every pod serves it; that needs no second Event."""
    newest = told[-1] if told else None
    same = {reason, PUSHED} if reason == SERVED else {reason}
    known = f"revision {revision[:12]}," if reason == SERVED else plain(detail)[:_COMPARED]
    if newest is None or newest.reason not in same or known not in newest.message:
        tell(cluster, gate, reason, revision, detail)


def last(cluster: Cluster, gate: Gate) -> Sequence[Event]:
    """The newest last; none, said so, where they may not be read."""
    try:
        found = cluster.events(gate.namespace)
    except Forbidden as forbidden:
        console.step(f"no events are shown: {forbidden.wrong}")
        return ()
    return [event for event in found if event.about == gate.workload.name][-_SHOWN:]


def _who() -> str:
    """As this machine says: it proves nothing, the API server's own audit log does."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a uid without a name
        user = "somebody"
    return f"{user}@{socket.gethostname()}"
