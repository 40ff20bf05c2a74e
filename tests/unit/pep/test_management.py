"""The management listener: one bit for a stranger, the reasons for an operator. And what the metrics may say."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from starlette.requests import Request

from sallyport.pep import management
from sallyport.pep.refusal import Reason
from sallyport.pep.telemetry import Metrics
from sallyport.runtime.peer_names import PeerName
from tests.support.pki import authority

CLIENTS = (PeerName(spiffe="spiffe://test/prometheus"), PeerName(dns="ops.test"))
STRANGER = "192.0.2.7"


@dataclass
class Said:
    status: int
    headers: dict[bytes, bytes]
    body: bytes


async def ask(
    path: str,
    *,
    peer: str | None = STRANGER,
    certificate: bytes | None = None,
    reasons: Mapping[str, str] | None = None,
    warnings: Mapping[str, str] | None = None,
    method: str = "GET",
    headers: list[tuple[bytes, bytes]] | None = None,
    metrics: Metrics | None = None,
) -> Said:
    app = management.build(lambda: reasons or {}, lambda: warnings or {}, metrics or Metrics("1.2.3"), CLIENTS)
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "https",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": headers or [],
        "client": None if peer is None else (peer, 1),
        "server": ("127.0.0.1", 1),
        "extensions": {} if certificate is None else {"tls": {"client_cert_der": certificate}},
    }
    said = Said(0, {}, b"")

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    async def send(event: Any) -> None:
        if event["type"] == "http.response.start":
            said.status, said.headers = event["status"], dict(event["headers"])
        else:
            said.body += event.get("body", b"")

    await app(scope, receive, send)
    return said


async def test_live_says_yes_and_nothing_else() -> None:
    for peer in (STRANGER, "127.0.0.1", None):
        said = await ask("/live", peer=peer, reasons={"pdp": "away"})
        assert (said.status, said.body) == (200, b"")


@pytest.mark.parametrize("reasons", [{}, {"pdp": "connection refused at 127.0.0.1:7351"}])
async def test_n7_a_stranger_learns_one_bit(reasons: dict[str, str]) -> None:
    status = 503 if reasons else 200
    strangers: list[dict[str, Any]] = [
        {"peer": STRANGER},
        {"peer": None},
        {"peer": "localhost"},
        {"peer": "127.0.0.1.evil.test"},
        {"peer": STRANGER, "certificate": authority().client("spiffe://test/other").certificate_der},
        {"peer": STRANGER, "certificate": b"garbage"},
        {"peer": STRANGER, "certificate": authority().issue("ops.test").certificate_der},
        {"peer": STRANGER, "headers": [(b"x-forwarded-for", b"127.0.0.1"), (b"host", b"localhost")]},
    ]
    for stranger in strangers:
        said = await ask("/ready", reasons=reasons, **stranger)
        assert (said.status, said.body) == (status, b"")
        said = await ask("/metrics", reasons=reasons, **stranger)
        assert (said.status, said.body) == (403, b"")


@pytest.mark.parametrize(
    "operator",
    [
        {"peer": "127.0.0.1"},
        {"peer": "::1"},
        {"certificate": authority().client("spiffe://test/prometheus").certificate_der},
        {"certificate": authority().client("", dns=("ops.test",)).certificate_der},
    ],
    ids=["v4", "v6", "spiffe", "dns"],
)
async def test_an_operator_learns_the_reasons_and_the_metrics(operator: dict[str, Any]) -> None:
    said = await ask("/ready", reasons={"pdp": "away", "audit": "disk full"}, **operator)
    assert said.status == 503
    assert json.loads(said.body) == [
        {"name": "audit", "ok": False, "detail": "disk full"},
        {"name": "pdp", "ok": False, "detail": "away"},
    ]
    said = await ask("/ready", **operator)
    assert (said.status, json.loads(said.body)) == (200, [])
    said = await ask("/metrics", **operator)
    assert said.status == 200
    assert b'sallyport_build_info{version="1.2.3"} 1.0' in said.body


async def test_a_refused_reload_is_told_to_operators_while_the_last_good_set_serves() -> None:
    warnings = {"policies": "last reload refused: bad.cedar:3:1: unexpected token"}
    said = await ask("/ready", peer="127.0.0.1", warnings=warnings)
    assert said.status == 200
    assert json.loads(said.body) == [{"name": "policies", "ok": True, "detail": warnings["policies"]}]
    said = await ask("/ready", peer="127.0.0.1", warnings=warnings, reasons={"audit": "disk full"})
    assert said.status == 503
    assert [(entry["name"], entry["ok"]) for entry in json.loads(said.body)] == [("audit", False), ("policies", True)]
    said = await ask("/ready", warnings=warnings)
    assert (said.status, said.body) == (200, b"")


async def test_an_expired_operator_certificate_is_a_strangers() -> None:
    der = authority().client("spiffe://test/prometheus", ends=0.5).certificate_der
    app = management.Management(dict, dict, Metrics("1"), CLIENTS, lambda: time.time() + 86_400)
    request = Request({"type": "http", "client": None, "extensions": {"tls": {"client_cert_der": der}}})
    assert (await app.metrics(request)).status_code == 403


@pytest.mark.parametrize(
    "path", ["/", "/ready/", "/READY", "//ready", "/docs", "/openapi.json", "/redoc", "/mcp", "/ready%2f"]
)
async def test_n3_there_is_no_other_route(path: str) -> None:
    for peer in (STRANGER, "127.0.0.1"):
        assert (await ask(path, peer=peer)).status == 404


@pytest.mark.parametrize("path", ["/live", "/ready", "/metrics"])
async def test_n3_nothing_is_changed_here(path: str) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "get"):
        assert (await ask(path, peer="127.0.0.1", method=method)).status == 405
    routes = management.build(dict, dict, Metrics("1")).routes
    assert {getattr(route, "path", None) for route in routes} == {"/live", "/ready", "/metrics"}


def test_n26_no_label_comes_from_a_caller() -> None:
    metrics = Metrics("1", ["read_file"])
    for number in range(100):
        metrics.permitted(f"method-{number}")
        metrics.refused(f"notifications/{number}", Reason.DENIED)
        metrics.ran(f"tool-{number}", 0.1)
        metrics.ended(f"tool-{number}", "done")
    metrics.ran("read_file", 0.1)
    metrics.ended("read_file", "failed")
    text = metrics.exposition().decode()
    assert 'sallyport_requests_total{method="other",outcome="permitted"} 100.0' in text
    assert 'sallyport_requests_total{method="notification",outcome="denied"} 100.0' in text
    assert 'sallyport_tool_seconds_count{tool="other"} 100.0' in text
    assert 'sallyport_tool_seconds_count{tool="read_file"} 1.0' in text
    assert 'sallyport_tool_outcomes_total{outcome="done",tool="other"} 100.0' in text
    assert 'sallyport_tool_outcomes_total{outcome="failed",tool="read_file"} 1.0' in text
    assert "-7" not in text.replace("e-7", "")


def test_what_happens_is_counted() -> None:
    metrics = Metrics("1")
    metrics.permitted("tools/call")
    metrics.refused("", Reason.UNAUTHENTICATED)
    metrics.refused("tools/call", Reason.NO_DECISION)
    metrics.dropped_roles("laptop", 3)
    metrics.decided(0.002)
    metrics.recorded(0.001)
    metrics.know_tools(["write_file"])
    metrics.ran("write_file", 1)
    lines = metrics.exposition().decode().splitlines()
    for line in (
        'sallyport_requests_total{method="tools/call",outcome="permitted"} 1.0',
        'sallyport_requests_total{method="other",outcome="unauthenticated"} 1.0',
        'sallyport_requests_total{method="tools/call",outcome="no_decision"} 1.0',
        "sallyport_unauthenticated_total 1.0",
        'sallyport_dropped_role_claims_total{issuer="laptop"} 3.0',
        "sallyport_decision_seconds_count 1.0",
        "sallyport_audit_append_seconds_count 1.0",
        'sallyport_tool_seconds_count{tool="write_file"} 1.0',
    ):
        assert line in lines


def test_the_policy_set_is_named_as_it_is_when_somebody_looks() -> None:
    metrics, state = Metrics("1"), [("a" * 64, False)]
    metrics.follow_policies(lambda: state[0] if state else None)
    for revision, refused in (("a" * 64, False), ("b" * 64, True), ("", True)):
        state[0] = (revision, refused)
        text = metrics.exposition().decode()
        named = [line for line in text.splitlines() if line.startswith("sallyport_policy_revision_info")]
        assert named == ([f'sallyport_policy_revision_info{{revision="{revision}"}} 1.0'] if revision else [])
        assert f"sallyport_policy_reload_refused {float(refused)}" in text
    state.clear()
    assert not [line for line in metrics.exposition().decode().splitlines() if line.startswith("sallyport_policy")]


def test_readiness_is_shown_as_it_is_when_somebody_looks() -> None:
    metrics, reasons = Metrics("1"), dict[str, str]()
    metrics.follow_readiness(lambda: reasons)
    for found, ready, writable in (
        ({}, 1, 1),
        ({"pdp": "away"}, 0, 1),
        ({"audit": "disk full"}, 0, 0),
        ({"process": "stopping", "audit": "disk full"}, 0, 0),
        ({}, 1, 1),
    ):
        reasons.clear()
        reasons.update(found)
        lines = metrics.exposition().decode().splitlines()
        assert f"sallyport_ready {float(ready)}" in lines
        assert f"sallyport_audit_writable {float(writable)}" in lines
