"""What both services really show: every series, after everything that is counted has happened once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from sallyport.pdp import telemetry as pdp
from sallyport.pdp.model import Effect, ErrorCode, Purpose, Query, Verdict
from sallyport.pdp.observer import Decision, Reloaded
from sallyport.pep import telemetry as pep
from sallyport.pep.audit import Outcome
from sallyport.pep.refusal import Reason
from tests.support.policy_dir import alice, snapshot

_TOOL: Final = "read_file"

Labels = Mapping[str, frozenset[str]]  # the values seen of each label


@cache
def series() -> Mapping[str, Labels]:
    """By name of the metric."""
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for exposition in (_pep(), _pdp()):
        for family in text_string_to_metric_families(exposition.decode()):
            for sample in family.samples:
                values = found[sample.name]
                for label, value in sample.labels.items():
                    values[label].add(value)
    return {name: {key: frozenset(seen) for key, seen in labels.items()} for name, labels in found.items()}


def _pep() -> bytes:
    metrics = pep.Metrics("0", (_TOOL,))
    for method in pep.METHODS:
        metrics.permitted(method)
    for reason in Reason:
        metrics.refused("tools/call", reason)
    metrics.dropped_roles("company", 1)
    metrics.quarantined(1)
    metrics.decided(0.001)
    metrics.recorded(0.001)
    metrics.ran(_TOOL, 0.001)
    for outcome in Outcome:
        metrics.ended(_TOOL, outcome.value)
    metrics.follow_readiness(dict)
    metrics.follow("certificate", lambda: False)
    for use in ("server", "client_ca"):
        metrics.certificate_ends(use, lambda: 1.0)
    metrics.follow_policies(lambda: ("a" * 64, False))
    return metrics.exposition()


def _pdp() -> bytes:
    held = snapshot()
    metrics = pdp.Metrics(lambda: held)
    verdicts = (*map(Verdict, Effect), *(Verdict(Effect.DENY, errors=(code,)) for code in ErrorCode))
    queries = (Query(_TOOL),) * len(verdicts)
    metrics.decided(Decision("0" * 32, "grpc", alice(), Purpose.CALL, queries, verdicts, "", b"", 0.001))
    metrics.answered(200)
    for serves in (False, True):
        metrics.reloaded(Reloaded(serves, "r", "r", (), 0.1, "change"))
    return metrics.exposition()
