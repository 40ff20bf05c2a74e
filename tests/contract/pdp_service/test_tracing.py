"""A question's trace goes on in the PDP, and carries nothing that was asked."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as otlp
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as otlp_rpc

from sallyport.authz.v1 import authz_pb2 as pb
from sallyport.pdp.server import Server
from sallyport.runtime.telemetry import Tracing
from tests.contract.pdp_service.running import POLICIES, connected, evaluation, in_force_of, question, settings

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"


class Collector(otlp_rpc.TraceServiceServicer):
    """Takes spans as an OTLP collector does."""

    def __init__(self) -> None:
        self.received: list[otlp.ExportTraceServiceRequest] = []

    async def Export(
        self, request: otlp.ExportTraceServiceRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> otlp.ExportTraceServiceResponse:
        self.received.append(request)
        return otlp.ExportTraceServiceResponse()


async def test_a_span_continues_the_questions_trace_and_holds_no_arguments(tmp_path: Path) -> None:
    collector, otlp_server = Collector(), grpc.aio.server()
    otlp_rpc.add_TraceServiceServicer_to_server(collector, otlp_server)  # type: ignore[no-untyped-call]
    port = otlp_server.add_insecure_port("127.0.0.1:0")
    await otlp_server.start()
    tracing = Tracing("sallyport-pdp", f"http://127.0.0.1:{port}")
    tracing.start()
    in_force = in_force_of(POLICIES)
    server = Server(settings(tmp_path), in_force, tracing)
    await server.start()
    asked = question(evaluation(resource="File::alice/canary-31"), traceparent=f"00-{TRACE}-{PARENT}-01")
    async with connected(server, settings(tmp_path), in_force) as pdp:
        assert (await pdp.ask(asked)).results[0].effect == pb.EFFECT_PERMIT
    await server.stop()
    await asyncio.to_thread(tracing.stop)
    await otlp_server.stop(None)
    (span,) = (
        span
        for request in collector.received
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    )
    assert (span.name, span.trace_id.hex(), span.parent_span_id.hex()) == ("pdp.evaluate", TRACE, PARENT)
    assert not any(b"canary-31" in request.SerializeToString() for request in collector.received)
