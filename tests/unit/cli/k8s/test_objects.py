"""What the API server answers, as these commands see it: built by the client's own models, from the API's own JSON."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from kubernetes import client

from sallyport.cli.complaint import Complaint, Exit
from sallyport.cli.k8s import conversions, gate
from sallyport.cli.k8s.gate import ANNOTATION, Gate
from sallyport.cli.k8s.objects import Pod, Workload
from sallyport.cli.k8s.trouble import Forbidden, Right

STARTED = "2026-11-21T12:00:00Z"
NAMES = {part: f"gate-{part}" for part in gate.PARTS}


def pod(metadata: dict[str, Any] | None = None, status: dict[str, Any] | None = None) -> Pod:
    body = {
        "metadata": {"name": "gate-0", "creationTimestamp": STARTED, **(metadata or {})},
        "status": status or {},
    }
    return conversions.pod(client.V1Pod.model_validate(body))


def container(name: str, restarts: int = 0, **waiting: str) -> dict[str, Any]:
    state = {"waiting": waiting} if waiting else {"running": {"startedAt": STARTED}}
    return {"name": name, "ready": not waiting, "restartCount": restarts, "image": "i", "imageID": "i", "state": state}


def test_the_sidecars_restarts_count_too() -> None:
    found = pod(status={"initContainerStatuses": [container("pdp", 2)], "containerStatuses": [container("pep", 3)]})
    assert found.restarts == 5
    assert found.waiting == ""


def test_what_crashes_is_told_before_what_only_waits_for_it() -> None:
    crashing = container("pdp", 7, reason="CrashLoopBackOff", message="back-off 5m0s restarting\nmore")
    waiting = container("pep", reason="PodInitializing")
    found = pod(status={"containerStatuses": [waiting], "initContainerStatuses": [crashing]})
    assert found.waiting == "pdp: CrashLoopBackOff: back-off 5m0s restarting"


def test_what_only_starts_is_told_where_nothing_is_worse() -> None:
    assert pod(status={"containerStatuses": [container("pep", reason="ContainerCreating")]}).waiting == (
        "pep: ContainerCreating"
    )


def test_a_pod_without_a_node_says_why() -> None:
    condition = {"type": "PodScheduled", "status": "False", "message": "0/2 nodes are available"}
    assert pod(status={"conditions": [condition]}).waiting == "not scheduled: 0/2 nodes are available"


@pytest.mark.parametrize(("status", "ready"), [("True", True), ("False", False), ("Unknown", False)])
def test_ready_is_what_the_condition_says(status: str, ready: bool) -> None:
    assert pod(status={"conditions": [{"type": "Ready", "status": status}]}).ready is ready
    assert not pod().ready


def test_a_pod_that_is_deleted_is_ending() -> None:
    assert pod({"deletionTimestamp": STARTED}).ending


def owner(kind: str, name: str) -> dict[str, Any]:
    return {"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": "u-1", "controller": True}


def test_events_are_about_the_workload_and_not_about_its_replica_set() -> None:
    stateful = pod({"ownerReferences": [owner("StatefulSet", "gate")]})
    assert stateful.owner == Workload("StatefulSet", "gate", "u-1")
    replica = pod({"ownerReferences": [owner("ReplicaSet", "my-gate-5d7")], "labels": {"pod-template-hash": "5d7"}})
    assert replica.owner == Workload("Deployment", "my-gate", "")
    assert pod().owner is None


def gated(*annotations: str | None) -> Gate:
    pods = [pod({"name": f"gate-{i}", "annotations": {ANNOTATION: a} if a else {}}) for i, a in enumerate(annotations)]
    return Gate("ns", "gate", tuple(pods))


def test_the_pods_say_which_config_maps_they_mount() -> None:
    said = '{"policies":"gate-policies","roles":"gate-roles","agents":"gate-agents","resources":"gate-resources"'
    whole = said + ',"catalog":"gate-catalog"}'
    assert gate.config_maps(gated(whole, whole)) == NAMES
    with pytest.raises(Complaint, match="rollout"):
        gate.config_maps(gated(whole, whole.replace("gate-roles", "own-roles")))
    for broken in (said + "}", whole.replace('"gate-roles"', "7"), "[]", "{", None):
        with pytest.raises(Complaint, match="don't say"):
            gate.config_maps(gated(broken))


def test_a_missing_right_is_told_as_the_rule_to_add() -> None:
    refused = Forbidden(Right(("get", "create"), "pods/portforward", "prod"))
    assert refused.code is Exit.REFUSED
    assert "get and create pods/portforward in namespace prod" in refused.wrong
    assert '{apiGroups: [""], resources: ["pods/portforward"], verbs: ["get", "create"]}' in refused.next_step


def test_no_command_waits_for_a_client_that_it_does_not_use() -> None:
    """The client takes a second to import; `--help`, and every command without a cluster, goes without."""
    code = "import sys; import sallyport.cli.__main__; print([m for m in sys.modules if m.startswith('kubernetes')])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
