"""What this release's doors are, from plan.json beside this file, which the chart writes."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from doors import Door, door

MCP, MANAGEMENT, PDP, PDP_HEALTH, PDP_METRICS = 8443, 8444, 7351, 7352, 7353
_PORTS = {MCP: "MCP", MANAGEMENT: "management", PDP: "PDP", PDP_HEALTH: "PDP's health", PDP_METRICS: "PDP's metrics"}
_DNS, _KUBELET = 53, 10250

plan: dict[str, Any] = json.loads(  # noqa: TID251 — only the standard library is here, and the chart wrote it
    Path(__file__).with_name("plan.json").read_text(encoding="utf-8")
)
seconds: float = plan["seconds"]
namespace: str = plan["namespace"]
here: str = os.environ.get("NAMESPACE", "")


def _question() -> bytes:
    """What the PEP's resolver would ask: the address of the API server."""
    name = f"kubernetes.default.svc.{plan['clusterDomain']}"
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.strip(".").split("."))
    return b"\x53\x61\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + labels + b"\x00\x00\x01\x00\x01"


def addresses(host: str) -> list[str]:
    """Empty while the name isn't known."""
    try:
        found = socket.getaddrinfo(host, MCP, type=socket.SOCK_STREAM)
    except socket.gaierror:
        return []
    return sorted({str(address[0]) for *_, address in found})


def gate_addresses() -> list[str]:
    """Of each of the gate's pods, ready or not."""
    return addresses(plan["pods"])


def gate_doors(ports: Sequence[int] = tuple(_PORTS)) -> list[Door]:
    return [Door(address, port, f"gate pod, {_PORTS[port]}") for address in gate_addresses() for port in ports]


def gate_service() -> Door:
    return Door(plan["service"], MCP, "gate's Service")


def canary() -> Door:
    return Door(plan["canary"], 8080, "canary, an unlisted service")


def canary_dns() -> list[Door]:
    what = "port 53 of another than the DNS"
    return [Door(plan["canary"], _DNS, what), Door(plan["canary"], _DNS, what, _question())]


def quiet() -> Door:
    """Its name is known once the kubelet found it listening."""
    return Door(plan["quiet"], 8080, "a pod that only the floor shields")


def dns() -> list[Door]:
    """The name servers of this pod's own resolver, by TCP and UDP."""
    lines = Path("/etc/resolv.conf").read_text(encoding="utf-8").splitlines()
    servers = [words[1] for line in lines if (words := line.split())[:1] == ["nameserver"]]
    asked = [(server, question) for server in servers for question in (b"", _question())]
    return [Door(server, _DNS, "cluster's DNS", question) for server, question in asked]


def api_server() -> Door:
    return Door("kubernetes.default.svc", 443, "API server")


def beyond() -> list[Door]:
    """What isn't the cluster's own, and may not even exist."""
    return [
        *(door(address, "outside") for address in plan["outside"]),
        Door("169.254.169.254", 80, "metadata service"),
        Door("fd00:ec2::254", 80, "metadata service"),
        Door(os.environ["HOST_IP"], _KUBELET, "this node's kubelet"),
    ]


def destinations() -> list[Door]:
    return [Door(to["host"], to["port"], f"listed: {to['name']}") for to in plan["destinations"]]
