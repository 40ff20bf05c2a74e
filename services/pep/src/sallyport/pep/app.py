"""The composition root: settings in, a running PEP out. Parts are put together here; nothing registers itself."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import structlog
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from starlette.convertors import StringConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route

from sallyport.contract.seal import HopKeyFile
from sallyport.pep import VERSION, management, release, renewal
from sallyport.pep.again import Again
from sallyport.pep.audit import Recorder, open_stream
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
from sallyport.pep.inforce import CatalogInForce
from sallyport.pep.listening import Listening
from sallyport.pep.lists import Lists
from sallyport.pep.model import Json, Peer, Request
from sallyport.pep.pages import Pages
from sallyport.pep.pipeline import Pipeline, Rooms
from sallyport.pep.reach import Reach
from sallyport.pep.refusal import Reason
from sallyport.pep.renewal import OnRenewed, Renewal
from sallyport.pep.schema import compile_schema
from sallyport.pep.seats import Seats
from sallyport.pep.settings import PepSettings, Tls
from sallyport.pep.telemetry import Metrics
from sallyport.pep.tools import NEEDS, Registry, Tools, database, files
from sallyport.pep.tools.hosted import HostedTool, Pool
from sallyport.pep.transport import Endpoint, Limits, Running, serve
from sallyport.pep.upstream.assertion import OwnIdentity, published
from sallyport.runtime import atomic_file
from sallyport.runtime.certificates import Certificates
from sallyport.runtime.ending import Ending
from sallyport.runtime.telemetry import Tracing

# The only routes that answer without authentication; a test walks the app and knows no other (N3).
WELL_KNOWN: Final = "/.well-known/oauth-protected-resource"
JWKS: Final = "/.well-known/jwks.json"
PUBLIC_ROUTES: Final = frozenset({WELL_KNOWN, f"{WELL_KNOWN}/mcp", f"{WELL_KNOWN}/mcp/{{server:set}}", JWKS})
MCP: Final = "/mcp"
MCP_SET: Final = "/mcp/{server:set}"
_THREADS: Final = 8
_GRACE: Final = 5.0  # seconds for what runs at a stop
_HTTP_REASONS: Final = {404: Reason.NOT_FOUND, 405: Reason.METHOD_NOT_ALLOWED}
_log: Final = structlog.get_logger()


class _SetName(StringConvertor):
    """As the catalog has them: no slash, no dot, one spelling."""

    regex = "[a-z0-9][a-z0-9-]{0,62}"


register_url_convertor("set", _SetName())


def create_app(
    pipeline: Pipeline, metadata: Callable[[str], dict[str, Json]], jwks: dict[str, Json], *, body_bytes: int
) -> FastAPI:
    """The MCP listener's app. No generated documentation: every route is in PUBLIC_ROUTES or is /mcp."""
    app = FastAPI(title="Sallyport", openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    endpoint = Endpoint(pipeline.handle, pipeline.turn_away, body_bytes=body_bytes)
    app.router.routes += [Route(MCP, endpoint=endpoint), Route(MCP_SET, endpoint=endpoint)]

    async def resource_metadata(request: HttpRequest) -> JSONResponse:
        """RFC 9728. Of any name that a set could have: which there are is nobody's business without a token."""
        server = str(request.path_params.get("server", ""))
        return JSONResponse(metadata(server), headers={"cache-control": "no-store"})

    async def own_keys() -> JSONResponse:
        """RFC 7517: by which an upstream checks whose word our assertion is. Public keys, and nothing else."""
        return JSONResponse(jwks, headers={"cache-control": "max-age=300"})

    async def turned_away(request: HttpRequest, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 404
        reason = _HTTP_REASONS.get(status, Reason.NOT_FOUND)
        answer = await pipeline.turn_away(reason, "no such route or method", _bare(request))
        allowed = (error.headers or {}) if isinstance(error, HTTPException) else {}
        return Response(answer.body, answer.status, {"content-type": "application/json", **allowed})

    for path in sorted(PUBLIC_ROUTES):
        app.add_api_route(path, own_keys if path == JWKS else resource_metadata, methods=["GET"])
    for status in _HTTP_REASONS:
        app.add_exception_handler(status, turned_away)
    return app


def _bare(request: HttpRequest) -> Request:
    return Request(Peer(request.client.host if request.client else ""), request.method, (), b"")


@asynccontextmanager
async def hosted(settings: PepSettings) -> AsyncIterator[Registry]:
    """The explicit table of hosted tools, bound to what the settings name."""
    tools: list[HostedTool] = []
    async with contextlib.AsyncExitStack() as stack:
        if settings.files is not None:
            root = files.Root(settings.files.root)
            stack.callback(root.close)
            tools += files.tools(root, _pool("files", stack))
        if settings.database is not None:
            password = settings.database.password_file
            secret = atomic_file.read_private(password).decode().strip() if password else None
            tables = await database.Database.open(settings.database.url, secret)
            stack.push_async_callback(tables.close)
            tools += database.tools(tables, _pool("database", stack))
        yield Registry(tools)


def _pool(name: str, stack: contextlib.AsyncExitStack) -> Pool:
    """Closed before what its threads use."""
    pool = Pool(_THREADS, name)
    stack.callback(pool.close)
    return pool


def reach(settings: PepSettings, registered: frozenset[str]) -> Reach:
    """What a catalog may ask of this gate."""
    unset = {name: setting for name, setting in NEEDS.items() if name not in registered}
    lacks = {name for name in ("upstreams", "assertion") if getattr(settings, name) is None}
    return Reach(registered, unset, settings.destinations, frozenset(lacks))


@dataclass(frozen=True, slots=True)
class Assembled:
    """All rooms, and what runs beside the requests."""

    rooms: Rooms
    behind: Behind
    own: OwnIdentity | None


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
        tools = Tools(registry, store)
        client = PdpClient(settings.pdp.address, HopKeyFile(settings.pdp.hop_key))
        stack.push_async_callback(client.close)
        behind = Behind(settings, egress, own, recorder, metrics)
        stack.push_async_callback(behind.close)
        deadline = settings.pdp.deadline_ms / 1000
        heard = _told(metrics, recorder, behind)
        in_force = CatalogInForce(store, client, deadline, heard, behind.changes.policies_changed)
        stack.push_async_callback(in_force.close)
        metrics.follow_policies(in_force.policy_state)
        metrics.follow_readiness(_not_ready(in_force, recorder, behind))
        decider = Decider(client, tools, release.fulfils)
        given = Given(Handles(_handle_key(settings)))

        def quarantined(digest: str) -> Mapping[str, str]:
            held = store.held(digest)
            if held is None:  # nothing is known of its definitions, so nothing of it may run
                raise KeyError("the catalog isn't held any more")
            return behind.definitions.quarantined(held.catalog)

        hands = Hands(
            decider,
            Effects(tools, recorder, metrics),
            tools,
            Forwarding(behind.upstreams),
            given,
            quarantined,
            in_force.revision,
            in_force.known,
            metrics,
            tracing,
        )
        lists = Lists(decider, recorder, given, Pages(behind.upstreams), quarantined, tracing)
        listening = Listening(
            lists,
            Again(lists),
            Seats(settings.limits.stream_places, settings.limits.streams_per_caller),
            behind.changes,
            behind.upstreams,
            behind.stopping,
            in_force.revision,
            in_force.known,
        )
        rooms = Rooms(
            authenticators=authenticators,
            eras=frozenset(settings.eras),
            origins=frozenset(settings.origins),
            json_depth=settings.limits.json_depth,
            in_force=in_force,
            calls=Calls(hands),
            lists=lists,
            listening=listening,
            recorder=recorder,
            metrics=metrics,
            tracing=tracing,
            deadline=deadline,
        )
        yield Assembled(rooms, behind, own)


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


def _not_ready(in_force: CatalogInForce, recorder: Recorder, behind: Behind) -> management.Reasons:
    """Why this gate isn't ready: the one answer for /ready and for the metrics."""

    def reasons() -> Mapping[str, str]:
        upstreams = behind.not_ready()
        return {**in_force.not_ready(recorder.failure()), **({"upstreams": upstreams} if upstreams else {})}

    return reasons


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
            asyncio.create_task(replaced.watch(_renewing(settings.tls, mcp, manage))),
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
            await asyncio.wait_for(ending.asked(), settings.limits.drain_seconds)  # a second signal cuts it short
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
        _not_ready(rooms.in_force, rooms.recorder, gate.behind),
        lambda: {**rooms.in_force.warnings(), **replaced.warnings(), **gate.behind.warnings()},
        rooms.metrics,
        settings.tls.management_clients,
    )
    context = replaced.context(settings.tls.client_certificate)
    optional = replaced.context(renewal.management(settings.tls))
    turned_away = rooms.recorder.turned_away
    mcp = await serve(app, settings.listen, tls=context, limits=limits, on_refused=turned_away)
    manage = await serve(operators, settings.management, tls=optional, limits=limits, on_refused=turned_away)
    return mcp, manage
