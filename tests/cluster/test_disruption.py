"""Processes die, nodes go, versions and certificates change, under steady load from two orchestrators.

A call that was on a process as it was killed may fail, and one that finds no PDP is refused; nothing else may.
"""

from __future__ import annotations

import base64
import contextlib
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from sallyport.cli import keys
from tests.cluster import kube, once, place
from tests.cluster.conftest import Place
from tests.cluster.in_force import ARRIVED
from tests.cluster.load import Load, load
from tests.cluster.reading import metrics, started
from tests.cluster.record import verify

# By the container's id in its control group, the one process that is number 1 inside: from within it can't be killed.
KILL = """
import os, pathlib, sys
for status in pathlib.Path("/proc").glob("[0-9]*/status"):
    try:
        inside = next(line for line in status.read_text().splitlines() if line.startswith("NSpid:")).split()[-1]
        if inside == "1" and sys.argv[1] in (status.parent / "cgroup").read_text():
            os.kill(int(status.parent.name), 9)
            print("killed")
    except OSError:
        pass
"""
# The SHA-256 of the certificate that a caller is shown on the port for calls.
PEER = """
import hashlib, socket, ssl, sys
context = ssl.create_default_context(cafile="/identity/ca.crt")
context.load_cert_chain("/identity/tls.crt", "/identity/tls.key")
with socket.create_connection((sys.argv[1], 8443), timeout=60) as plain:
    with context.wrap_socket(plain, server_hostname=sys.argv[2]) as channel:
        print(hashlib.sha256(channel.getpeercert(binary_form=True)).hexdigest())
"""
WORKERS = 4


@contextlib.contextmanager
def both(gate: Place) -> Iterator[tuple[Load, Load]]:
    """Two orchestrators at work."""
    first, second = (load(gate.cluster, namespace, workers=WORKERS) for namespace in place.AGENTS)
    with first as one, second as two:
        yield one, two


@pytest.fixture(autouse=True)
def _whole_and_recorded(gate: Place) -> Iterator[None]:
    yield
    gate.cluster.ready(place.GATE, place.SELECTOR, 3)
    verify(gate)


def restarts(gate: Place, pod: str, name: str) -> int:
    return int(kube.container(gate.cluster.core.read_namespaced_pod(pod, place.GATE), name).restart_count)


def kill(gate: Place, name: str) -> str:
    """SIGKILL a container's process from its node, as the kernel does when memory is out; the pod's name."""
    pod = gate.cluster.pods(place.GATE, place.SELECTOR)[0]
    before = restarts(gate, pod.metadata.name, name)
    container_id = kube.container(pod, name).container_id.rpartition("/")[2]
    called = f"killer-{place.WORKER}-{uuid.uuid4().hex[:8]}"
    killer = place.pod("kube-system", called, {"app": "killer"}, ["-c", KILL, container_id])
    spec: Any = killer["spec"]
    spec |= {"hostPID": True, "nodeName": pod.spec.node_name, "restartPolicy": "Never", "securityContext": {}}
    spec["containers"][0]["securityContext"] = {"privileged": True, "runAsUser": 0}
    with kube.removed(gate.cluster, killer):
        kube.until("the kill", lambda: "killed" in gate.cluster.logs("kube-system", called))
    again = f"{name} of {pod.metadata.name} has started again"
    kube.until(again, lambda: restarts(gate, pod.metadata.name, name) > before)
    return str(pod.metadata.name)


def test_without_its_pdp_a_replica_permits_nothing_and_the_others_go_on(gate: Place) -> None:
    with both(gate) as loads:
        everybody = {(each.namespace, worker) for each in loads for worker in range(WORKERS)}
        pod = kill(gate, "pdp")
        gate.cluster.ready(place.GATE, place.SELECTOR, 3)
        for each in loads:
            each.more(40)
            assert {call.outcome for call in each.bad()} <= {"unavailable"}, each.bad()[:5]
        # Each worker keeps its connection, and so its replica.
        on_it = {(each.namespace, call.worker) for each in loads for call in each.bad()}
        assert everybody - on_it, "those of the other replicas never noticed"
    assert metrics(gate.cluster, pod)["sallyport_pdp_last_reload_success"] == 1


