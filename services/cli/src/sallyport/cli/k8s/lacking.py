"""ConfigMaps that pods mount and that aren't there: what runs serves on, and what starts anew waits for ever."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from sallyport.cli import console
from sallyport.cli.complaint import Complaint, Exit
from sallyport.cli.k8s import gate as gates
from sallyport.cli.k8s.gate import Gate
from sallyport.cli.k8s.objects import ConfigMap
from sallyport.cli.k8s.trouble import Forbidden, Missing, UnderWay

if TYPE_CHECKING:
    from sallyport.cli.k8s.cluster import Cluster

CATALOG: Final = "catalog"  # the release's own part; the others are the operators'

Sources: TypeAlias = Mapping[str, Collection[Path]]  # part -> what an operator would make it of


def look(cluster: Cluster, namespace: str, name: str) -> ConfigMap:
    """As it is, or absent."""
    try:
        return cluster.config_map(namespace, name)
    except Missing:
        return ConfigMap.absent(name)


def find(cluster: Cluster, gate: Gate) -> Mapping[str, str]:
    """ConfigMap -> part, of those that some pod mounts and that aren't there. Where we may not look it says so."""
    found, unseen = {}, {}
    for name, part in gates.mounted(gate).items():
        try:
            if not look(cluster, gate.namespace, name).exists:
                found[name] = part
        except Forbidden as forbidden:
            unseen[name] = forbidden.wrong
    if unseen:
        console.step(f"not looked for ConfigMap {', '.join(unseen)}: {next(iter(unseen.values()))}")
    return found


def told(gate: Gate, name: str, part: str) -> str:
    """One line: what it means, and what mends it."""
    by_hand = gates.rolling(gate) and part != CATALOG  # no push goes through until the rollout ends
    mend = create_command(gate.namespace, name, [Path("FILE")]) if by_hand else mending(gate, [part])
    return f"ConfigMap {name} is missing: a pod that starts anew can't mount it; mend it: {mend}"


def mending(gate: Gate, parts: Collection[str]) -> str:
    """The commands that make them again."""
    upgrade = f"helm upgrade {gate.release} CHART -n {gate.namespace} -f VALUES"
    push = console.command("k8s", "push", "DIR", "-n", gate.namespace, "--release", gate.release)
    needed = ((upgrade, CATALOG in parts), (f"{push} with the whole set in DIR", set(parts) != {CATALOG}))
    return ", then ".join(command for command, wanted in needed if wanted)


def refuse(gate: Gate, missing: Mapping[str, str]) -> None:
    """Raises Complaint unless none is."""
    if missing:
        raise Complaint(
            f"the pods of {gate.release} mount ConfigMap {', '.join(missing)}, and namespace {gate.namespace} has none",
            mending(gate, missing.values()),
            Exit.FAILED,
        )


def explain(cluster: Cluster, gate: Gate, rollout: UnderWay, sources: Sources) -> Complaint:
    """A rollout to pods that mount what isn't there never ends."""
    missing = find(cluster, gate)
    if not missing:
        return rollout
    # Whole at once, never empty: the new pods must get ready before a push goes on.
    made = [
        create_command(gate.namespace, name, sources.get(part) or [Path("FILE")])
        for name, part in missing.items()
        if part != CATALOG
    ]
    return Complaint(
        f"{rollout.wrong}, and it can't end: they mount ConfigMap {', '.join(missing)}, "
        f"and namespace {gate.namespace} has none",
        "; ".join([*made, f"or go back: helm rollback {gate.release} -n {gate.namespace}"]),
        Exit.FAILED,
    )


def create_command(namespace: str, name: str, files: Iterable[Path]) -> str:
    """As somebody who may would type it."""
    sources = (f"--from-file={file}" for file in files)
    return shlex.join(["kubectl", "create", "configmap", name, "-n", namespace, *sources])
