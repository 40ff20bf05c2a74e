"""The process: policies, hop key, two ports, and an orderly end.

The port for questions is on loopback; the health port may be anywhere, since it holds nothing but health.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final

import grpc
import grpc.aio
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from sallyport.authz.v1 import authz_pb2
from sallyport.contract.seal import HopKey
from sallyport.pdp import hop, receive, telemetry
from sallyport.pdp.inforce import InForce
from sallyport.pdp.observer import Observer, Observers
from sallyport.pdp.recorder import open_stream
from sallyport.pdp.reload import Reloads
from sallyport.pdp.reload_method import Operator
from sallyport.pdp.service import AuthorizationService
from sallyport.pdp.settings import PdpSettings
from sallyport.pdp.strangers import Strangers
from sallyport.pdp.vetting import Vetting
from sallyport.runtime.ending import Ending
from sallyport.runtime.problems import ConfigError
from sallyport.runtime.telemetry import Tracing

if TYPE_CHECKING:
    from sallyport.pdp.http import Listener

SERVICE: Final = authz_pb2.DESCRIPTOR.services_by_name["AuthorizationService"].full_name
DRAIN_SECONDS: Final = 2.0
_HEALTH_BYTES: Final = 1024
_HEALTH_CONCURRENCY: Final = 256
_PROBE_SECONDS: Final = 1.0
_SERVING: Final = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING: Final = health_pb2.HealthCheckResponse.NOT_SERVING
_NOBODY: Final = Observers()
_log: Final = structlog.get_logger()


class _Health(health_pb2_grpc.HealthServicer):
    """The process is alive; the service is ready while a policy set serves and decisions can be recorded.

    Nothing is kept that could go stale.
    """

    def __init__(self, in_force: InForce, failure: Callable[[], str]) -> None:
        self._in_force = in_force
        self._failure = failure
        self.stopping = False

    async def Check(  # noqa: N802 — gRPC's name
        self, request: health_pb2.HealthCheckRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> health_pb2.HealthCheckResponse:
        if request.service not in {"", SERVICE}:
            await context.abort(grpc.StatusCode.NOT_FOUND)
        ready = self._in_force.snapshot is not None and not self._failure()
        good = not self.stopping and (not request.service or ready)
        return health_pb2.HealthCheckResponse(status=_SERVING if good else _NOT_SERVING)

    # A Watch lives as long as its client likes, and a few would starve the kubelet's probe.
    async def Watch(  # noqa: N802 — gRPC's name
        self, _request: health_pb2.HealthCheckRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> None:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "poll Check")


class Server:
    """Both ports of one PDP. `start` binds, writes the hop key, then answers; in that order."""

    def __init__(
        self,
        settings: PdpSettings,
        in_force: InForce,
        tracing: Tracing,
        observers: Observers = _NOBODY,
        operator: Operator | None = None,
        failure: Callable[[], str] = str,
        strangers: Strangers | None = None,
    ) -> None:
        """`operator` answers Reload; without one there is no such method. `failure`: why nothing can be recorded."""
        self._settings = settings
        self._in_force = in_force
        self._tracing = tracing
        self._observers = observers
        self._operator = operator
        self._failure = failure
        self._strangers = strangers or Strangers()
        self._health = _Health(in_force, failure)
        self._questions = _grpc_server(settings.limits.message_bytes, settings.limits.concurrency)
        self._probes = _grpc_server(_HEALTH_BYTES, _HEALTH_CONCURRENCY)
        self.listen = ""  # as bound, once started
        self.health = ""

    async def start(self) -> None:
        """Raises ConfigError where an address can't be bound."""
        self.listen = _bind(self._questions, self._settings.listen, "listen")
        self.health = _bind(self._probes, self._settings.health, "health")
        # Only now: a second PDP on the same port must not take the key away from the first.
        self._serve(hop.issue(self._settings.hop_key))
        methods: receive.Methods = {
            "Check": (self._health.Check, health_pb2.HealthCheckRequest),
            "Watch": (self._health.Watch, health_pb2.HealthCheckRequest),
        }
        self._probes.add_generic_rpc_handlers((receive.handlers(health.SERVICE_NAME, methods, _PROBE_SECONDS),))
        await self._questions.start()
        await self._probes.start()

    async def stop(self) -> None:
        """Not ready first, then let what runs end; whatever hasn't after two seconds is cut, and so denied."""
        self._health.stopping = True
        await self._questions.stop(DRAIN_SECONDS)
        await self._probes.stop(None)

    def _serve(self, key: HopKey) -> None:
        seconds = self._settings.limits.deadline_ms / 1000
        service = AuthorizationService(
            self._in_force,
            key,
            self._tracing,
            self._observers,
            self._strangers,
            seconds=seconds,
            failure=self._failure,
        )
        methods: dict[str, receive.Answering] = {
            "Evaluate": (service.Evaluate, authz_pb2.EvaluateRequest),
            "EvaluateBatch": (service.EvaluateBatch, authz_pb2.EvaluateBatchRequest),
            "GetRevision": (service.GetRevision, authz_pb2.GetRevisionRequest),
            "GetCatalog": (service.GetCatalog, authz_pb2.GetCatalogRequest),
        }
        if self._operator is not None:
            methods["Reload"] = (self._operator.Reload, authz_pb2.ReloadRequest)
        self._questions.add_generic_rpc_handlers((receive.handlers(SERVICE, methods, seconds),))


