"""Objects as the client's models have them, into what we look at. The client's types are for the checker only."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TypeVar

from sallyport.cli.complaint import Complaint, Exit
from sallyport.cli.k8s.objects import ConfigMap, Event, Pod, Workload

if TYPE_CHECKING:
    from kubernetes import client

T = TypeVar("T")
_STARTING: Final = frozenset({"PodInitializing", "ContainerCreating"})


def config_map(found: client.V1ConfigMap) -> ConfigMap:
    metadata = _given(found.metadata)
    files = {name: text.encode() for name, text in (found.data or {}).items()}
    files |= {name: base64.b64decode(value) for name, value in (found.binary_data or {}).items()}
    return ConfigMap(_given(metadata.name), _given(metadata.resource_version), files)


def as_data(files: Mapping[str, bytes]) -> tuple[dict[str, str], dict[str, str]]:
    """As `data` and `binaryData`: text may be read and edited by people, all else is base64."""
    text, binary = {}, {}
    for name, value in files.items():
        try:
            text[name] = value.decode()
        except UnicodeDecodeError:
            binary[name] = base64.b64encode(value).decode()
    return text, binary


def pod(found: client.V1Pod) -> Pod:
    metadata, status = _given(found.metadata), _given(found.status)
    containers = [*(status.init_container_statuses or ()), *(status.container_statuses or ())]
    return Pod(
        name=_given(metadata.name),
        ready=any(each.type == "Ready" and each.status == "True" for each in status.conditions or ()),
        restarts=sum(each.restart_count for each in containers),
        created=_given(metadata.creation_timestamp),
        ending=metadata.deletion_timestamp is not None,
        waiting=_waiting(status, containers),
        annotations=metadata.annotations or {},
        owner=_owner(metadata),
    )


def event(found: client.CoreV1Event) -> Event:
    at = found.last_timestamp or found.event_time or datetime.fromtimestamp(0, UTC)
    about = found.involved_object.name or ""
    return Event(at, found.type == "Warning", found.reason or "", found.message or "", about)


def first_line(text: str | None) -> str:
    return (text or "").strip().partition("\n")[0][:300]


def _waiting(status: client.V1PodStatus, containers: list[client.V1ContainerStatus]) -> str:
    """The most telling reason: a container that crashes before one that only waits for it."""
    reasons = []
    for each in containers:
        waiting = each.state.waiting if each.state else None
        if waiting is not None:
            said = ": ".join(filter(None, (waiting.reason, first_line(waiting.message))))
            reasons.append((waiting.reason in _STARTING, f"{each.name}: {said}"))
    unscheduled = [each for each in status.conditions or () if each.type == "PodScheduled" and each.status != "True"]
    reasons += [(False, f"not scheduled: {each.message or each.reason or ''}") for each in unscheduled]
    return min(reasons, default=(False, ""))[1]


def _owner(metadata: client.V1ObjectMeta) -> Workload | None:
    """A ReplicaSet is a Deployment's: its name is the Deployment's and the hash that is the pod's label."""
    for each in metadata.owner_references or ():
        template = (metadata.labels or {}).get("pod-template-hash", "")
        if each.kind == "ReplicaSet" and template and each.name.endswith(f"-{template}"):
            return Workload("Deployment", each.name.removesuffix(f"-{template}"), "")
        if each.controller:
            return Workload(each.kind, each.name, each.uid)
    return None


def _given(value: T | None) -> T:
    """Optional in the API's description, for what is sent; never missing in what is stored."""
    if value is None:
        raise Complaint(
            "the API server left out what every object has", "is KUBECONFIG a Kubernetes?", Exit.UNAVAILABLE
        )
    return value
