"""Steady load by real MCP clients in pods, and what they saw."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.cluster import kube, place
from tests.cluster.kube import Cluster


@dataclass(frozen=True, slots=True)
class Call:
    worker: int
    at: float  # seconds since 1970, when it was sent
    seconds: float
    outcome: str  # permitted, denied, unavailable (the gate refused for want of a decision or record), failed
    detail: str


@dataclass(frozen=True, slots=True)
class Load:
    cluster: Cluster
    namespace: str
    name: str
    expect: frozenset[str]

    def calls(self) -> list[Call]:
        said = self.cluster.logs(self.namespace, self.name)
        return [Call(**json.loads(line)) for line in said.splitlines() if line.startswith("{")]

    def counts(self) -> Counter[str]:
        return Counter(call.outcome for call in self.calls())

    def bad(self) -> list[Call]:
        """What a user would have noticed. A permit lives for a second: what outlasts it is a slow machine's, no disruption's."""
        bad = [call for call in self.calls() if call.outcome not in self.expect]
        return [call for call in bad if "expired before the tool ran" not in call.detail]

    def more(self, count: int = 20, seconds: float = 180) -> None:
        """Wait until `count` further calls were answered as expected."""
        before = self._answered()
        kube.until(f"{count} more answers in {self.namespace}", lambda: self._answered() >= before + count, seconds)

    def _answered(self) -> int:
        return sum(count for outcome, count in self.counts().items() if outcome in self.expect)


@contextmanager
def load(
    cluster: Cluster,
    namespace: str,
    call: tuple[str, Mapping[str, Any]] = place.PERMITTED,
    *,
    workers: int = 4,
    pause: float = 0.1,
    expect: Sequence[str] = ("permitted",),
) -> Iterator[Load]:
    """From the orchestrator's position in a namespace, until the block ends."""
    (tool, arguments), name = call, f"load-{uuid.uuid4().hex[:8]}"
    body = place.pod(
        namespace,
        name,
        place.ORCHESTRATOR,
        ["/app/load.py", place.URL, tool, json.dumps(arguments), "--workers", str(workers), "--pause", str(pause)],
        secrets={"/identity": "identity"},
    )
    with kube.removed(cluster, body):
        steady = Load(cluster, namespace, name, frozenset(expect))
        kube.until("the load has begun", lambda: _begun(steady))
        yield steady
    kube.until("the load's pod is gone", lambda: cluster.get("v1", "Pod", name, namespace) is None)


def _begun(steady: Load) -> bool:
    return sum(steady.counts().values()) >= 8
