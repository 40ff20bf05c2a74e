"""What the PDP serves over HTTP, where it is configured: metrics, and AuthZEN for other gateways."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CONTENT_TYPE_LATEST

from sallyport.pdp.authzen import server as authzen
from sallyport.pdp.http import Answer, Limits, Listener, Request
from sallyport.pdp.inforce import InForce
from sallyport.pdp.observer import Observers
from sallyport.pdp.settings import PdpSettings
from sallyport.pdp.telemetry import Metrics
from sallyport.runtime.telemetry import Tracing


def listeners(
    settings: PdpSettings, in_force: InForce, observers: Observers, tracing: Tracing, metrics: Metrics
) -> Iterator[tuple[Listener, str]]:
    """Each with its address. Raises ConfigError where a certificate can't be used."""
    if settings.metrics is not None:
        yield metrics_page(metrics), settings.metrics
    if settings.authzen is not None:
        seconds = settings.limits.deadline_ms / 1000
        serving = authzen.listener(
            settings.authzen,
            lambda: in_force.snapshot,
            observers,
            tracing,
            seconds=seconds,
            answered=metrics.answered,
        )
        if serving.certificates is not None:
            metrics.follow(serving.certificates)
        yield serving, settings.authzen.listen


def metrics_page(metrics: Metrics) -> Listener:
    """GET /metrics, and nothing else: what is said there is counts, so it is plain HTTP wherever it listens."""

    async def show(_: Request) -> Answer:
        return Answer(200, metrics.exposition(), CONTENT_TYPE_LATEST)

    return Listener("metrics", {"/metrics": {"GET": show}}, Limits(connections=16))
