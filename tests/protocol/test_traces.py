"""One trace from the caller through the rooms to the PDP, received by a real OTLP collector; nothing without one."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent import futures
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as otlp
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as otlp_rpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support.gate import body, gate

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CANARY = "alice/canary-7f3a.txt"


class Collector(otlp_rpc.TraceServiceServicer):
    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.raw = b""

    def Export(self, request: otlp.ExportTraceServiceRequest, context: Any) -> otlp.ExportTraceServiceResponse:
        self.raw += request.SerializeToString()
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                self.spans.extend(scope.spans)
        return otlp.ExportTraceServiceResponse()


@pytest.fixture
def collector() -> Iterator[tuple[Collector, str]]:
    collected = Collector()
    server = grpc.server(futures.ThreadPoolExecutor(2))
    otlp_rpc.add_TraceServiceServicer_to_server(collected, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield collected, f"http://127.0.0.1:{port}"
    server.stop(None).wait()


async def test_the_callers_trace_goes_on_through_the_rooms_to_the_pdp(
    collector: tuple[Collector, str], tmp_path: Path
) -> None:
    collected, endpoint = collector
    async with gate(tmp_path / "laptop", otlp=endpoint) as opened:
        (opened.directory / "files" / CANARY).write_text("a canary")
        request = opened.call("read_file", {"path": CANARY})
        trace = (b"traceparent", f"00-{TRACE}-{PARENT}-01".encode())
        answer = await opened.handle(replace(request, headers=(*request.headers, trace)))
        assert "result" in body(answer)
    spans = {span.name: span for span in collected.spans}
    assert {"authn", "rpc", "schema", "decision", "tools", "pdp.evaluate"} <= spans.keys()
    assert {span.trace_id.hex() for span in collected.spans if span.name != "revision"} >= {TRACE}
    for name in ("authn", "rpc", "visibility", "schema", "decision", "tools"):
        assert (spans[name].trace_id.hex(), spans[name].parent_span_id.hex()) == (TRACE, PARENT), name
    asked = [span for span in collected.spans if span.name == "pdp.evaluate"]
    assert asked
    assert {span.parent_span_id for span in asked} == {spans["visibility"].span_id, spans["decision"].span_id}
    assert b"canary" not in collected.raw, "an argument's value reached a trace"
