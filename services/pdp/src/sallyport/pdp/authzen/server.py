"""AuthZEN on a port of its own, over mutual TLS."""

from __future__ import annotations

from collections.abc import Callable

from sallyport.pdp.authzen.api import Api
from sallyport.pdp.authzen.settings import Authzen
from sallyport.pdp.http import Answered, Limits, Listener, unheard
from sallyport.pdp.observer import Observers
from sallyport.pdp.snapshot import Snapshot
from sallyport.runtime import certificates
from sallyport.runtime.telemetry import Tracing


def listener(
    settings: Authzen,
    snapshot: Callable[[], Snapshot | None],
    observers: Observers,
    tracing: Tracing,
    *,
    seconds: float,
    answered: Answered = unheard,
) -> Listener:
    """Raises ConfigError where certificate, key or client CA can't be used."""
    tls = settings.tls
    followed = certificates.follow(tls.certificate, tls.key, tls.client_ca, ("required",))
    api = Api(settings, snapshot, observers, tracing, seconds=seconds)
    limits = Limits(
        body_bytes=settings.body_bytes,
        connections=settings.connections,
        receive_seconds=settings.receive_seconds,
        idle_seconds=30.0,  # a gateway keeps its connection: handshakes cost more than decisions
        request_seconds=settings.receive_seconds + seconds + 30.0,
    )
    return Listener("authzen.listen", api.routes, limits, followed, admits=api.knows, answered=answered)
