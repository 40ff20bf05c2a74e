"""What the PEP asks over gRPC is counted, and none of its values reaches a metric, a span or a log, whatever breaks."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from structlog.testing import capture_logs

from sallyport.authz.v1 import authz_pb2 as pb
from sallyport.contract.seal import Label
from sallyport.pdp import decider
from sallyport.pdp.observer import Observers
from sallyport.pdp.server import Server
from sallyport.pdp.telemetry import Metrics
from sallyport.runtime.telemetry import Tracing
from tests.contract.pdp_service.running import (
    POLICIES,
    Pdp,
    connected,
    evaluation,
    in_force_of,
    question,
    settings,
    until_it_ends,
    visibility,
)

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
CANARIES = pb.Subject(
    issuer="canary-1", user_id="canary-2", agent_id="canary-3", org="canary-4", roles=["canary-5"], scopes=["canary-6"]
)


def breaks(*asked: Any, **_: Any) -> None:
    raise ValueError(str(asked))


async def ask_with_canaries(pdp: Pdp) -> None:
    own = evaluation(resource="File::alice/canary-7", path="alice/canary-7", more="canary-8")
    for asked in (
        question(own, traceparent=TRACEPARENT),
        question(evaluation(action="canary-9"), traceparent=TRACEPARENT),
        question(subject=CANARIES, traceparent=TRACEPARENT),
        question(pb.Evaluation(action="read_file", input=b'{"canary-10":'), traceparent=TRACEPARENT),
        visibility("canary-11"),
    ):
        await pdp.ask(asked)
    await pdp.ask_batch(question(own, evaluation(resource="Table::canary-12")))
    with pytest.raises(grpc.aio.AioRpcError):
        await pdp.send(b"canary-13")
    with pytest.raises(grpc.aio.AioRpcError):
        await pdp.send(b"canary-14", mac=b"canary-15".ljust(32))


async def test_pii_no_value_of_a_question_is_told_and_every_answer_counts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    spans, tracing, provider = InMemorySpanExporter(), Tracing("pdp"), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    tracing._provider = provider
    chosen, in_force = settings(tmp_path), in_force_of(POLICIES)
    metrics = Metrics(lambda: in_force.snapshot)
    with until_it_ends() as strangers, capture_logs() as logs:
        server = Server(chosen, in_force, tracing, Observers((metrics,)), strangers=strangers)
        await server.start()
        try:
            async with connected(server, chosen, in_force) as pdp:
                await ask_with_canaries(pdp)
                with monkeypatch.context() as patch:
                    patch.setattr(decider, "verdicts", breaks)
                    await ask_with_canaries(pdp)
        finally:
            await server.stop()
            provider.shutdown()
    shown = metrics.exposition().decode()
    finished = "".join(span.to_json() for span in spans.get_finished_spans())
    assert "canary" not in shown + finished + caplog.text + str(logs)
    assert "pdp.evaluate" in finished
    assert 'effect="permit",group="read_only",purpose="call",source="grpc"} 2.0' in shown
    assert 'sallyport_pdp_errors_total{kind="INTERNAL"}' in shown
    assert 'sallyport_pdp_decision_seconds_count{source="grpc"} 12.0' in shown


async def test_the_seal_is_checked_before_anything_is_counted(tmp_path: Path) -> None:
    chosen, in_force = settings(tmp_path), in_force_of(POLICIES)
    metrics = Metrics(lambda: in_force.snapshot)
    with until_it_ends() as strangers:
        server = Server(chosen, in_force, Tracing("pdp"), Observers((metrics,)), strangers=strangers)
        await server.start()
        try:
            async with connected(server, chosen, in_force) as pdp:
                payload = question().SerializeToString()
                with pytest.raises(grpc.aio.AioRpcError):
                    await pdp.send(payload, mac=pdp.key.seal(Label.BATCH_QUESTION, payload))
        finally:
            await server.stop()
    assert "sallyport_pdp_decisions_total{" not in metrics.exposition().decode()
