"""An installed release: what its `helm test` is made of, and how to ask some of it."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
from dataclasses import dataclass
from typing import Any

from tests.cluster import in_force, kube
from tests.cluster.kube import Cluster

HERE = ("orchestrator", "witness", "egress", "neighbour", "stranger", "bystander")
_GROUND = ("probe", "canary", "quiet")  # what every role needs


@dataclass(frozen=True, slots=True)
class Told:
    passed: bool
    text: str

    def says(self, pattern: str) -> bool:
        return re.search(pattern, self.text, re.MULTILINE) is not None


@dataclass(frozen=True, slots=True)
class Release:
    cluster: Cluster
    namespace: str
    name: str
    values: dict[str, Any]

    @classmethod
    def installed(cls, cluster: Cluster, namespace: str, name: str) -> Release:
        values = kube.helm("get", "values", name, "-n", namespace, "--all", "-o", "json").stdout
        return cls(cluster, namespace, name, json.loads(values))

    @property
    def fullname(self) -> str:
        return self.name if "sallyport" in self.name else f"{self.name}-sallyport"

    @property
    def orchestrator(self) -> dict[str, Any]:
        """Where the first orchestrator comes from."""
        found: dict[str, Any] = self.values["orchestrators"][0]["from"]
        return found

    @property
    def outside(self) -> str:
        """The last of the outside servers, which is to be given by address, as a network of its own."""
        address = ipaddress.ip_address(str(self.values["tests"]["outside"][-1]).rpartition(":")[0].strip("[]"))
        return str(ipaddress.ip_network(address))

    def where(self, role: str) -> str:
        elsewhere = {
            "orchestrator": self.orchestrator["namespace"],
            "bystander": self.orchestrator["namespace"],
            "stranger": self.values["tests"]["otherNamespace"],
        }
        return str(elsewhere.get(role, self.namespace))

    def test(self, *roles: str) -> Told:
        """`helm test`, of these roles' pods only; all without any."""
        mark = hashlib.sha256(self.namespace.encode()).hexdigest()[:4]
        plain = [f"{self.fullname}-test-{name}" for name in (*_GROUND, *roles)]
        names = ",".join(f"name={name},name={name}-{mark}" for name in plain)
        filters = ["--filter", names] if roles else []
        ran = kube.helm(
            "test", self.name, "-n", self.namespace, *filters, "--timeout", "600s", expect=None, seconds=700
        )
        return Told(ran.returncode == 0, ran.stdout + ran.stderr)

    def get(self, kind: str, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(kube.kubectl("get", kind, name, "-n", self.namespace, "-o", "json").stdout)
        return found

    def put(self, kind: str, name: str, field: str, value: object) -> None:
        """Replace one field of an object."""
        patch = json.dumps([{"op": "replace", "path": f"/{field}", "value": value}])
        kube.kubectl("patch", kind, name, "-n", self.namespace, "--type=json", "-p", patch)

    def settle(self) -> None:
        """Wait until a changed ConfigMap is in force in each of the gate's pods."""
        in_force.settle(self.cluster, self.namespace, self.name)

    def restart_one(self) -> None:
        """One of the gate's pods, and wait until it is ready again: each is asked by itself."""
        selector = f"app.kubernetes.io/instance={self.name},app.kubernetes.io/component=gate"
        count = len(pods := self.cluster.pods(self.namespace, selector))
        kube.kubectl("delete", "pod", pods[0].metadata.name, "-n", self.namespace, "--wait")
        self.cluster.ready(self.namespace, selector, count)
