"""Trace context is carried; spans leave only where an endpoint says so."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from concurrent import futures

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from sallyport.runtime.problems import ConfigError
from sallyport.runtime.telemetry import Tracing, valid_traceparent

_PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize(
    "value",
    [
        "",
        _PARENT.upper(),
        _PARENT + "-x",
        _PARENT[:-1],
        _PARENT + "\n",
        "ff" + _PARENT[2:],
        "00-" + "0" * 32 + "-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-" + "0" * 16 + "-01",
        _PARENT.replace("-", "_"),
    ],
)
def test_an_invalid_parent_is_dropped(value: str) -> None:
    assert valid_traceparent(value) == ""
    with Tracing("test").span("x", value) as span:
        assert span.traceparent == ""


def test_off_the_parents_own_context_is_carried() -> None:
    tracing = Tracing("test")
    tracing.start()
    with tracing.span("x", _PARENT) as span:
        assert span.traceparent == _PARENT
    tracing.stop()
    assert not tracing.on


def test_off_the_sdk_is_not_even_imported() -> None:
    code = (
        "import sys; from sallyport.runtime.telemetry import Tracing; t = Tracing('x'); t.start(); t.span('a'); t.stop();"
        "sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


@pytest.mark.parametrize(
    "endpoint", ["http://collector:4317", "http://10.0.0.1:4317", "http://127.0.0.1.evil.test:4317"]
)
def test_n19_spans_go_in_plain_text_to_loopback_only(endpoint: str) -> None:
    with pytest.raises(ConfigError, match="use https://"):
        Tracing("test", endpoint)


@pytest.mark.parametrize(
    "endpoint", ["collector:4317", "https://collector", "ftp://x:1", "https://:1", "http://[::1", "x"]
)
def test_n5_an_endpoint_that_cannot_be_read_stops_the_start(endpoint: str) -> None:
    with pytest.raises(ConfigError, match="https://HOST:PORT"):
        Tracing("test", endpoint)


class _Collector(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self) -> None:
        self.requests: list[trace_service_pb2.ExportTraceServiceRequest] = []
        self.arrived = threading.Event()

    def Export(
        self, request: trace_service_pb2.ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        self.requests.append(request)
        self.arrived.set()
        return trace_service_pb2.ExportTraceServiceResponse()


def test_n7_on_spans_reach_the_collector_beneath_their_parent_without_the_failures_text() -> None:
    collector = _Collector()
    server = grpc.server(futures.ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    tracing = Tracing("test", f"http://127.0.0.1:{port}")
    tracing.start()
    try:
        with contextlib.suppress(ValueError), tracing.span("outer", _PARENT) as outer:
            with tracing.span("inner", outer.traceparent) as inner:
                assert valid_traceparent(inner.traceparent)
            raise ValueError("canary")
        tracing.stop()
        assert collector.arrived.wait(10)
    finally:
        tracing.stop()
        server.stop(None).wait(10)
    assert outer.traceparent.split("-")[1] == inner.traceparent.split("-")[1] == _PARENT.split("-")[1]
    spans = collector.requests[0].resource_spans[0].scope_spans[0].spans
    assert [span.name for span in spans] == ["inner", "outer"]
    assert spans[0].parent_span_id.hex() == outer.traceparent.split("-")[2]
    assert spans[1].parent_span_id.hex() == _PARENT.split("-")[2]
    assert spans[1].status.message == "ValueError"
    assert b"canary" not in collector.requests[0].SerializeToString()
