"""The PEP's Prometheus metrics, in a registry of their own. No label's value comes from a caller (N26: bounded)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, TypeAlias

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sallyport.pep.refusal import Reason

METHODS: Final = frozenset({"initialize", "server/discover", "ping", "tools/list", "tools/call"})
_OTHER: Final = "other"  # whatever isn't in a closed list
_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

# The revision in force, and whether the set tried last is refused; None while the PDP doesn't answer.
PolicyState: TypeAlias = Callable[[], tuple[str, bool] | None]
Reasons: TypeAlias = Callable[[], Mapping[str, str]]  # why the gate isn't ready, by part; empty means that it is


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
        self._outcomes = Counter(
            "sallyport_tool_outcomes",
            "Permitted calls by how they ended, as the record has it",
            ("tool", "outcome"),
            registry=self.registry,
        )
        self._refused = self._gauge(
            "sallyport_reload_failed", "1: what a mounted file holds now is refused, and the last good serves", "what"
        )
        self._ends = self._gauge(
            "sallyport_certificate_not_after_timestamp_seconds", "When the first certificate of this use ends", "use"
        )
        self._quarantined = Gauge(
            "sallyport_quarantined", "Tools and prompts not served, as not defined as approved", registry=self.registry
        )
        self._unlisted = Counter(
            "sallyport_unlisted", "Lists that lack what an upstream has", ("upstream",), registry=self.registry
        )
        info = Gauge("sallyport_build_info", "The version at work", ("version",), registry=self.registry)
        info.labels(version).set(1)

    def quarantined(self, count: int) -> None:
        """Tools and prompts whose definitions aren't the approved ones."""
        self._quarantined.set(count)

    def unlisted(self, upstream: str) -> None:
        """`upstream` is a name of the catalog; the log says why."""
        self._unlisted.labels(upstream).inc()

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
        self._tool.labels(self._known(tool)).observe(seconds)

    def ended(self, tool: str, outcome: str) -> None:
        """`outcome` is one of the few that the record knows."""
        self._outcomes.labels(self._known(tool), outcome).inc()

    def follow(self, what: str, refused: Callable[[], bool]) -> None:
        """`what` is a kind of file, of which there are few."""
        self._refused.labels(what).set_function(refused)

    def certificate_ends(self, use: str, ends: Callable[[], float]) -> None:
        """`use` is server or client_ca; `ends` is in seconds since the epoch."""
        self._ends.labels(use).set_function(ends)

    def follow_policies(self, state: PolicyState) -> None:
        self.registry.register(_Policies(state))

    def follow_readiness(self, not_ready: Reasons) -> None:
        """`not_ready` is what /ready answers by."""
        self.registry.register(_Readiness(not_ready))

    def exposition(self) -> bytes:
        """All of it in Prometheus's text format."""
        return generate_latest(self.registry)

    def _known(self, tool: str) -> str:
        return tool if tool in self._tools else _OTHER

    def _gauge(self, name: str, text: str, label: str) -> Gauge:
        return Gauge(name, text, (label,), registry=self.registry)

    def _histogram(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Histogram:
        return Histogram(name, text, labels, buckets=_SECONDS, registry=self.registry)


class _Policies(Collector):
    """As it is when somebody looks: a gauge that is set now and then would go on naming a set that is gone."""

    def __init__(self, state: PolicyState) -> None:
        self._state = state

    def collect(self) -> Iterator[Metric]:
        info = GaugeMetricFamily("sallyport_policy_revision_info", "The policy set in force", labels=("revision",))
        refused = GaugeMetricFamily("sallyport_policy_reload_refused", "1: the set that was tried last is refused")
        known = self._state()
        if known is not None:
            revision, is_refused = known
            refused.add_metric((), int(is_refused))
            if revision:
                info.add_metric((revision,), 1)
        yield info
        yield refused


class _Readiness(Collector):
    """One look for both: they never contradict each other, nor what /ready says at that moment."""

    def __init__(self, not_ready: Reasons) -> None:
        self._not_ready = not_ready

    def collect(self) -> Iterator[Metric]:
        reasons = self._not_ready()
        yield GaugeMetricFamily("sallyport_ready", "1: calls are served", int(not reasons))
        yield GaugeMetricFamily(
            "sallyport_audit_writable",
            "0: nothing can be recorded, so every call is refused",
            int("audit" not in reasons),
        )


def _method(method: str) -> str:
    if method.startswith("notifications/"):
        return "notification"
    return method if method in METHODS else _OTHER
