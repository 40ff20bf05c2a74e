"""A pod that runs one program and is gone again."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from tests.cluster import kube, place
from tests.cluster.kube import Cluster


def run(
    cluster: Cluster, namespace: str, labels: Mapping[str, str], program: str, *arguments: str, secret: str = "identity"
) -> str:
    """What a Python program of the client image says there; the Secret is mounted at /identity."""
    name = f"once-{uuid.uuid4().hex[:8]}"
    body = place.pod(namespace, name, labels, ["-c", program, *arguments], secrets={"/identity": secret})
    spec: Any = body["spec"]
    spec["restartPolicy"] = "Never"
    with kube.removed(cluster, body):
        kube.until("the program has ended", lambda: _ended(cluster, namespace, name))
        return cluster.logs(namespace, name).strip()


def _ended(cluster: Cluster, namespace: str, name: str) -> bool:
    return cluster.core.read_namespaced_pod(name, namespace).status.phase in {"Succeeded", "Failed"}
