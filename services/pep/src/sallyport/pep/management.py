"""Liveness, readiness and metrics, on a listener of their own: a stranger learns one bit, an operator the reasons."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sallyport.pep.telemetry import Metrics
from sallyport.runtime import peer_names
from sallyport.runtime.addresses import is_loopback
from sallyport.runtime.peer_names import PeerName

Reasons = Callable[[], Mapping[str, str]]  # by part; empty means that nothing is wrong

_NO_STORE: Final = {"cache-control": "no-store"}


class Management:
    """`clients` may see what a loopback peer sees, by their verified certificate."""

    def __init__(
        self,
        not_ready: Reasons,
        warnings: Reasons,
        metrics: Metrics,
        clients: Sequence[PeerName] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`warnings` are what an operator should mend although all serves: told, without a say in readiness."""
        self._not_ready, self._warnings = not_ready, warnings
        self._metrics, self._clients, self._clock = metrics, clients, clock

    async def live(self, _request: Request) -> Response:
        """The loop turns; what this process depends on must not get it killed."""
        return Response(status_code=200, headers=_NO_STORE)

    async def ready(self, request: Request) -> Response:
        reasons = self._not_ready()
        status = 503 if reasons else 200
        if not self._trusts(request):
            return Response(status_code=status, headers=_NO_STORE)
        listed = [
            {"name": name, "ok": ok, "detail": detail}
            for ok, found in ((False, reasons), (True, self._warnings()))
            for name, detail in sorted(found.items())
        ]
        return Response(json.dumps(listed), status, _NO_STORE, media_type="application/json")

    async def metrics(self, request: Request) -> Response:
        if not self._trusts(request):
            return Response(status_code=403, headers=_NO_STORE)
        return Response(self._metrics.exposition(), 200, _NO_STORE, media_type=CONTENT_TYPE_LATEST)

    def _trusts(self, request: Request) -> bool:
        """By what the socket proves; no header has a say."""
        if request.client is not None and is_loopback(request.client.host):
            return True
        der = request.scope.get("extensions", {}).get("tls", {}).get("client_cert_der")
        return der is not None and peer_names.find(der, self._clients, self._clock()) is not None


def build(
    not_ready: Reasons,
    warnings: Reasons,
    metrics: Metrics,
    clients: Sequence[PeerName] = (),
    clock: Callable[[], float] = time.time,
) -> Starlette:
    """The ASGI app. Whatever isn't a route is 404, another method than GET or HEAD 405."""
    management = Management(not_ready, warnings, metrics, clients, clock)
    app = Starlette(
        routes=[
            Route("/live", management.live, methods=["GET"]),
            Route("/ready", management.ready, methods=["GET"]),
            Route("/metrics", management.metrics, methods=["GET"]),
        ]
    )
    app.router.redirect_slashes = False  # one spelling a route
    return app
