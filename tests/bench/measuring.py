"""Rounds of load, and two targets side by side."""

from __future__ import annotations

import statistics

import uvloop

from tests.bench.figures import Figures, say
from tests.bench.load import Target, measure

ROUNDS = 3
SECONDS = 3.0
CLIENTS = (1, 32)
VERSION = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": VERSION,
    "io.modelcontextprotocol/clientCapabilities": {},
}


def rounds(target: Target, clients: int) -> Figures:
    """The median of each figure over the rounds."""
    measured = [uvloop.run(measure(target, clients=clients, seconds=SECONDS)) for _ in range(ROUNDS)]
    return Figures(
        statistics.median(one.per_second for one in measured),
        statistics.median(one.p50 for one in measured),
        statistics.median(one.p99 for one in measured),
    )


def compare(clients: int, peer_name: str, peer: Figures, ours: Figures) -> None:
    for name, one in ((peer_name, peer), ("gate: TLS, token, Cedar, audit", ours)):
        say(f"c{clients:<3}{name:<30}{one.per_second:>5.0f}{one.p50:>8.2f}{one.p99:>8.2f}")
    ratio, added = ours.per_second / peer.per_second, ours.p50 - peer.p50
    say(f"c{clients:<3}ratio of calls/s {ratio:.2f}; added p50 {added:+.2f} ms, p99 {ours.p99 - peer.p99:+.2f} ms")
