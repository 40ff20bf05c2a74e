"""The place in which the gate is tested: its namespace, two orchestrators, a database, an upstream, and bystanders."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from typing import Any, Final

from tests.cluster.kube import Manifest

WORKER: Final = os.environ.get("PYTEST_XDIST_WORKER", "gw0")  # each has a place of its own
GATE: Final = f"gate-{WORKER}"
AGENTS: Final = (f"agents-a-{WORKER}", f"agents-b-{WORKER}")
DATA, CRM, MONITORING, ELSEWHERE = (f"{name}-{WORKER}" for name in ("data", "crm", "monitoring", "elsewhere"))
NAMESPACES: Final = (GATE, *AGENTS, DATA, CRM, MONITORING, ELSEWHERE)
RELEASE: Final = f"sallyport-{WORKER}"
SELECTOR: Final = f"app.kubernetes.io/instance={RELEASE},app.kubernetes.io/component=gate"
URL: Final = f"https://{RELEASE}.{GATE}.svc:8443/mcp"
ORCHESTRATOR: Final = {"app.kubernetes.io/name": "orchestrator"}
DOMAIN: Final = "spiffe://sallyport.test"
PERMITTED: Final = ("database_query", {"table": "orders"})
DENIED: Final = ("database_query", {"table": "salaries"})


def image(name: str) -> str:
    """`pep`, `pdp`, `client` or `postgres`, as `make test-cluster` built and loaded them."""
    return f"{os.environ.get('IMAGE_PREFIX', 'sallyport')}/{name}:{os.environ['IMAGE_TAG']}"


def pod(
    namespace: str,
    name: str,
    labels: Mapping[str, str],
    command: Sequence[str],
    *,
    of: str = "client",
    secrets: Mapping[str, str] | None = None,
    ports: Sequence[int] = (),
) -> Manifest:
    """A pod that Pod Security `restricted` takes; `secrets` are mounted: path -> Secret's name."""
    mounts = secrets or {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": dict(labels)},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "runAsGroup": 65532,
                "fsGroup": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "main",
                    "image": image(of),
                    "imagePullPolicy": "IfNotPresent",
                    "args": list(command),
                    "ports": [{"containerPort": port} for port in ports],
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"drop": ["ALL"]},
                        "readOnlyRootFilesystem": True,
                    },
                    "volumeMounts": [
                        *({"name": f"s{i}", "mountPath": path, "readOnly": True} for i, path in enumerate(mounts)),
                        {"name": "scratch", "mountPath": "/data"},
                    ],
                }
            ],
            "volumes": [
                *(
                    {
                        "name": f"s{i}",
                        "projected": {"sources": [{"secret": {"name": name}} for name in names.split(",")]},
                    }
                    for i, names in enumerate(mounts.values())
                ),
                {"name": "scratch", "emptyDir": {}},
            ],
        },
    }


def idle(namespace: str, name: str, labels: Mapping[str, str]) -> Manifest:
    """Somebody who listens on 9999 and can be told to probe."""
    return pod(namespace, name, labels, ["/app/listen.py", "9999"])


def service(namespace: str, name: str, labels: Mapping[str, str], ports: Sequence[int]) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": dict(labels), "ports": [{"name": f"p{port}", "port": port} for port in ports]},
    }


def secret(namespace: str, name: str, files: Mapping[str, bytes]) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "type": "Opaque",
        "data": {key: base64.b64encode(value).decode() for key, value in files.items()},
    }


def values(service_networks: Sequence[str]) -> dict[str, Any]:
    """What this place adds to the production profile and to what `dev-certs` wrote."""
    return {
        "profile": "production",
        "replicas": 3,
        "listenAddress": "[::]",  # both families, where the cluster has both
        "images": {"registry": ""}
        | {
            part: {"repository": image(part).rpartition(":")[0], "tag": os.environ["IMAGE_TAG"]}
            for part in ("pep", "pdp")
        },
        "orchestrators": [
            {
                "name": namespace,
                "spiffe": f"{DOMAIN}/{namespace}",
                "from": {"namespace": namespace, "podLabels": ORCHESTRATOR},
            }
            for namespace in AGENTS
        ],
        "audit": {"persistence": {"enabled": True, "size": "1Gi", "storageClass": ""}},
        "tools": ["database_query", "describe_table"],
        "upstreams": [
            {
                "name": "crm",
                "url": f"https://crm.{CRM}.svc:8443/mcp",
                "network": {"namespace": CRM, "podLabels": {"app": "crm"}},
                "ca": {"secret": "crm-ca"},
                "credential": {"secret": "crm-token"},
            }
        ],
        "cluster": {"serviceNetworks": list(service_networks)},
        "database": {
            "url": f"postgresql://sallyport@postgres.{DATA}.svc:5432/app",
            "passwordSecret": "postgres-password",
            "caSecret": "postgres-ca",
            "network": {"namespace": DATA, "podLabels": {"app": "postgres"}},
        },
        "monitoring": {
            "prometheus": {
                "spiffe": f"{DOMAIN}/prometheus",
                "from": {"namespace": MONITORING, "podLabels": {"app.kubernetes.io/name": "prometheus"}},
                "clientSecret": f"{RELEASE}-metrics-client",
            }
        },
        "pdp": {"deadlineMs": 5000},  # what is tested is never how fast this machine is
        "tests": {
            "permitted": {"tool": PERMITTED[0], "arguments": PERMITTED[1]},
            "denied": {"tool": DENIED[0], "arguments": DENIED[1]},
            "otherNamespace": ELSEWHERE,
            "outside": os.environ.get("OUTSIDE", "").split(),
        },
    }
