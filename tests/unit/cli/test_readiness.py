"""What `up` tells of a PEP that isn't ready."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from sallyport.cli import readiness


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    """A management port that gives one answer to everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "_PATIENCE_SECONDS", 0.0)


def test_a_ready_pep_has_no_reasons() -> None:
    with answering(200, b"[]") as url:
        assert readiness.reasons(url, "") == ()


def test_the_reasons_are_told_by_part() -> None:
    body = [{"name": "audit", "ok": False, "detail": "disk full"}, {"name": "pdp", "ok": False, "detail": "away"}]
    body.append({"name": "policies", "ok": True, "detail": "revision 12"})  # keeps nothing from serving
    with answering(503, json.dumps(body).encode()) as url:
        assert readiness.reasons(url, "") == ("audit: disk full", "pdp: away")


@pytest.mark.parametrize("body", [b"", b"\xff<html>", b"{}", b"[1]"])
def test_an_answer_that_makes_no_sense_is_not_ready(body: bytes) -> None:
    with answering(503, body) as url:
        (reason,) = readiness.reasons(url, "")
    assert "503" in reason


def test_nobody_there_is_not_ready_and_no_proxy_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(200, b"[]") as proxy:
        monkeypatch.setenv("http_proxy", proxy)
        (reason,) = readiness.reasons("http://127.0.0.1:9", "")
    assert "doesn't answer" in reason
