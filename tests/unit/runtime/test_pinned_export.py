"""Spans go to an address that somebody vouched for, and the collector is still held to its name."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from concurrent import futures
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.sdk.trace.export import SpanExportResult

from sallyport.runtime import pinned_export
from sallyport.runtime.pinned_export import PinnedExporter
from sallyport.runtime.telemetry import Tracing
from tests.support import pki

SENT, LOST = SpanExportResult.SUCCESS, SpanExportResult.FAILURE
pytestmark = pytest.mark.allow_hosts(["127.0.0.0/8", "::1"])


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self) -> None:
        self.authorities: list[str] = []

    def Export(
        self, request: trace_service_pb2.ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        details = context._rpc_event.call_details  # type: ignore[attr-defined]
        self.authorities.append(details.host.decode())
        return trace_service_pb2.ExportTraceServiceResponse()


@contextmanager
def collector(
    credentials: grpc.ServerCredentials | None = None, address: str = "127.0.0.1:0"
) -> Iterator[tuple[Collector, int]]:
    found = Collector()
    server = grpc.server(futures.ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(found, server)  # type: ignore[no-untyped-call]
    port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    server.start()
    try:
        yield found, port
    finally:
        server.stop(None).wait(10)


class Resolver:
    def __init__(self, *answers: Sequence[str] | Exception) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    def __call__(self, url: str) -> Sequence[str]:
        self.asked.append(url)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@contextmanager
def exporter(endpoint: str, resolver: Resolver) -> Iterator[PinnedExporter]:
    found = PinnedExporter(endpoint, resolver, insecure=endpoint.startswith("http:"))
    try:
        yield found
    finally:
        found.shutdown()


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pinned_export, "_SECONDS", 30)


def test_n19_each_batch_asks_anew_and_a_refusal_sends_nothing() -> None:
    resolver = Resolver(["127.0.0.1"], ValueError("refused"), ["127.0.0.1"])
    with collector() as (found, port), exporter(f"http://localhost:{port}", resolver) as spans:
        assert [spans.export([]) for _ in range(3)] == [SENT, LOST, SENT]
        assert found.authorities == [f"localhost:{port}"] * 2
    assert resolver.asked == [f"http://localhost:{port}"] * 3


def test_n19_grpc_gets_the_checked_address_and_resolves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name exists nowhere, so only the address can have led there; the certificate is the name's."""
    (tmp_path / "ca.crt").write_bytes(pki.authority().pem)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", str(tmp_path / "ca.crt"))
    for name, result in (("collector.test", SENT), ("other.test", LOST)):
        pair = pki.authority().server((name,), ())
        credentials = grpc.ssl_server_credentials([(pair.key_pem, pair.certificate_pem)])
        monkeypatch.setattr(pinned_export, "_SECONDS", 30 if result is SENT else 1)  # it tries again until then
        with collector(credentials) as (found, port):
            with exporter(f"https://collector.test:{port}", Resolver(["127.0.0.1"])) as spans:
                assert spans.export([]) is result
            assert found.authorities == ([f"collector.test:{port}"] if result is SENT else [])


def test_a_name_that_moves_is_followed() -> None:
    with ExitStack() as stack:
        first, port = stack.enter_context(collector())
        second, _ = stack.enter_context(collector(address=f"127.0.0.2:{port}"))
        resolver = Resolver(["127.0.0.1", "127.0.0.2"], ["127.0.0.2", "127.0.0.1"], ["127.0.0.2"])
        spans = stack.enter_context(exporter(f"http://localhost:{port}", resolver))
        assert [spans.export([]) for _ in range(3)] == [SENT] * 3
        assert (len(first.authorities), len(second.authorities)) == (2, 1)


def test_another_address_is_tried_where_one_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        collector() as (found, port),
        exporter(f"http://localhost:{port}", Resolver(["127.0.0.2", "127.0.0.1"])) as spans,
    ):
        monkeypatch.setattr(pinned_export, "_SECONDS", 5)  # it tries again until then
        assert [spans.export([]) for _ in range(2)] == [LOST, SENT]
        assert len(found.authorities) == 1


def test_ipv6_addresses_are_dialed(monkeypatch: pytest.MonkeyPatch) -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    with (
        collector(address="[::1]:0") as (found, port),
        exporter(f"http://localhost:{port}", Resolver(["::1"])) as spans,
    ):
        assert spans.export([]) is SENT
        assert len(found.authorities) == 1


def test_tracing_asks_who_may_say_no() -> None:
    resolver = Resolver(["127.0.0.1"])
    with collector() as (found, port):
        tracing = Tracing("test", f"http://localhost:{port}", resolver)
        tracing.start()
        with tracing.span("x"):
            pass
        tracing.stop()
        assert len(found.authorities) == 1
    assert resolver.asked == [f"http://localhost:{port}"]
