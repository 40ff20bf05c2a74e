"""The composition root: settings in, all rooms out. Parts are put together here; nothing registers itself."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import structlog
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from sallyport.contract.seal import HopKeyFile
from sallyport.pep import VERSION, management, release
from sallyport.pep.again import Again
from sallyport.pep.audit import Recorder, open_stream
from sallyport.pep.authn import Authenticators
from sallyport.pep.authn import build as build_authenticators
from sallyport.pep.behind import Behind
from sallyport.pep.calls import Calls, Hands
from sallyport.pep.catalog import CatalogStore, LoadedCatalog
from sallyport.pep.decision import Decider, PdpClient
from sallyport.pep.effect import Effects
from sallyport.pep.egress import Egress
from sallyport.pep.forwarding import Forwarding
from sallyport.pep.given import Given
from sallyport.pep.handles import Handles
from sallyport.pep.hosting import hosted, reach
from sallyport.pep.inflight import InFlight
from sallyport.pep.inforce import CatalogInForce
from sallyport.pep.listening import Listening
from sallyport.pep.lists import Lists
from sallyport.pep.pages import Pages
from sallyport.pep.pipeline import Rooms
from sallyport.pep.schema import compile_schema
from sallyport.pep.seats import Seats
from sallyport.pep.settings import PepSettings
from sallyport.pep.telemetry import Metrics
from sallyport.pep.tools import Tools
from sallyport.pep.upstream.assertion import OwnIdentity
from sallyport.runtime import atomic_file
from sallyport.runtime.telemetry import Tracing

_log: Final = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Assembled:
    """All rooms, and what runs beside the requests."""

    rooms: Rooms
    behind: Behind
    own: OwnIdentity | None


@dataclass(frozen=True, slots=True)
class _Parts:
    """What was opened, of which the rooms are made."""

    settings: PepSettings
    authenticators: Authenticators
    recorder: Recorder
    metrics: Metrics
    tracing: Tracing
    tools: Tools
    store: CatalogStore
    client: PdpClient
    behind: Behind
    in_force: CatalogInForce


@asynccontextmanager
async def assembled(settings: PepSettings) -> AsyncIterator[Assembled]:
    """All rooms, put together; on leaving, what was begun is closed, the audit stream last."""
    metrics = Metrics(VERSION)
    authenticators = build_authenticators(settings, on_dropped_roles=metrics.dropped_roles)
    own = OwnIdentity(settings.assertion) if settings.assertion else None
    async with contextlib.AsyncExitStack() as stack:
        recorder: Recorder = await stack.enter_async_context(open_stream(settings.audit))
        egress = Egress(settings.egress)
        tracing = Tracing("sallyport-pep", settings.telemetry.otlp_endpoint, egress.addresses)
        tracing.start()
        stack.callback(tracing.stop)
        registry = await stack.enter_async_context(hosted(settings))
        store = CatalogStore(settings.policies, compile_schema=compile_schema, reach=reach(settings, registry.names))
        client = PdpClient(settings.pdp.address, HopKeyFile(settings.pdp.hop_key))
        stack.push_async_callback(client.close)
        behind = Behind(settings, egress, own, recorder, metrics)
        stack.push_async_callback(behind.close)
        heard = _told(metrics, recorder, behind)
        in_force = CatalogInForce(store, client, _deadline(settings), heard, behind.changes.policies_changed)
        stack.push_async_callback(in_force.close)
        metrics.follow_policies(in_force.policy_state)
        metrics.follow_readiness(not_ready(in_force, recorder, behind))
        parts = _Parts(
            settings=settings,
            authenticators=authenticators,
            recorder=recorder,
            metrics=metrics,
            tracing=tracing,
            tools=Tools(registry, store),
            store=store,
            client=client,
            behind=behind,
            in_force=in_force,
        )
        yield Assembled(_rooms(parts), behind, own)


def _rooms(parts: _Parts) -> Rooms:
    settings, given = parts.settings, Given(Handles(_handle_key(parts.settings)))
    decider, quarantined = Decider(parts.client, parts.tools, release.fulfils), _quarantined(parts.store, parts.behind)
    pages = Pages(parts.behind.upstreams, parts.metrics.unlisted)
    lists = Lists(decider, parts.recorder, given, pages, quarantined, parts.tracing)
    again = Again(lists)
    hands = Hands(
        decider=decider,
        effects=Effects(parts.tools, parts.recorder, parts.metrics),
        tools=parts.tools,
        forwarding=Forwarding(parts.behind.upstreams),
        given=given,
        quarantined=quarantined,
        revision=parts.in_force.revision,
        known=parts.in_force.known,
        believed=parts.authenticators.still,
        again=again,
        metrics=parts.metrics,
        tracing=parts.tracing,
    )
    return Rooms(
        authenticators=parts.authenticators,
        eras=frozenset(settings.eras),
        origins=frozenset(settings.origins),
        json_depth=settings.limits.json_depth,
        in_force=parts.in_force,
        calls=Calls(hands),
        lists=lists,
        listening=_listening(parts, lists, again),
        in_flight=InFlight(),
        recorder=parts.recorder,
        metrics=parts.metrics,
        tracing=parts.tracing,
        deadline=_deadline(settings),
    )


def _listening(parts: _Parts, lists: Lists, again: Again) -> Listening:
    limits = parts.settings.limits
    return Listening(
        lists=lists,
        again=again,
        seats=Seats(limits.stream_places, limits.streams_per_caller),
        changes=parts.behind.changes,
        upstreams=parts.behind.upstreams,
        stopping=parts.behind.stopping,
        revision=parts.in_force.revision,
        known=parts.in_force.known,
        believed=parts.authenticators.still,
    )


def _deadline(settings: PepSettings) -> float:
    return settings.pdp.deadline_ms / 1000


def _quarantined(store: CatalogStore, behind: Behind) -> Callable[[str], Mapping[str, str]]:
    """By the catalog's digest: what isn't served of it, and why."""

    def quarantined(digest: str) -> Mapping[str, str]:
        held = store.held(digest)
        if held is None:  # nothing is known of its definitions, so nothing of it may run
            raise KeyError("the catalog isn't held any more")
        return behind.definitions.quarantined(held.catalog)

    return quarantined


def _handle_key(settings: PepSettings) -> bytes:
    """The same in all replicas, and of no use as anything else: from the masking key, which they share (RFC 5869)."""
    shared = atomic_file.read_private(settings.audit.masking_key)
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=b"sallyport handles v1").derive(shared)


def _told(metrics: Metrics, recorder: Recorder, behind: Behind) -> Callable[[LoadedCatalog], None]:
    """Who hears of a catalog that comes into force."""

    def tell(loaded: LoadedCatalog) -> None:
        metrics.know_tools(loaded.names)
        behind.follow(loaded.catalog)
        for problem in loaded.refused:
            _log.error("tool not served", tool=problem.subject, problem=str(problem))
        if loaded.refused:
            recorder.refused_tools(loaded.digest, [str(problem) for problem in loaded.refused])

    return tell


def not_ready(in_force: CatalogInForce, recorder: Recorder, behind: Behind) -> management.Reasons:
    """Why this gate isn't ready: the one answer for /ready and for the metrics."""

    def reasons() -> Mapping[str, str]:
        upstreams = behind.not_ready()
        return {**in_force.not_ready(recorder.failure()), **({"upstreams": upstreams} if upstreams else {})}

    return reasons
