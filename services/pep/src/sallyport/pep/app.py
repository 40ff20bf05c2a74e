"""A running PEP: both listeners, what is watched beside them, and how it all ends."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from typing import Final

import structlog

from sallyport.pep import management, renewal
from sallyport.pep.assembly import Assembled, assembled, not_ready
from sallyport.pep.pipeline import Pipeline
from sallyport.pep.renewal import OnRenewed, Renewal
from sallyport.pep.routes import create_app
from sallyport.pep.settings import PepSettings, Tls
from sallyport.pep.transport import Limits, Running, serve
from sallyport.pep.upstream.assertion import published
from sallyport.runtime.certificates import Certificates
from sallyport.runtime.ending import Ending

_GRACE: Final = 5.0  # seconds for what runs at a stop
_log: Final = structlog.get_logger()


async def run(settings: PepSettings, *, plain_http: bool) -> None:
    """Serve until SIGTERM or SIGINT, at any moment. Raises ConfigError, or OSError where an address can't be bound."""
    own = None if plain_http else renewal.follow(settings.tls)
    async with Ending() as ending, assembled(settings) as gate:
        rooms = gate.rooms
        replaced = Renewal(own, rooms.authenticators.keys, rooms.metrics)
        mcp, manage = await _listen(settings, gate, replaced)
        watches = (
            asyncio.create_task(rooms.in_force.watch()),
            *(asyncio.create_task(watch) for watch in gate.behind.watches()),
            asyncio.create_task(replaced.watch(_renewing(settings.tls, mcp, manage), gate.behind.changes.keys_changed)),
        )
        # Freezing what start-up left keeps the collector off it: a fifth of the tail latency otherwise.
        gc.collect()
        gc.freeze()
        _log.info("listening", mcp=mcp.port, management=manage.port)
        await ending.asked()
        _log.info("stopping", drain_seconds=settings.limits.drain_seconds)
        rooms.in_force.drain()
        mcp.drain()
        gate.behind.stopping.set()  # streams that wait are told, and go
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(settings.limits.drain_seconds):
                await ending.asked()  # a second signal cuts it short
        await mcp.stop(_GRACE)
        for watch in watches:
            watch.cancel()
        await manage.stop(0)


def _renewing(tls: Tls, mcp: Running, manage: Running) -> OnRenewed:
    """Both listeners turn to new certificates at once; where a client CA went, who came by one has to come again."""

    def renew(older: Certificates, newer: Certificates) -> None:
        distrust = newer.drops(older)
        mcp.renew(newer.contexts[tls.client_certificate], distrust=distrust)
        manage.renew(newer.contexts[renewal.management(tls)], distrust=distrust)

    return renew


async def _listen(settings: PepSettings, gate: Assembled, replaced: Renewal) -> tuple[Running, Running]:
    rooms = gate.rooms
    limits = Limits(
        body_bytes=settings.limits.body_bytes,
        header_count=settings.limits.header_count,
        header_bytes=settings.limits.header_bytes,
        receive_seconds=settings.limits.receive_seconds,
        handshake_seconds=settings.limits.handshake_seconds,
        connections=settings.limits.connections,
    )
    app = create_app(Pipeline(rooms), rooms.authenticators.metadata, published(gate.own), body_bytes=limits.body_bytes)
    operators = management.build(
        not_ready(rooms.in_force, rooms.recorder, gate.behind),
        lambda: {**rooms.in_force.warnings(), **replaced.warnings(), **gate.behind.warnings()},
        rooms.metrics,
        settings.tls.management_clients,
    )
    context = replaced.context(settings.tls.client_certificate)
    optional = replaced.context(renewal.management(settings.tls))
    turned_away = rooms.recorder.turned_away
    mcp = await serve(app, settings.listen, tls=context, limits=limits, on_refused=turned_away)
    try:
        manage = await serve(operators, settings.management, tls=optional, limits=limits, on_refused=turned_away)
    except BaseException:  # who came meanwhile must not meet rooms that are being closed
        await mcp.stop(0)
        raise
    return mcp, manage