def test_a_killed_pep_fails_no_call_but_those_on_it(gate: Place) -> None:
    with both(gate) as loads:
        kill(gate, "pep")
        gate.cluster.ready(place.GATE, place.SELECTOR, 3)
        for each in loads:
            on_it = each.bad()
            # Its connections break, and until Kubernetes knows that it is gone new ones are sent there, and refused.
            assert all(call.detail.startswith(("RemoteProtocolError", "ReadError", "ConnectError")) for call in on_it)
            assert len([call for call in on_it if not call.detail.startswith("ConnectError")]) <= WORKERS, on_it
            each.more(40)
            assert each.bad() == on_it, "with the process back nothing fails: no other replica did"


def test_a_drained_node_fails_no_call(gate: Place) -> None:
    # The one with fewest: a volume of this cluster stays on its node, and a second pod waits for the first to be back.
    nodes = Counter(str(pod.spec.node_name) for pod in gate.cluster.pods(place.GATE, place.SELECTOR))
    node = min(nodes, key=lambda name: nodes[name])
    with both(gate) as loads:
        try:
            evict(gate, node)
            for each in loads:
                each.more(40)
                assert each.bad() == []
        finally:
            kube.kubectl("uncordon", node)


def evict(gate: Place, node: str) -> None:
    """What `kubectl drain` does, for the gate's pods alone: others on this node aren't what is tested."""
    kube.kubectl(
        "drain",
        node,
        "--pod-selector",
        place.SELECTOR,
        "--ignore-daemonsets",
        "--delete-emptydir-data",
        "--timeout=150s",
        seconds=180,
    )


def test_a_rolling_upgrade_fails_no_call(gate: Place) -> None:
    before = {pod.metadata.uid for pod in gate.cluster.pods(place.GATE, place.SELECTOR)}
    with both(gate) as loads:
        gate.install("--set", "pdp.socket=true")  # from localhost TCP to a Unix socket
        pods = gate.cluster.ready(place.GATE, place.SELECTOR, 3)
        assert not before & {pod.metadata.uid for pod in pods}
        for each in loads:
            each.more(40)
            assert each.bad() == []


def test_a_rotated_certificate_is_served_without_a_restart_or_a_failed_call(gate: Place) -> None:
    name = f"{place.RELEASE}-tls"
    old = gate.cluster.core.read_namespaced_secret(name, place.GATE).data
    dns = x509.load_pem_x509_certificate(base64.b64decode(old["tls.crt"])).extensions
    names = list(dns.get_extension_for_class(x509.SubjectAlternativeName).value)
    pair = gate.authority().issue("server", names, keys.SERVER)
    made = x509.load_pem_x509_certificate(pair.public)
    expiry, fingerprint = made.not_valid_after_utc.timestamp(), made.fingerprint(hashes.SHA256()).hex()
    before = started(gate)
    with both(gate) as loads:
        told = {"tls.crt": base64.b64encode(pair.public).decode(), "tls.key": base64.b64encode(pair.private).decode()}
        gate.cluster.core.patch_namespaced_secret(name, place.GATE, {"data": told})
        kube.until("every replica serves it", lambda: all(_serves(gate, pod, expiry) for pod in _names(gate)), ARRIVED)
        for pod in gate.cluster.pods(place.GATE, place.SELECTOR):
            asked = (PEER, str(pod.status.pod_ip), f"{place.RELEASE}.{place.GATE}.svc")
            assert once.run(gate.cluster, place.AGENTS[0], place.ORCHESTRATOR, *asked) == fingerprint
        for each in loads:
            each.more(40)
            assert each.bad() == []
    assert started(gate) == before


def _names(gate: Place) -> list[str]:
    return [str(pod.metadata.name) for pod in gate.cluster.pods(place.GATE, place.SELECTOR)]


def _serves(gate: Place, pod: str, expiry: float) -> bool:
    found: dict[str, Any] = dict(metrics(gate.cluster, pod, 8444))
    samples = [value for sample, value in found.items() if "certificate_not_after" in sample and "server" in sample]
    return samples == [expiry]
