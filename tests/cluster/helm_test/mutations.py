"""Every way in which the seal may be broken, who of the test must see it, and what must be said."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from tests.cluster import kube
from tests.cluster.helm_test.release import Release

Break = Callable[[Release], AbstractContextManager[None]]
_ANYBODY: dict[str, Any] = {"namespaceSelector": {}}
_FLOOR, _DNS = "sallyport-floor-default-deny", "sallyport-floor-dns"
_POLICY = "networkpolicy"
_RESOURCES = {"database_query": "Table::orders", "list_files": "Folder::."}
_TEST = """\
principals: {{alice: {{user: alice, agent: coding-bot, org: acme, roles: [user]}}}}
resources: {{it: {{resource: "{resource}"}}}}
tests: [{{name: as it is now, principal: alice, action: {tool}, resource: it, expect: {expect}}}]
"""


@dataclass(frozen=True, slots=True)
class Mutation:
    what: str
    seen_by: str
    said: str  # by that pod; a regular expression
    breaks: Break


@contextmanager
def _changed(release: Release, kind: str, name: str, field: str, change: Callable[[Any], Any]) -> Iterator[None]:
    before = release.get(kind, name)[field]
    release.put(kind, name, field, change(copy.deepcopy(before)))
    try:
        yield
    finally:
        release.put(kind, name, field, before)


@contextmanager
def _added(release: Release, spec: dict[str, Any]) -> Iterator[None]:
    policy = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "spec": spec}
    named = {**policy, "metadata": {"name": "opened-by-a-test", "namespace": release.namespace}}
    with kube.removed(release.cluster, named):
        yield


@contextmanager
def _deleted(release: Release, *names: str) -> Iterator[None]:
    """Policies, put back as they were."""
    kept = [release.get(_POLICY, name) for name in names]
    kube.kubectl("delete", _POLICY, *names, "-n", release.namespace)
    try:
        yield
    finally:
        for policy in kept:
            metadata = {
                key: policy["metadata"][key]
                for key in ("name", "namespace", "labels", "annotations")
                if key in policy["metadata"]
            }
            release.cluster.apply({**policy, "metadata": metadata})


@contextmanager
def _settings(release: Release, old: str, new: str) -> Iterator[None]:
    """In pep.yaml, of one of the gate's pods."""

    def change(data: dict[str, str]) -> dict[str, str]:
        assert old in data["pep.yaml"]
        return {**data, "pep.yaml": data["pep.yaml"].replace(old, new)}

    try:
        with _changed(release, "configmap", f"{release.fullname}-settings", "data", change):
            release.restart_one()
            yield
    finally:
        release.restart_one()


def _ingress(change: Callable[[list[Any]], list[Any]]) -> Break:
    """Of the chart's own policy."""
    return lambda release: _changed(
        release,
        _POLICY,
        f"{release.fullname}-ingress",
        "spec",
        lambda spec: {**spec, "ingress": change(spec["ingress"])},
    )


def _egress(rule: dict[str, Any]) -> Break:
    return lambda release: _changed(
        release, _POLICY, f"{release.fullname}-egress", "spec", lambda spec: {**spec, "egress": [*spec["egress"], rule]}
    )


def _floor(name: str, **fields: Any) -> Break:
    return lambda release: _changed(release, _POLICY, name, "spec", lambda spec: {**spec, **fields})


def _policies(text: str, expect: str) -> Break:
    """These instead of all that the operators wrote, with a test that passes: production asks for one."""

    @contextmanager
    def breaks(release: Release) -> Iterator[None]:
        tool = release.values["tools"][0]
        test = _TEST.format(tool=tool, resource=_RESOURCES[tool], expect=expect)

        def change(data: dict[str, str]) -> dict[str, str]:
            schema = {name: content for name, content in data.items() if name.endswith(".cedarschema")}
            return {**schema, "instead.cedar": text, "instead.test.yaml": test}

        with _changed(release, "configmap", f"{release.fullname}-policies", "data", change):
            release.settle()
            yield
        release.settle()

    return breaks


def _peer(release: Release, **changed: Any) -> dict[str, Any]:
    """The orchestrator, as the chart's policy names it, but for what is changed."""
    where = {"matchLabels": {"kubernetes.io/metadata.name": release.orchestrator["namespace"]}}
    found = {"namespaceSelector": where, "podSelector": {"matchLabels": release.orchestrator["podLabels"]}}
    return {**found, **changed}


def _from(**changed: Any) -> Break:
    return lambda release: _ingress(
        lambda rules: [*rules, {"from": [_peer(release, **changed)], "ports": [{"port": 8443, "protocol": "TCP"}]}]
    )(release)


