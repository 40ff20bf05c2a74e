"""Whatever an upstream does instead of listing, the operator reads a sentence and a next step, and no word of a library's."""

from __future__ import annotations

import re
import socket
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from sallyport.cli.catalog.asking import Means, ask
from sallyport.cli.complaint import Complaint, Exit
from sallyport.contract.surfaces import Upstream
from tests.support.raw_lists import GOOD, Odd, raw_lists, send

_RAW = re.compile(r"Error|Errno|Exception|Traceback|_ssl|\[SSL|'\)|\bNone\b|asked what|in the handshake")
HTML = b"<html><body>Log in</body></html>"


def told(url: str, *, files: Path | None = None, **fields: Any) -> Complaint:
    with pytest.raises(Complaint) as said:
        ask("crm", Upstream.model_validate({"url": url, **fields}), Means(files=files))
    complaint = said.value
    assert complaint.code is Exit.UNAVAILABLE
    assert not _RAW.search(complaint.wrong + complaint.next_step), complaint.wrong
    return complaint


def replying(body: bytes, kind: str = "application/json", status: int = 200, *, to: str = "") -> Odd:
    def odd(handler: BaseHTTPRequestHandler, asked: dict[str, Any]) -> bool:
        if to and asked["method"] != to:
            return False
        send(handler, body.replace(b"ID", str(asked.get("id")).encode()), kind, status)
        return True

    return odd


def hanging_up(handler: BaseHTTPRequestHandler, _asked: dict[str, Any]) -> bool:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n")
    handler.wfile.flush()
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True
    return True


def another_language(handler: BaseHTTPRequestHandler, _asked: dict[str, Any]) -> bool:
    handler.wfile.write(b"SSH-2.0-OpenSSH_9.6\r\n")
    handler.close_connection = True
    return True


def without_end(handler: BaseHTTPRequestHandler, asked: dict[str, Any]) -> bool:
    if asked["method"] == "server/discover":
        return False
    handler.send_response(200)
    handler.send_header("Content-Type", "text/event-stream")
    handler.end_headers()
    handler.close_connection = True
    try:
        while True:
            handler.wfile.write(b": nothing\n" * 10_000)
    except OSError:
        return True


LIST = "tools/list"
ANSWER = b'{"jsonrpc":"2.0","id":ID,'


@pytest.mark.parametrize(
    ("odd", "wrong", "next_step"),
    [
        (replying(HTML, "text/html"), "such as a web page", "URL names its path"),
        (replying(HTML), "such as a web page", "URL names its path"),
        (replying(b"", status=401), "wants a credential (HTTP 401)", "`credential: authorization`"),
        (replying(b"", status=403, to=LIST), "wants a credential (HTTP 403)", "`credential: authorization`"),
        (replying(b"", status=404), "no MCP at this path (HTTP 404)", "/mcp"),
        (replying(b"", status=307), "redirects (HTTP 307)", "find out where it leads"),
        (replying(b"", status=429), "too many requests (HTTP 429)", "wait a while"),
        (replying(b"", status=500), "its server fails (HTTP 500)", "log"),
        (replying(b"", status=503, to=LIST), "its server fails (HTTP 503)", "log"),
        (replying(b"", status=418, to=LIST), "refuses the request (HTTP 418)", "URL names its path"),
        (replying(ANSWER + b'"result":{"tools":[', to=LIST), "isn't JSON that all readers agree on", "RFC 7493"),
        (replying(b'{"a":1}', to=LIST), "isn't JSON-RPC as MCP has it", "MCP server"),
        (replying(b'{"jsonrpc":"2.0","id":1,"result":{}}', to=LIST), "an answer to another request", "MCP server"),
        (replying(ANSWER + b'"result":{}}', to=LIST), "without a list of tools", "have the server corrected"),
        (replying(ANSWER + b'"result":{"tools":[],"nextCursor":""}}', to=LIST), "cursor", "have the server corrected"),
        (replying(ANSWER + b'"result":{"tools":[],"nextCursor":"a"}}', to=LIST), "same cursor", "corrected"),
        (replying(ANSWER + b'"error":{"code":-32603,"message":"boom\\u001b[2J"}}', to=LIST), "error -32603", "log"),
        (
            replying(
                ANSWER + b'"error":{"code":-32022,"message":"no","data":{"supported":["2031-01-01"]}}}', status=400
            ),
            "speaks no revision of MCP",
            "have the server updated",
        ),
        (
            replying(ANSWER + b'"result":{"protocolVersion":"1999-01-01","capabilities":{}}}'),
            "speaks no revision of MCP",
            "have the server updated",
        ),
        (hanging_up, "hung up", "log"),
        (another_language, "speaks no HTTP", "MCP server"),
        (without_end, "sends more than is taken", "list less"),
    ],
)
def test_what_comes_instead_of_a_list_is_told_in_words_with_a_next_step(odd: Odd, wrong: str, next_step: str) -> None:
    with raw_lists(GOOD, odd=odd) as server:
        said = told(server.url)
    assert wrong in said.wrong
    assert next_step in said.next_step


def test_who_isnt_there_or_has_no_address_is_told_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    said = told(f"http://127.0.0.1:{port}/mcp")
    assert "refused" in said.wrong
    assert said.next_step == "start it, or correct its URL"
    assert "no address" in told("https://no-such-host.invalid/mcp").wrong


def test_a_server_without_tls_where_it_is_wanted_is_told_so() -> None:
    with raw_lists(GOOD) as server:
        assert "doesn't speak TLS" in told(server.url.replace("http:", "https:")).wrong


@pytest.mark.parametrize(
    ("content", "mode", "wrong"),
    [
        (None, 0o600, "there is none"),
        ("", 0o600, "is empty"),
        ("Bearer x", 0o644, "others may read this secret; run: chmod 600"),
        ("a\nb", 0o600, "credential"),
        (b"\xff\xfe", 0o600, "credential"),
    ],
)
def test_a_credential_file_that_is_wrong_is_named_with_what_to_do(
    content: str | bytes | None, mode: int, wrong: str, tmp_path: Path
) -> None:
    folder = tmp_path / "crm"
    folder.mkdir()
    if content is not None:
        (folder / "credential").write_bytes(content if isinstance(content, bytes) else content.encode())
        (folder / "credential").chmod(mode)
    with raw_lists(GOOD) as server:
        said = told(server.url, files=tmp_path, credential="authorization")
    assert wrong in said.wrong
    assert "credential" in said.next_step or "that file" in said.next_step
