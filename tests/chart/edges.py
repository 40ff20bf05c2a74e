"""The network's doors: once as values list them, once as the rendered policies open them for a pod, both as sets."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from tests.chart.rendering import NAMESPACE, Object, Rendered, namespace_of

_DEFAULT_PORT: Final = {"https": 443, "http": 80, "postgresql": 5432}


@dataclass(frozen=True, slots=True)
class Edge:
    """From or to one peer: pods of a namespace, an address range or a host name, on one TCP port."""

    peer: str
    port: int


def pods(namespace: str, labels: Mapping[str, str]) -> str:
    return f"{namespace}:" + ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


def destinations(values: Mapping[str, Any]) -> dict[str, tuple[str, Mapping[str, Any]]]:
    """By name: the URL, and how the network knows it."""
    found = {each["name"]: (each["url"], each["network"]) for each in values["upstreams"]}
    if values["database"]:
        found["database"] = (values["database"]["url"], values["database"]["network"])
    if values["logging"]:
        found["logging"] = (values["logging"]["otlpEndpoint"], values["logging"]["network"])
    return found


def address(url: str) -> str:
    """host:port, as the PEP's allowlist spells it."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{host}:{_port(url)}"


def leads_to(values: Mapping[str, Any]) -> dict[str, list[str]]:
    """The PEP's allowlist as the values mean it: by host:port, the networks in which a name's addresses must lie."""
    given = {each["name"]: each.get("networks", []) for each in values["upstreams"]}
    given["logging"] = values["logging"].get("networks", [])
    found = {}
    for name, (url, network) in destinations(values).items():
        host, networks = urlsplit(url).hostname or "", []
        if name != "database" and not _is_address(host):  # whose driver looks names up by itself
            service = host.endswith((".svc", f".svc.{values['clusterDomain']}"))
            fallback = values["cluster"]["serviceNetworks"] if service else network.get("cidrs", [])
            networks = given[name] or fallback
        found[address(url)] = networks
    return found


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def listed_out(values: Mapping[str, Any]) -> set[Edge]:
    """Every door out that the values list; host names only where Cilium is there to know them."""
    edges: set[Edge] = set()
    for url, network in destinations(values).values():
        if "namespace" in network:
            edges.add(Edge(pods(network["namespace"], network["podLabels"]), _port(url)))
        edges |= {Edge(str(ipaddress.ip_network(cidr)), _port(url)) for cidr in network.get("cidrs", ())}
        if "fqdn" in network:
            edges.add(Edge(network["fqdn"], _port(url)))
    return edges


def listed_in(values: Mapping[str, Any]) -> set[Edge]:
    callers = [(each["from"], 8443) for each in values["orchestrators"]]
    if values["monitoring"]["prometheus"]:
        callers += [(values["monitoring"]["prometheus"]["from"], port) for port in (8444, 7353)]
    return {Edge(pods(peer["namespace"], peer["podLabels"]), port) for peer, port in callers}


def opened(rendered: Rendered, labels: Mapping[str, str], direction: str) -> set[Edge]:
    """What the plain NetworkPolicies that select a pod with these labels open, `direction` being ingress or egress."""
    found: set[Edge] = set()
    for policy in selecting(rendered, labels, direction):
        for rule in policy["spec"].get(direction) or ():
            peers = rule["from" if direction == "ingress" else "to"]
            assert peers, "a rule without peers opens to everybody"
            assert rule["ports"], "a rule without ports opens all of them"
            found |= {Edge(_peer(peer), _tcp(port)) for peer in peers for port in rule["ports"]}
    return found


def selecting(rendered: Rendered, labels: Mapping[str, str], direction: str) -> list[Object]:
    """Of the policies in the release's namespace, those of `helm test` too."""
    policies = [
        each for each in rendered.everything if each["kind"] == "NetworkPolicy" and namespace_of(each) == NAMESPACE
    ]
    shutting = [policy for policy in policies if direction.capitalize() in policy["spec"]["policyTypes"]]
    return [policy for policy in shutting if selects(policy["spec"]["podSelector"], labels)]


def named(rendered: Rendered, labels: Mapping[str, str]) -> set[Edge]:
    """What the Cilium policies open beyond the cluster, by host name."""
    return {edge for rule in _cilium(rendered, labels) if "toFQDNs" in rule for edge in _fqdns(rule)}


def asked(rendered: Rendered, labels: Mapping[str, str]) -> set[str]:
    """Which names a Cilium policy lets the cluster's DNS be asked for."""
    questions = (rule["toPorts"][0]["rules"]["dns"] for rule in _cilium(rendered, labels) if "toEndpoints" in rule)
    return {each["matchName"] for rule in questions for each in rule}


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    assert set(selector) <= {"matchLabels"}
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())


def _cilium(rendered: Rendered, labels: Mapping[str, str]) -> Iterator[Object]:
    for policy in rendered.all("CiliumNetworkPolicy"):
        if selects(policy["spec"]["endpointSelector"], labels):
            yield from policy["spec"]["egress"]


def _fqdns(rule: Object) -> Iterator[Edge]:
    for name in rule["toFQDNs"]:
        for ports in rule["toPorts"]:
            yield from (Edge(name["matchName"], int(port["port"])) for port in ports["ports"])


def _peer(peer: Mapping[str, Any]) -> str:
    if "ipBlock" in peer:
        return str(ipaddress.ip_network(peer["ipBlock"]["cidr"]))
    assert set(peer) == {"namespaceSelector", "podSelector"}, "a namespace without pods, or pods of any namespace"
    namespace = peer["namespaceSelector"]["matchLabels"]
    assert set(namespace) == {"kubernetes.io/metadata.name"}
    assert set(peer["podSelector"]) == {"matchLabels"}
    assert peer["podSelector"]["matchLabels"], "all pods of a namespace"
    return pods(namespace["kubernetes.io/metadata.name"], peer["podSelector"]["matchLabels"])


def _tcp(port: Mapping[str, Any]) -> int:
    assert port["protocol"] == "TCP"
    assert "endPort" not in port
    return int(port["port"])


def _port(url: str) -> int:
    parts = urlsplit(url)
    return parts.port or _DEFAULT_PORT[parts.scheme]
