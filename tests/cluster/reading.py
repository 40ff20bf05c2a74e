"""What a replica says of itself, asked from inside its own containers."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from tests.cluster import kube, place

if TYPE_CHECKING:
    from tests.cluster.conftest import Place
    from tests.cluster.kube import Cluster, Ran

_PYTHON: Final = ("/app/bin/python3.13", "-I", "-c")
_GET: Final = """
import http.client, ssl, sys
port, path = int(sys.argv[1]), sys.argv[2]
if port == 7353:
    there = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
else:
    there = http.client.HTTPSConnection("127.0.0.1", port, timeout=30, context=ssl._create_unverified_context())
there.request("GET", path)
print(there.getresponse().read().decode())
"""


def started(gate: Place) -> list[Any]:
    """Which pods there are, and how often their containers have started again."""
    pods = gate.cluster.pods(place.GATE, place.SELECTOR)
    return [(pod.metadata.uid, [kube.container(pod, name).restart_count for name in ("pep", "pdp")]) for pod in pods]


def metrics(cluster: Cluster, pod: str, port: int = 7353, namespace: str = place.GATE) -> dict[str, float]:
    """The PDP's, or with port 8444 the PEP's: sample with its labels -> value; nothing while it doesn't answer."""
    ran = _get(cluster, namespace, pod, port, "/metrics")
    lines = (line.rpartition(" ") for line in ran.out.splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, _, value in lines} if ran.code == 0 else {}


def revision(cluster: Cluster, pod: str, namespace: str = place.GATE) -> str:
    """Of the policy set in force there, or ""."""
    told = metrics(cluster, pod, namespace=namespace)
    found = (re.fullmatch(r'sallyport_pdp_revision_info\{revision="(\w+)"\}', name) for name in told)
    return next((match[1] for match in found if match), "")


def readiness(cluster: Cluster, pod: str) -> dict[str, str]:
    """The details by part."""
    ran = _get(cluster, place.GATE, pod, 8444, "/ready")
    return {part["name"]: part["detail"] for part in json.loads(ran.out)} if ran.code == 0 else {}


def _get(cluster: Cluster, namespace: str, pod: str, port: int, path: str) -> Ran:
    container = "pdp" if port == 7353 else "pep"
    return cluster.exec(namespace, pod, *_PYTHON, _GET, str(port), path, container=container)
