"""One release with production values for all tests of this folder; what a test breaks it mends itself."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sallyport.cli import keys
from tests.cluster import in_force, kube, place
from tests.cluster.kube import Cluster
from tests.support.pki import Authority

ROOT: Final = Path(__file__).resolve().parents[2]
CHART: Final = ROOT / "deploy" / "helm" / "sallyport"
FLOOR: Final = ROOT / "deploy" / "networkpolicies"


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    for name, how in (
        ("KUBECONFIG", "a cluster that enforces NetworkPolicies"),
        ("IMAGE_TAG", "`make images`' tag"),
        ("OUTSIDE", "addresses outside the cluster that pods could reach"),
    ):
        if not os.environ.get(name):
            pytest.fail(f"{name} isn't set ({how}): run `make test-cluster`", pytrace=False)
    return Cluster()


@dataclass(frozen=True, slots=True)
class Place:
    """What was made before the gate: where its development keys lie, and the values it is installed with."""

    cluster: Cluster
    directory: Path  # of `dev-certs`
    values: Path  # all that this place adds, as one file

    def install(self, *more: str, action: tuple[str, ...] = ("upgrade", "--install"), chart: Path = CHART) -> None:
        kube.helm(
            *(*action, place.RELEASE, str(chart), "-n", place.GATE, "--wait", "--timeout", "300s"),
            *(
                "-f",
                str(CHART / "ci" / "production.yaml"),
                "-f",
                str(self.directory / "values.yaml"),
                "-f",
                str(self.values),
            ),
            *more,
        )

    def authority(self) -> keys.Authority:
        """The development CA, to make further certificates."""
        key = serialization.load_pem_private_key((self.directory / "ca/ca.key").read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return keys.Authority(key, x509.load_pem_x509_certificate((self.directory / "ca/ca.crt").read_bytes()))

    def identify(self, namespace: str, name: str) -> None:
        """The Secret `identity` of a namespace: who calls from there, and alice's token."""
        self.cluster.apply(place.secret(namespace, "identity", self.identity(name)))

    def identity(self, called: str) -> dict[str, bytes]:
        name = x509.UniformResourceIdentifier(f"{place.DOMAIN}/{called}")
        pair = self.authority().issue(called, [name], keys.CLIENT)
        ca, token = (self.directory / "ca/ca.crt").read_bytes(), (self.directory / "test.token").read_bytes().strip()
        return {"tls.crt": pair.public, "tls.key": pair.private, "ca.crt": ca, "token": token}


class _Shared(socketserver.ThreadingTCPServer):
    allow_reuse_port = True  # another worker's tests have the same addresses


@pytest.fixture(scope="session")
def outside() -> Iterator[None]:
    """Servers outside the cluster, at the addresses in OUTSIDE that are this machine's own; others are there already."""
    with contextlib.ExitStack() as stack:
        for address in os.environ.get("OUTSIDE", "").split():
            host, _, port = address.rpartition(":")
            with contextlib.suppress(OSError):
                server = stack.enter_context(_Shared((host, int(port)), socketserver.BaseRequestHandler))
                threading.Thread(target=server.serve_forever, daemon=True).start()
                stack.callback(server.shutdown)
        yield


