"""Writing a push: each ConfigMap only if it still is as it was read, and all of them or none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from sallyport.cli import console
from sallyport.cli.complaint import Complaint, Exit
from sallyport.cli.k8s import lacking
from sallyport.cli.k8s.gate import Gate
from sallyport.cli.k8s.lacking import Sources
from sallyport.cli.k8s.objects import ConfigMap
from sallyport.cli.k8s.policy_maps import MARKER, Stored, Write
from sallyport.cli.k8s.trouble import Changed, Forbidden

if TYPE_CHECKING:
    from sallyport.cli.k8s.cluster import Cluster

_NUDGE: Final = "sallyport.io/policies-pushed"


def write(cluster: Cluster, gate: Gate, stored: Stored, writes: Sequence[Write], sources: Sources) -> None:
    """In this order. Raises Complaint; then nothing of ours stays, or no pod takes what does."""
    now, tried = dict(stored.maps), list[Write]()
    try:
        for each in writes:
            tried.append(each)
            now[each.name] = _put(cluster, gate, now[each.name], each)
    except BaseException as error:  # Ctrl-C too
        if isinstance(error, Changed):
            tried.pop()  # the server says that this one wasn't written
        _take_back(cluster, gate, stored, tried)
        if isinstance(error, Changed):
            raise Complaint(error.wrong, error.next_step, Exit.FAILED) from None
        if isinstance(error, Forbidden) and "create" in error.right.verbs:
            raise _ask_another(gate, stored, writes, sources, error) from None
        raise


def nudge(cluster: Cluster, gate: Gate, revision: str) -> None:
    """A kubelet looks at a pod's volumes when the pod changes, and else about once a minute. Who may not, waits."""
    for pod in gate.staying:
        try:
            cluster.annotate(gate.namespace, pod.name, {_NUDGE: revision[:12]})
        except Complaint:
            return


def _put(cluster: Cluster, gate: Gate, before: ConfigMap, write: Write) -> ConfigMap:
    if before.exists:
        written = cluster.replace_files(gate.namespace, before, write.files)
        console.step(f"wrote ConfigMap {write.name}")
    else:
        written = cluster.create_files(gate.namespace, write.name, write.files)
        console.step(f"made ConfigMap {write.name}")
    return written


def _ask_another(
    gate: Gate, stored: Stored, writes: Sequence[Write], sources: Sources, forbidden: Forbidden
) -> Complaint:
    """Where more than one changes they are made empty: no PDP takes such a set, so no mixture of two ever serves."""
    alone = len(writes) == 1
    commands = "; ".join(
        lacking.create_command(gate.namespace, name, sources.get(part, ()) if alone else ())
        for name, part in stored.lacking.items()
    )
    return Complaint(
        f"{forbidden.wrong}, and {', '.join(stored.lacking)} must be made",
        f"have somebody who may run: {commands}; then push again. Or {forbidden.next_step}",
        Exit.REFUSED,
    )


def _take_back(cluster: Cluster, gate: Gate, stored: Stored, tried: Sequence[Write]) -> None:
    """Read anew, as a write without an answer may have been done. What others wrote stays.

    The policies come last: while anything of ours may stand elsewhere, the file in them that no PDP takes stays there.
    Where it doesn't stand any more the set is whole, or somebody else's: to change a part of it would mix two.
    """
    last = stored.names["policies"]
    try:
        held = next((each for each in tried if MARKER in each.files), None)
        if held is not None and lacking.look(cluster, gate.namespace, last).files != held.files:
            return
        for name in sorted({each.name for each in tried}, key=lambda name: name == last):
            found = lacking.look(cluster, gate.namespace, name)
            ours = found.exists and any(each.name == name and each.files == found.files for each in tried)
            if ours:
                _restore(cluster, gate, found, stored.maps[name])
    except Complaint as complaint:
        console.warn(f"the push is cut off half-way: {complaint.wrong}; every pod keeps its last good set; push again")


def _restore(cluster: Cluster, gate: Gate, found: ConfigMap, before: ConfigMap) -> None:
    if not before.exists:
        cluster.delete_config_map(gate.namespace, found)
        console.step(f"deleted ConfigMap {found.name}, which this push had made")
    elif found.files != before.files:
        cluster.replace_files(gate.namespace, found, before.files)
        console.step(f"took back ConfigMap {found.name}")
