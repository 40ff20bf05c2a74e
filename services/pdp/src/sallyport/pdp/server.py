"""The process: policies, hop key, two ports, and an orderly end.

The port for questions is on loopback; the health port may be anywhere, since it holds nothing but health.
"""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any, Final

import grpc
import grpc.aio
import structlog
from grpc_health.v1 import health, health_pb2

from sallyport.authz.v1 import authz_pb2
from sallyport.contract.seal import HopKey
from sallyport.pdp import hop, receive
from sallyport.pdp.inforce import InForce
from sallyport.pdp.service import AuthorizationService
from sallyport.pdp.settings import PdpSettings
from sallyport.runtime.problems import ConfigError
from sallyport.runtime.telemetry import Tracing

SERVICE: Final = authz_pb2.DESCRIPTOR.services_by_name["AuthorizationService"].full_name
DRAIN_SECONDS: Final = 2.0
_HEALTH_BYTES: Final = 1024
_HEALTH_CONCURRENCY: Final = 256
_PROBE_SECONDS: Final = 1.0
_SERVING: Final = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING: Final = health_pb2.HealthCheckResponse.NOT_SERVING
_log: Final = structlog.get_logger()


class _Health(health.aio.HealthServicer):
    """Check alone: a Watch lives as long as its client likes, and a few would starve the kubelet's probe."""

    async def Watch(  # noqa: N802 — gRPC's name
        self, _request: health_pb2.HealthCheckRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> None:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "poll Check")


class Server:
    """Both ports of one PDP. `start` binds, writes the hop key, then answers; in that order."""

    def __init__(self, settings: PdpSettings, in_force: InForce, tracing: Tracing) -> None:
        self._settings = settings
        self._in_force = in_force
        self._tracing = tracing
        self._health = _Health()
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
        await self.refresh()
        await self._questions.start()
        await self._probes.start()

    async def refresh(self) -> None:
        """Readiness follows what is in force."""
        await self._health.set("", _SERVING)
        await self._health.set(SERVICE, _SERVING if self._in_force.snapshot else _NOT_SERVING)

    async def stop(self) -> None:
        """Not ready first, then let what runs end; whatever hasn't after two seconds is cut, and so denied."""
        await self._health.enter_graceful_shutdown()
        await self._questions.stop(DRAIN_SECONDS)
        await self._probes.stop(None)

    def _serve(self, key: HopKey) -> None:
        seconds = self._settings.limits.deadline_ms / 1000
        service = AuthorizationService(self._in_force, key, self._tracing, seconds=seconds)
        methods: receive.Methods = {
            "Evaluate": (service.Evaluate, authz_pb2.EvaluateRequest),
            "EvaluateBatch": (service.EvaluateBatch, authz_pb2.EvaluateBatchRequest),
            "GetRevision": (service.GetRevision, authz_pb2.GetRevisionRequest),
        }
        self._questions.add_generic_rpc_handlers((receive.handlers(SERVICE, methods, seconds),))


async def run(settings: PdpSettings) -> None:
    """Serve until SIGTERM or SIGINT. A policy set that can't be used doesn't stop the start: it denies everything."""
    in_force = InForce()
    in_force.load(settings.policies)
    tracing = Tracing("sallyport-pdp", settings.telemetry.otlp_endpoint)
    tracing.start()
    server = Server(settings, in_force, tracing)
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await server.start()
    _log.info("listening", listen=server.listen, health=server.health, ready=in_force.snapshot is not None)
    await ended.wait()
    _log.info("stopping")
    await server.stop()
    await asyncio.to_thread(tracing.stop)


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


def _bind(server: grpc.aio.Server, address: str, name: str) -> str:
    """The address as bound: port 0 is answered with the port that the system chose."""
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