@pytest.fixture(scope="session")
def ground(cluster: Cluster, outside: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Everything but the gate. At the end it goes, the volumes' contents too."""
    directory = tmp_path_factory.mktemp("keys") / "dev"
    for namespace in place.NAMESPACES:
        cluster.namespace(namespace)
    kube.kubectl("apply", "-n", place.GATE, "-f", str(FLOOR))
    _keys(directory)
    values = directory.parent / "values.yaml"
    values.write_text(yaml.safe_dump(place.values(_service_networks(cluster))), encoding="utf-8")
    made = Place(cluster, directory, values)
    kube.kubectl("apply", "--server-side", "-f", str(directory / "manifests.yaml"))
    for namespace in place.AGENTS:
        made.identify(namespace, namespace)
    _database(cluster)
    _upstream(cluster)
    _bystanders(cluster)
    yield made
    kube.helm("uninstall", place.RELEASE, "-n", place.GATE, "--wait", "--ignore-not-found", expect=None)
    _empty_volumes(cluster)
    for namespace in place.NAMESPACES:
        cluster.delete("v1", "Namespace", namespace)
    kube.until("the namespaces are gone", lambda: _none_left(cluster), 300)
    _recycle(cluster)


@pytest.fixture(scope="session")
def installed(ground: Place) -> Place:
    ground.install()
    return ground


@pytest.fixture
def gate(installed: Place) -> Place:
    """The release, with all of its replicas ready, and nothing that a test put back still on its way."""
    installed.cluster.ready(place.GATE, place.SELECTOR, 3)
    in_force.settle(installed.cluster)
    return installed


def _keys(directory: Path) -> None:
    subprocess.run(
        [
            *(sys.executable, "-m", "sallyport.cli", "k8s", "dev-certs", str(directory)),
            *("--namespace", place.GATE, "--release", place.RELEASE),
            *("--orchestrator-namespace", place.AGENTS[0], "--orchestrator-id", f"{place.DOMAIN}/{place.AGENTS[0]}"),
        ],
        check=True,
        capture_output=True,
    )


def _database(cluster: Cluster) -> None:
    ca = Authority("Database CA")
    pair = ca.server(dns=(f"postgres.{place.DATA}.svc",), ips=())
    password = keys.secret().strip()
    served = {"tls.crt": pair.certificate_pem, "tls.key": pair.key_pem, "password": password}
    cluster.apply(
        place.secret(place.GATE, "postgres-ca", {"ca.crt": ca.pem}),
        place.secret(place.GATE, "postgres-password", {"password": password}),
        place.secret(place.DATA, "postgres", served),
        place.pod(place.DATA, "postgres", {"app": "postgres"}, [], of="postgres", secrets={"/secrets": "postgres"}),
        place.service(place.DATA, "postgres", {"app": "postgres"}, [5432]),
    )
    kube.until("the database answers", lambda: "ready to accept" in cluster.logs(place.DATA, "postgres"), 300)


def _service_networks(cluster: Cluster) -> list[str]:
    """Around the API server's own address: no cluster's is so small that others lie beyond, and only newer ones tell."""
    found = map(ipaddress.ip_address, cluster.core.read_namespaced_service("kubernetes", "default").spec.cluster_ips)
    return [str(ipaddress.ip_network((each, 16 if each.version == 4 else 112), strict=False)) for each in found]


def _upstream(cluster: Cluster) -> None:
    ca = Authority("CRM CA")
    pair = ca.server(dns=(f"crm.{place.CRM}.svc",), ips=())
    credential = b"Bearer " + keys.secret().strip()
    served = {"tls.crt": pair.certificate_pem, "tls.key": pair.key_pem, "credential": credential}
    body: Any = place.pod(
        place.CRM, "crm", {"app": "crm"}, ["/app/upstream.py", "8443", "9443"], secrets={"/secrets": "crm"}
    )
    body["spec"]["containers"][0]["readinessProbe"] = {"tcpSocket": {"port": 8443}, "periodSeconds": 1}
    cluster.apply(
        place.secret(place.GATE, "crm-ca", {"ca.crt": ca.pem}),
        place.secret(place.GATE, "crm-token", {"credential": credential}),
        place.secret(place.CRM, "crm", served),
        body,
        place.service(place.CRM, "crm", {"app": "crm"}, [8443, 9443]),
    )


def _bystanders(cluster: Cluster) -> None:
    """Those who may, those who may not, and those whom the gate may reach or not."""
    listening = ["/app/listen.py", "8443"]
    cluster.apply(
        *(place.idle(namespace, "orchestrator", place.ORCHESTRATOR) for namespace in place.AGENTS),
        place.idle(place.AGENTS[0], "colleague", {"app": "colleague"}),
        place.idle(place.ELSEWHERE, "stranger", place.ORCHESTRATOR),
        place.idle(place.GATE, "neighbour", {"app": "neighbour"}),
        place.idle(place.GATE, "bystander", {"app": "bystander"}),
        place.idle(place.GATE, "position", {"app.kubernetes.io/instance": place.RELEASE, "sallyport.io/egress": "pep"}),
        place.idle(place.MONITORING, "prometheus", {"app.kubernetes.io/name": "prometheus"}),
        place.pod(place.CRM, "unlisted", {"app": "unlisted"}, listening),
        place.service(place.CRM, "unlisted", {"app": "unlisted"}, [8443]),
    )
    for namespace in place.NAMESPACES:
        kube.until(f"pods of {namespace} are ready", lambda n=namespace: _all_ready(cluster, n), 300)  # type: ignore[misc]


def _all_ready(cluster: Cluster, namespace: str) -> bool:
    found = cluster.pods(namespace, "app.kubernetes.io/component!=gate")
    return bool(found) and all(map(kube.is_ready, found))


def _none_left(cluster: Cluster) -> bool:
    return all(cluster.get("v1", "Namespace", namespace) is None for namespace in place.NAMESPACES)


def _claims(cluster: Cluster) -> list[str]:
    return [claim.metadata.name for claim in cluster.core.list_namespaced_persistent_volume_claim(place.GATE).items]


def _empty_volumes(cluster: Cluster) -> None:
    """A volume made by hand is given to the next claim as it is, records of other keys included."""
    empty = "import pathlib, shutil; [shutil.rmtree(p) for p in pathlib.Path('/volume').iterdir() if p.is_dir()]"
    for claim in _claims(cluster):
        body: Any = place.pod(place.GATE, f"empty-{claim}", {"app": "empty"}, ["-c", empty])
        body["spec"]["restartPolicy"] = "Never"
        body["spec"]["volumes"].append({"name": "volume", "persistentVolumeClaim": {"claimName": claim}})
        body["spec"]["containers"][0]["volumeMounts"].append({"name": "volume", "mountPath": "/volume"})
        cluster.apply(body)
    kube.until(
        "volumes are emptied",
        lambda: all(pod.status.phase == "Succeeded" for pod in cluster.pods(place.GATE, "app=empty")),
        300,
    )


def _recycle(cluster: Cluster) -> None:
    """Let a released volume that nobody provisions anew take another claim."""
    for volume in cluster.core.list_persistent_volume().items:
        claimed = volume.spec.claim_ref
        if volume.status.phase == "Released" and claimed is not None and claimed.namespace == place.GATE:
            cluster.core.patch_persistent_volume(volume.metadata.name, {"spec": {"claimRef": None}})
