"""The PDP's Prometheus metrics, in a registry of their own. No label's value comes from a caller (N26: bounded)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import cache
from itertools import zip_longest
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sallyport.pdp.model import Effect, Purpose, Verdict
from sallyport.pdp.observer import Decision, Reloaded, errors_of
from sallyport.pdp.snapshot import Snapshot
from sallyport.runtime.certificates import Certificates
from sallyport.runtime.followed import Followed

_TRIGGERS: Final = frozenset({"start", "change", "signal", "operator"})
_SOURCES: Final = frozenset({"grpc", "authzen"})
_EFFECTS: Final = {effect: effect.name.lower() for effect in Effect}
_PURPOSES: Final = {purpose: purpose.name.lower() for purpose in Purpose}
_STATUSES: Final = frozenset({200, 400, 403, 404, 405, 408, 413, 500, 505})
_OTHER: Final = "other"  # whatever isn't in a closed list
_UNKNOWN: Final = "unknown"  # an action that isn't in force
_DECISION_SECONDS: Final = (
    0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1,
)  # fmt: skip
_RELOAD_SECONDS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """An observer that counts. Durations are in seconds."""

    def __init__(
        self,
        snapshot: Callable[[], Snapshot | None],
        failure: Callable[[], str] = str,
        unsealed: Callable[[], int] = int,
    ) -> None:
        """`snapshot` gives what is in force, or None; `failure` why nothing can be recorded, or an empty text.

        `unsealed` is how many questions came that no key of ours has sealed.
        """
        self.registry = CollectorRegistry()
        self._snapshot = snapshot
        self._decisions = Counter(
            "sallyport_pdp_decisions",
            "Decisions by effect and group of the action",
            ("source", "purpose", "effect", "group"),
            registry=self.registry,
        )
        self._errors = Counter(
            "sallyport_pdp_errors", "Answers with an error, by its kind", ("kind",), registry=self.registry
        )
        self._seconds = Histogram(
            "sallyport_pdp_decision_seconds",
            "Judging one question",
            ("source",),
            buckets=_DECISION_SECONDS,
            registry=self.registry,
        )
        self._answers = Counter(
            "sallyport_pdp_authzen_answers", "Answers over AuthZEN, by HTTP status", ("status",), registry=self.registry
        )
        self._reloads = Counter(
            "sallyport_pdp_reloads", "Policy sets looked at", ("result", "trigger"), registry=self.registry
        )
        self._reload_seconds = Histogram(
            "sallyport_pdp_reload_seconds",
            "Reading, checking and putting in force",
            buckets=_RELOAD_SECONDS,
            registry=self.registry,
        )
        self._reload_good = Gauge(
            "sallyport_pdp_last_reload_success", "1: the last policy set looked at serves", registry=self.registry
        )
        self._refused = Gauge(
            "sallyport_reload_failed",
            "1: what a mounted file holds now is refused, and the last good serves",
            ("what",),
            registry=self.registry,
        )
        self._ends = Gauge(
            "sallyport_certificate_not_after_timestamp_seconds",
            "When the first certificate of this use ends",
            ("use",),
            registry=self.registry,
        )
        # Looking a child up takes longer than counting, and there is a bounded number of them.
        self._decision = cache(self._decisions.labels)
        self._taken = cache(self._seconds.labels)
        self._reloaded_at: tuple[float, float] | None = None  # wall clock, monotonic clock
        self.registry.register(_InForce(snapshot, failure, unsealed, lambda: self._reloaded_at))

    def decided(self, decision: Decision) -> None:
        source = decision.source if decision.source in _SOURCES else _OTHER
        purpose = _UNKNOWN if decision.purpose is None else _PURPOSES[decision.purpose]
        snapshot = self._snapshot()
        for query, verdict in zip_longest(decision.queries, decision.verdicts):
            if isinstance(verdict, Verdict):
                group = _UNKNOWN if query is None else _group(snapshot, query.action)
                self._decision(source, purpose, _EFFECTS[verdict.effect], group).inc()
        for code in errors_of(decision):
            self._errors.labels(code.name).inc()
        self._taken(source).observe(decision.seconds)

    def answered(self, status: int) -> None:
        """Over AuthZEN; only 200 holds decisions."""
        self._answers.labels(str(status) if status in _STATUSES else _OTHER).inc()

    def reloaded(self, event: Reloaded) -> None:
        trigger = event.trigger if event.trigger in _TRIGGERS else _OTHER
        self._reloads.labels("served" if event.serves else "refused", trigger).inc()
        self._reload_seconds.observe(event.seconds)
        self._reload_good.set(event.serves)
        if event.serves:
            self._reloaded_at = time.time(), time.monotonic()

    def follow(self, certificates: Followed[Certificates]) -> None:
        """AuthZEN's; without it there are none."""
        self._refused.labels(certificates.what).set_function(lambda: bool(certificates.failure))
        self._ends.labels("server").set_function(lambda: certificates.value.ends)
        self._ends.labels("client_ca").set_function(lambda: certificates.value.clients_end)

    def exposition(self) -> bytes:
        """All of it in Prometheus's text format."""
        return generate_latest(self.registry)


class _InForce(Collector):
    """What serves, as it is when somebody looks: a gauge that is set at a swap could miss one."""

    def __init__(
        self,
        snapshot: Callable[[], Snapshot | None],
        failure: Callable[[], str],
        unsealed: Callable[[], int],
        reloaded_at: Callable[[], tuple[float, float] | None],
    ) -> None:
        self._snapshot, self._failure, self._reloaded_at = snapshot, failure, reloaded_at
        self._unsealed = unsealed

    def collect(self) -> Iterator[Metric]:
        snapshot, at = self._snapshot(), self._reloaded_at()
        info = GaugeMetricFamily("sallyport_pdp_revision_info", "The policy set in force", labels=("revision",))
        if snapshot is not None:
            info.add_metric((snapshot.revision,), 1)
        yield info
        policies = len(snapshot.room.slices.rules) if snapshot else 0  # a vetted snapshot keeps no others
        yield GaugeMetricFamily("sallyport_pdp_policies", "Policies in force, roles' gates included", policies)
        tools = len(snapshot.catalog.tools) if snapshot else 0
        yield GaugeMetricFamily("sallyport_pdp_tools", "Tools in force", tools)
        name = "sallyport_pdp_audit_writable"
        yield GaugeMetricFamily(name, "1: decisions can be recorded; 0: all are denied", int(not self._failure()))
        told = "Questions that no key of ours has sealed"
        yield CounterMetricFamily("sallyport_pdp_unsealed", told, self._unsealed())
        if at is not None:
            wall, monotonic = at
            name = "sallyport_pdp_last_successful_reload"
            yield GaugeMetricFamily(f"{name}_timestamp_seconds", "When a set was last put in force, or found so", wall)
            yield GaugeMetricFamily(f"{name}_age_seconds", "How long ago", time.monotonic() - monotonic)


def _group(snapshot: Snapshot | None, action: str) -> str:
    """The catalog's word for what a call may do; a name that a caller made up has none."""
    rules = snapshot.rules.get(action) if snapshot else None
    if rules is None:
        return _UNKNOWN
    return "method" if rules.action.tool is None else rules.action.tool.effect.value
