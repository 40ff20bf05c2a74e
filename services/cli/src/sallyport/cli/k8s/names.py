"""What an installed release is called: the chart's own rules for names, so that what we make is what it looks for."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, fields
from typing import Final

from pydantic import ValidationError

from sallyport.cli.complaint import Complaint
from sallyport.runtime import strict_json
from sallyport.runtime.peer_names import PeerName

CHART: Final = "sallyport"
_LONGEST: Final = 40  # a longer one is cut, to leave room for suffixes …
_KEPT: Final = 31  # … to this, and told apart by a digest
_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")  # RFC 1123, as Kubernetes has it


@dataclass(frozen=True, slots=True)
class Names:
    """One release, and who calls it. A name that no cluster takes is refused."""

    release: str
    namespace: str
    orchestrator_namespace: str
    orchestrator_id: str

    def __post_init__(self) -> None:
        _require_label("--release", self.release, 53)  # Helm's limit
        _require_label("--namespace", self.namespace, 63)
        _require_label("--orchestrator-namespace", self.orchestrator_namespace, 63)
        try:
            PeerName(spiffe=self.orchestrator_id)
        except ValidationError:
            raise Complaint(
                f"--orchestrator-id {self.orchestrator_id!r} is not a SPIFFE id",
                "write spiffe://trust-domain/path, such as spiffe://sallyport.test/orchestrator",
            ) from None
        if self.prometheus_id == self.orchestrator_id:
            raise Complaint(
                f"--orchestrator-id {self.orchestrator_id} is Prometheus's, which must not call tools",
                "give the orchestrator another path",
            )

    @property
    def fullname(self) -> str:
        return fullname(self.release)

    @property
    def resource(self) -> str:
        """Who the gate is: the audience of tokens."""
        return f"https://{self.fullname}.{self.namespace}.svc:8443/mcp"

    @property
    def server_names(self) -> tuple[str, ...]:
        """The Service by every name that a resolver in the cluster takes, and each pod by its own."""
        short, scoped = self.fullname, f"{self.fullname}.{self.namespace}"
        pods = f"*.{self.fullname}-pods.{self.namespace}.svc"
        return short, scoped, f"{scoped}.svc", f"{scoped}.svc.cluster.local", pods

    @property
    def prometheus_id(self) -> str:
        domain = self.orchestrator_id.removeprefix("spiffe://").partition("/")[0]
        return f"spiffe://{domain}/prometheus"

    def encode(self) -> bytes:
        return json.dumps(asdict(self), indent=2).encode() + b"\n"

    @classmethod
    def decode(cls, data: bytes, source: str) -> Names:
        """Raises Complaint where it isn't what `encode` makes."""
        try:
            document = strict_json.parse(data)
        except strict_json.JsonRefused:
            document = None
        wanted = {field.name for field in fields(cls)}
        if not isinstance(document, dict) or document.keys() != wanted:
            raise Complaint(f"{source} is not what `k8s dev-certs` writes", "make a new directory with `k8s dev-certs`")
        return cls(**{name: str(value) for name, value in document.items()})


def fullname(release: str) -> str:
    """As the chart's `sallyport.fullname`."""
    whole = release if CHART in release else f"{release}-{CHART}"
    if len(whole) <= _LONGEST:
        return whole
    return f"{whole[:_KEPT].removesuffix('-')}-{hashlib.sha256(whole.encode()).hexdigest()[:8]}"


def _require_label(option: str, value: str, longest: int) -> None:
    if len(value) > longest or not _LABEL.fullmatch(value):
        raise Complaint(
            f"{option} {value!r} is no name that Kubernetes takes",
            f"use at most {longest} of a-z, 0-9 and -, beginning and ending with a letter or digit",
        )
