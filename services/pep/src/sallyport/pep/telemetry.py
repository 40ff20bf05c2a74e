"""The PEP's Prometheus metrics, in a registry of their own. No label's value comes from a caller (N26: bounded)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from sallyport.pep.refusal import Reason

METHODS: Final = frozenset({"initialize", "server/discover", "ping", "tools/list", "tools/call"})
_OTHER: Final = "other"  # whatever isn't in a closed list
_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """One instance a process. Durations are in seconds."""

    def __init__(self, version: str, tools: Iterable[str] = ()) -> None:
        self.registry = CollectorRegistry()
        self._tools = frozenset(tools)
        self._requests = Counter(
            "sallyport_requests", "Requests by method and outcome", ("method", "outcome"), registry=self.registry
        )
        self._unauthenticated = Counter(
            "sallyport_unauthenticated", "Requests refused because nobody was known to ask", registry=self.registry
        )
        self._dropped_roles = Counter(
            "sallyport_dropped_role_claims", "Role claims without a mapping", ("issuer",), registry=self.registry
        )
        self._decision = self._histogram("sallyport_decision_seconds", "Asking the PDP")
        self._audit = self._histogram("sallyport_audit_append_seconds", "Making a record durable")
        self._tool = self._histogram("sallyport_tool_seconds", "Running a tool", ("tool",))
        info = Gauge("sallyport_build_info", "The version at work", ("version",), registry=self.registry)
        info.labels(version).set(1)

    def know_tools(self, names: Iterable[str]) -> None:
        """The catalog in force: only its names become labels."""
        self._tools = frozenset(names)

    def permitted(self, method: str) -> None:
        self._requests.labels(_method(method), "permitted").inc()

    def refused(self, method: str, reason: Reason) -> None:
        self._requests.labels(_method(method), reason.value).inc()
        if reason is Reason.UNAUTHENTICATED:
            self._unauthenticated.inc()

    def dropped_roles(self, issuer: str, count: int) -> None:
        """`issuer` is a configured name."""
        self._dropped_roles.labels(issuer).inc(count)

    def decided(self, seconds: float) -> None:
        self._decision.observe(seconds)

    def recorded(self, seconds: float) -> None:
        self._audit.observe(seconds)

    def ran(self, tool: str, seconds: float) -> None:
        self._tool.labels(tool if tool in self._tools else _OTHER).observe(seconds)

    def exposition(self) -> bytes:
        """All of it in Prometheus's text format."""
        return generate_latest(self.registry)

    def _histogram(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Histogram:
        return Histogram(name, text, labels, buckets=_SECONDS, registry=self.registry)


def _method(method: str) -> str:
    if method.startswith("notifications/"):
        return "notification"
    return method if method in METHODS else _OTHER
