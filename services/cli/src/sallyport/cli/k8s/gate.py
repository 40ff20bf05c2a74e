"""An installed release as its pods show it: who they are, which ConfigMaps they mount, and what made them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from sallyport.cli import console
from sallyport.cli.complaint import Complaint
from sallyport.cli.k8s.names import CHART, fullname
from sallyport.cli.k8s.objects import Pod, Workload
from sallyport.cli.k8s.trouble import Forbidden, Missing, UnderWay
from sallyport.runtime import strict_json

if TYPE_CHECKING:
    from sallyport.cli.k8s.cluster import Cluster

ANNOTATION: Final = "sallyport.io/policy-configmaps"
PARTS: Final = ("policies", "roles", "agents", "resources", "catalog")
_SELECTOR: Final = f"app.kubernetes.io/name={CHART},app.kubernetes.io/component=gate"
_RELEASE: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,51}[a-z0-9])?")

Namespace = Annotated[
    str | None, typer.Option("--namespace", "-n", help="Where the gate runs.", show_default="the context's")
]
Release = Annotated[str, typer.Option(help="The name it was installed by.")]
Context = Annotated[str | None, typer.Option(help="Of the kubeconfig.", show_default="the current one")]
Kubeconfig = Annotated[Path | None, typer.Option(metavar="FILE", help="As for kubectl.", show_default="KUBECONFIG")]


@dataclass(frozen=True, slots=True)
class Gate:
    namespace: str
    release: str
    pods: tuple[Pod, ...]  # never empty

    @property
    def workload(self) -> Workload:
        owners = (pod.owner for pod in self.pods if pod.owner is not None)
        return next(owners, Workload("StatefulSet", fullname(self.release), ""))

    @property
    def staying(self) -> tuple[Pod, ...]:
        """Those that aren't being ended: who must be on a new revision."""
        return tuple(pod for pod in self.pods if not pod.ending)


def connect(kubeconfig: Path | None, context: str | None) -> Cluster:
    from sallyport.cli.k8s.cluster import Cluster  # noqa: PLC0415 — the client takes a second to import

    return Cluster.connect(kubeconfig, context)


def find(cluster: Cluster, namespace: str | None, release: str) -> Gate:
    """The release's pods. Raises Complaint if there are none."""
    if not _RELEASE.fullmatch(release):
        raise Complaint(f"--release {release!r} is no name of a release", "name it as `helm list` does")
    place = namespace or cluster.namespace
    pods = cluster.pods(place, f"{_SELECTOR},app.kubernetes.io/instance={release}")
    if not pods:
        raise Complaint(
            f"release {release} has no pod in namespace {place}",
            "see `helm list --all-namespaces`, then give --namespace and --release; or is it scaled to none?",
        )
    return Gate(place, release, pods)


def again(cluster: Cluster, gate: Gate) -> Gate:
    """With the pods that it has now."""
    return find(cluster, gate.namespace, gate.release)


def config_maps(gate: Gate) -> Mapping[str, str]:
    """Part -> ConfigMap, as the pods that stay say; two that differ are of two versions of the release."""
    if rolling(gate):
        raise UnderWay(
            "the pods mount different ConfigMaps: a rollout is under way",
            f"wait for `kubectl rollout status`; if it doesn't end: {status_command(gate)}",
        )
    if names := _parse(_said(gate).pop()):
        return names
    raise Complaint(
        f"the pods of {gate.release} don't say which ConfigMaps they mount, in {ANNOTATION}",
        "helm upgrade the release with this chart's version",
    )


def mounted(gate: Gate) -> Mapping[str, str]:
    """ConfigMap -> part, of every version of the release whose pods stay."""
    return {name: part for said in sorted(_said(gate)) for part, name in _parse(said).items()}


def rolling(gate: Gate) -> bool:
    """A push would have to wait."""
    return len(_said(gate)) > 1


def _said(gate: Gate) -> set[str]:
    return {pod.annotations.get(ANNOTATION, "") for pod in gate.staying or gate.pods}


def _parse(annotation: str) -> Mapping[str, str]:
    """Empty where it isn't what the chart writes."""
    try:
        document = strict_json.parse(annotation.encode())
    except strict_json.JsonRefused:
        return {}
    match document:
        case dict() if document.keys() == set(PARTS) and all(isinstance(one, str) for one in document.values()):
            return {part: str(name) for part, name in document.items()}
    return {}


def known_workload(cluster: Cluster, gate: Gate) -> Workload:
    """With its uid where we may read it: by that `kubectl describe` finds its events."""
    workload = gate.workload
    if workload.kind != "Deployment":
        return workload
    try:
        return replace(workload, uid=cluster.deployment_uid(gate.namespace, workload.name))
    except (Forbidden, Missing):
        return workload


def pointing(gate: Gate, context: str | None, kubeconfig: Path | None) -> tuple[str, ...]:
    """The options by which a next command finds this release in this cluster."""
    given = (("--context", context), ("--kubeconfig", kubeconfig))
    cluster = (word for option, value in given if value is not None for word in (option, str(value)))
    return "-n", gate.namespace, "--release", gate.release, *cluster


def status_command(gate: Gate) -> str:
    return console.command("k8s", "status", "-n", gate.namespace, "--release", gate.release)