MUTATIONS = (
    Mutation(
        "a door that must be open is shut, so that closed ones prove nothing",
        "neighbour",
        r"what must answer: not within",
        lambda release: _deleted(release, _DNS),
    ),
    Mutation(
        "what is listed can't be reached from the PEP's position",
        "egress",
        r"what must answer: not within",
        lambda release: _deleted(release, f"{release.fullname}-egress"),
    ),
    Mutation(
        "the kubelet of the node may be asked",
        "egress",
        r"OPEN: \S+:10250 .* answers and must not",
        _egress({"ports": [{"port": 10250, "protocol": "TCP"}]}),
    ),
    Mutation(
        "the floor lets everything out",
        "neighbour",
        r"OPEN: kubernetes\.default\.svc:443 .* answers and must not",
        lambda release: _added(release, {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]}),
    ),
    Mutation(
        "the floor is gone",
        "neighbour",
        r"OPEN: \S+-test-canary\S+:8080 .* answers and must not",
        lambda release: _deleted(release, _FLOOR, _DNS),
    ),
    Mutation(
        "the floor lets everything in",
        "witness",
        r"OPEN: \S+:8443 \(gate's Service\) answers and must not",
        lambda release: _added(release, {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]}),
    ),
    Mutation(
        "the floor no longer speaks of ingress",
        "stranger",
        r"OPEN: \S+-test-quiet\S+:8080 .* answers and must not",
        _floor(_FLOOR, policyTypes=["Egress"]),
    ),
    Mutation(
        "the floor lets in whoever is in the namespace",
        "witness",
        r"OPEN: \S+-test-quiet\S+:8080 .* answers and must not",
        lambda release: _added(
            release, {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": [{"podSelector": {}}]}]}
        ),
    ),
    Mutation(
        "any address may be asked on port 53 by UDP",
        "neighbour",
        r"OPEN: \S+-test-canary\S+:53/udp .* answers and must not",
        _floor(
            _DNS,
            egress=[
                {"ports": [{"port": 53, "protocol": "UDP"}]},
                {"to": [_ANYBODY], "ports": [{"port": 53, "protocol": "TCP"}]},
            ],
        ),
    ),
    Mutation(
        "any address may be asked on port 53 by TCP, from the PEP's position",
        "egress",
        r"OPEN: \S+-test-canary\S+:53 .* answers and must not",
        _egress({"ports": [{"port": 53, "protocol": "TCP"}]}),
    ),
    Mutation(
        "any namespace may have orchestrators",
        "stranger",
        r"OPEN: \S+:8443 \(gate's Service\) answers and must not",
        _from(namespaceSelector={}),
    ),
    Mutation(
        "any pod of the orchestrator's namespace may call",
        "bystander",
        r"OPEN: \S+:8443 \(gate's Service\) answers and must not",
        _from(podSelector={}),
    ),
    Mutation(
        "any pod of the gate's namespace may call",
        "witness",
        r"OPEN: \S+:8443 \(gate's Service\) answers and must not",
        _ingress(lambda rules: [*rules, {"from": [{"podSelector": {}}], "ports": [{"port": 8443, "protocol": "TCP"}]}]),
    ),
    Mutation(
        "the management port is open to all",
        "stranger",
        r"OPEN: \S+:8444 \(gate pod, management\) answers and must not",
        _ingress(lambda rules: [*rules, {"ports": [{"port": 8444, "protocol": "TCP"}]}]),
    ),
    Mutation(
        "the PDP's port, which nobody listens on there, is open to all",
        "stranger",
        r"OPEN: \S+:7351 \(gate pod, PDP\) answers and must not: refused by the host itself",
        _ingress(lambda rules: [*rules, {"ports": [{"port": 7351, "protocol": "TCP"}]}]),
    ),
    Mutation(
        "the orchestrator may reach every port",
        "orchestrator",
        r"OPEN: \S+:8444 \(gate pod, management\) answers and must not",
        lambda release: _ingress(lambda rules: [*rules, {"from": [_peer(release)]}])(release),
    ),
    Mutation(
        "the PEP may go anywhere",
        "egress",
        r"OPEN: kubernetes\.default\.svc:443 .* answers and must not",
        _egress({}),
    ),
    Mutation(
        "the PEP may go to one more network",
        "egress",
        r"OPEN: \S+:\d+ \(outside\) answers and must not",
        lambda release: _egress({"to": [{"ipBlock": {"cidr": release.outside}}]})(release),
    ),
    Mutation(
        "the PEP may go to any pod of its namespace",
        "egress",
        r"OPEN: \S+-test-canary\S+:8080 .* answers and must not",
        _egress({"to": [{"podSelector": {}}]}),
    ),
    Mutation(
        "the gate's ingress policy and the floor are gone",
        "stranger",
        r"OPEN: \S+:8443 \(gate's Service\) answers and must not",
        lambda release: _deleted(release, f"{release.fullname}-ingress", _FLOOR, _DNS),
    ),
    Mutation(
        "the gate's egress policy and the floor are gone",
        "egress",
        r"OPEN: kubernetes\.default\.svc:443 .* answers and must not",
        lambda release: _deleted(release, f"{release.fullname}-egress", _FLOOR, _DNS),
    ),
    Mutation(
        "one pod of the gate takes calls without a client certificate",
        "orchestrator",
        r"without a client certificate \d+ bytes came back",
        lambda release: _settings(release, "client_certificate: required", "client_certificate: optional"),
    ),
    Mutation(
        "the policies permit everything",
        "orchestrator",
        r"the call that must be denied .* got HTTP 200",
        _policies('@id("all")\npermit(principal, action, resource);\n', "permit"),
    ),
    Mutation(
        "the policies permit nothing",
        "orchestrator",
        r"the call that must be permitted .* got HTTP 200 .*-32010",
        _policies('@id("none")\nforbid(principal, action, resource);\n', "deny"),
    ),
)
