"""Writing a push: each ConfigMap only if it still is as it was read, and all of them or none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from sallyport.cli import console
from sallyport.cli.complaint import Complaint, Exit
from sallyport.cli.k8s.gate import Gate
from sallyport.cli.k8s.policy_maps import Stored, Write
from sallyport.cli.k8s.trouble import Changed

if TYPE_CHECKING:
    from sallyport.cli.k8s.cluster import Cluster

_NUDGE: Final = "sallyport.io/policies-pushed"


def write(cluster: Cluster, gate: Gate, stored: Stored, writes: Sequence[Write]) -> None:
    """In this order. Raises Complaint; then nothing of ours stays, or no pod takes what does."""
    now = dict(stored.maps)
    try:
        for each in writes:
            now[each.name] = cluster.replace_files(gate.namespace, now[each.name], each.files)
            console.step(f"wrote ConfigMap {each.name}")
    except BaseException as error:  # Ctrl-C too
        _take_back(cluster, gate, stored, writes)
        if isinstance(error, Changed):
            raise Complaint(error.wrong, error.next_step, Exit.FAILED) from None
        raise


def nudge(cluster: Cluster, gate: Gate, revision: str) -> None:
    """A kubelet looks at a pod's volumes when the pod changes, and else about once a minute. Who may not, waits."""
    for pod in gate.staying:
        try:
            cluster.annotate(gate.namespace, pod.name, {_NUDGE: revision[:12]})
        except Complaint:
            return


def _take_back(cluster: Cluster, gate: Gate, stored: Stored, writes: Sequence[Write]) -> None:
    """Read anew, as a write without an answer may have been done. What others wrote stays.

    The policies come last: while anything of ours may stand elsewhere, the file in them that no PDP takes stays there.
    """
    last = stored.names["policies"]
    try:
        for name in sorted({each.name for each in writes}, key=lambda name: name == last):
            found = cluster.config_map(gate.namespace, name)
            ours = any(each.name == name and each.files == found.files for each in writes)
            if ours and found.files != stored.maps[name].files:
                cluster.replace_files(gate.namespace, found, stored.maps[name].files)
                console.step(f"took back ConfigMap {name}")
    except Complaint as complaint:
        console.warn(f"the push is cut off half-way: {complaint.wrong}; every pod keeps its last good set; push again")