async def run(settings: PdpSettings) -> None:
    """Serve until SIGTERM or SIGINT, at any moment; what is opened here is closed in the opposite order.

    It listens before it loads: a policy set that can't be used doesn't stop the start, it denies everything.
    """
    async with Ending() as ending, AsyncExitStack() as parts:
        tracing = Tracing("sallyport-pdp", settings.telemetry.otlp_endpoint)
        tracing.start()
        parts.push_async_callback(asyncio.to_thread, tracing.stop)
        # The record first: what it can't take is denied, whatever the others make of it.
        recorder = await parts.enter_async_context(open_stream(settings.audit))
        members: list[Observer] = [recorder]
        observers = Observers(members)
        in_force = InForce()
        strangers = Strangers()
        metrics = telemetry.Metrics(lambda: in_force.snapshot, recorder.failure, lambda: strangers.total)
        members.append(metrics)
        reloads = await _reloads(settings, in_force, observers, parts)
        operator = _operator(settings, in_force, reloads, strangers)
        server = Server(settings, in_force, tracing, observers, operator, recorder.failure, strangers)
        _read_again_on_sighup(reloads)
        for listener, address in _listeners(settings, in_force, observers, tracing, metrics):
            await listener.start(address)
            parts.push_async_callback(listener.stop, DRAIN_SECONDS)
        await server.start()
        parts.push_async_callback(server.stop)
        _log.info("listening", listen=server.listen, health=server.health)
        watching = asyncio.create_task(reloads.watch())
        parts.push_async_callback(_cancelled, watching)
        await ending.asked()
        _log.info("stopping")


async def _reloads(settings: PdpSettings, in_force: InForce, observers: Observers, parts: AsyncExitStack) -> Reloads:
    vetting = Vetting(settings.reload)
    parts.push_async_callback(vetting.close)
    await vetting.warm_up()  # it starts while we bind and listen
    poll = settings.reload.poll_ms / 1000
    reloads = Reloads(settings.policies, in_force, vetting, observers, poll=poll)
    parts.push_async_callback(reloads.close)
    return reloads


def _listeners(
    settings: PdpSettings, in_force: InForce, observers: Observers, tracing: Tracing, metrics: telemetry.Metrics
) -> Iterator[tuple[Listener, str]]:
    """What is served over HTTP, and where. Raises ConfigError where a certificate can't be used."""
    if settings.metrics is not None or settings.authzen is not None:
        from sallyport.pdp import web  # noqa: PLC0415 — an HTTP server takes 10 MiB, and most PDPs need none

        yield from web.listeners(settings, in_force, observers, tracing, metrics)


def _operator(settings: PdpSettings, in_force: InForce, reloads: Reloads, strangers: Strangers) -> Operator | None:
    """Raises ConfigError where there is a key that can't be used."""
    path = settings.reload.operator_key
    if path is None:
        return None
    key = hop.read_operator(path, settings.hop_key)
    return Operator(key, in_force, reloads, strangers, seconds=settings.reload.seconds)


def _read_again_on_sighup(reloads: Reloads) -> None:
    """It ends most programs; here it is for who won't wait for the next look at the directory."""
    asked: set[asyncio.Task[object]] = set()

    def again() -> None:
        task: asyncio.Task[object] = asyncio.create_task(reloads.now("signal"))
        asked.add(task)
        task.add_done_callback(asked.discard)

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, again)


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _grpc_server(message_bytes: int, concurrency: int) -> grpc.aio.Server:
    return grpc.aio.server(
        options=(
            ("grpc.so_reuseport", 0),  # another process must not share the port and take our questions
            ("grpc.max_receive_message_length", message_bytes),
            ("grpc.max_send_message_length", message_bytes),
            ("grpc.max_metadata_size", 8192),
        ),
        maximum_concurrent_rpcs=concurrency,
    )


def _is_served(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0


def _bind(server: grpc.aio.Server, address: str, name: str) -> str:
    """The address as bound: port 0 is answered with the port that the system chose."""
    # gRPC removes a socket that a killed PDP left, and would remove the one of a PDP that runs.
    if address.startswith("unix:") and _is_served(address.removeprefix("unix:")):
        raise ConfigError.about(f"{name} {address}", f"another PDP answers there; choose another with --{name}")
    # A unix socket is ours alone from the moment it exists.
    before = os.umask(0o177)
    try:
        port = server.add_insecure_port(address)
    except RuntimeError:
        message = f"can't be bound; is another PDP running there? Choose another address with --{name}"
        raise ConfigError.about(f"{name} {address}", message) from None
    finally:
        os.umask(before)
    return address if address.startswith("unix:") else f"{address.rpartition(':')[0]}:{port}"
