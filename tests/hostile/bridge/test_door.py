"""Who gets in, and how much of anything."""

from __future__ import annotations

import contextlib
import io
import socket
import stat
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest

from sallyport.cli.__main__ import main
from tests.hostile.bridge.conftest import Start
from tests.support.bridge import Bridge, Mcp, command, session, until

HELLO = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-11-25"}}
PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}


def _refused(tmp_path: Path, *options: str, token: Path | None = None) -> str:
    """What is said to the operator."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        code = main(command(*options, "--", "/bin/true", token_file=token or tmp_path / "token")[3:])
    assert code == 2, said.getvalue()
    assert "next:" in said.getvalue()
    return said.getvalue()


@pytest.mark.parametrize("given", [None, "", "Bearer", "Bearer x", "Basic {}", "bearer {}", "Bearer {}x", "Bearer é{}"])
def test_without_the_token_nobody_gets_in(shared: Bridge, given: str | None) -> None:
    secret = shared.token_file.read_text().removeprefix("Bearer ")
    headers = {} if given is None else {b"Authorization": given.format(secret).encode()}
    with httpx2.Client() as http:
        for method in ("POST", "GET", "DELETE", "OPTIONS"):
            answer = http.request(method, shared.url, headers=headers, json=HELLO)
            assert answer.status_code == 401, (method, answer.text)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:{port}",
        "127.0.0.1",
        "127.0.0.1:1",
        "127.0.0.1.evil.example:{port}",
        "0.0.0.0:{port}",
    ],
)
def test_a_name_that_was_rebound_to_us_is_refused(shared: Bridge, host: str) -> None:
    port = urlsplit(shared.url).port
    with shared.client(Host=host.format(port=port)) as http:
        assert http.post(shared.url, json=HELLO).status_code == 403


@pytest.mark.parametrize("origin", ["null", "http://evil.example", "http://127.0.0.1"])
def test_no_web_page_gets_in_even_with_the_token(shared: Bridge, origin: str) -> None:
    with shared.client(Origin=origin) as http:
        assert http.post(shared.url, json=HELLO).status_code == 403


def test_a_repeated_header_is_no_way_in(shared: Bridge) -> None:
    right = shared.token_file.read_text()
    with httpx2.Client() as http:
        answer = http.post(shared.url, json=HELLO, headers=[("Authorization", right), ("Authorization", "Bearer x")])
    assert answer.status_code == 400


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "192.0.2.1:80", "example.com:80", "8000"])
def test_it_listens_on_nothing_but_loopback(tmp_path: Path, listen: str) -> None:
    assert "--listen" in _refused(tmp_path, "--listen", listen)


def test_n7_the_token_is_made_at_random_and_for_its_owner_alone(opponent: Start) -> None:
    running = opponent()
    written = running.token_file.read_text()
    assert len(written) >= len("Bearer ") + 43
    assert stat.S_IMODE(running.token_file.stat().st_mode) == 0o600
    command_line = Path(f"/proc/{running.process.pid}/cmdline").read_bytes()
    assert written.encode() not in command_line


@pytest.mark.parametrize(
    ("content", "mode"), [("", 0o600), ("Bearer short", 0o600), ("x" * 64, 0o600), ("Bearer " + "x" * 43, 0o644)]
)
def test_a_weak_or_open_token_file_stops_the_start(tmp_path: Path, content: str, mode: int) -> None:
    token = tmp_path / "weak"
    token.write_text(content)
    token.chmod(mode)
    _refused(tmp_path, token=token)
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "nowhere")
    _refused(tmp_path, token=link)
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    "options", [("--env", "NOT_SET_HERE"), ("--env", "A-B=1"), ("--env", "=1"), ("--cwd", "/nowhere")]
)
def test_a_wrong_option_stops_the_start(tmp_path: Path, options: tuple[str, ...]) -> None:
    _refused(tmp_path, *options)


def test_strangers_are_cut_and_take_no_place(opponent: Start) -> None:
    running = opponent()
    parts = urlsplit(running.url)
    crowd = [socket.create_connection((parts.hostname or "", parts.port or 0)) for _ in range(200)]
    try:
        crowd[-1].sendall(b"POST /mcp HTTP/1.1\r\n")
        with session(running) as mcp:
            assert mcp.call("echo", value=1)["arguments"] == {"value": 1}
        for stranger in crowd:
            stranger.settimeout(20)
            try:
                assert stranger.recv(1) == b""
            except ConnectionResetError:
                continue
    finally:
        for stranger in crowd:
            stranger.close()


def test_sessions_are_bounded_and_their_places_come_back(opponent: Start) -> None:
    running = opponent("--sessions", "2")
    with running.client() as http, session(running) as first, session(running):
        third = Mcp(http, running.url)
        assert third.begin().status_code == 503
        first.end()
        until(lambda: third.begin().status_code == 200, "the place didn't come back")
        assert third.end().status_code == 204


def test_a_body_over_the_cap_is_refused_also_without_a_length(shared: Bridge) -> None:
    with shared.client(**{"Content-Type": "application/json"}) as http:
        too_long = b" " * ((1 << 20) + 1)
        assert http.post(shared.url, content=too_long).status_code == 413
        assert http.post(shared.url, content=iter([too_long])).status_code == 413
        assert http.post(shared.url, content=b"{}", headers={"Content-Encoding": "gzip"}).status_code == 415


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"[" * 100, b"null", b'{"jsonrpc":"2.0"}', b'{"jsonrpc":"1.0","id":1,"method":"ping"}', b"[%s]" % b'{"jsonrpc":"2.0","id":1,"method":"ping"}',
     b'{"jsonrpc":"2.0","id":null,"method":"ping"}', b'{"jsonrpc":"2.0","id":true,"method":"ping"}', b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}',
     b'{"jsonrpc":"2.0","id":1,"result":{}}', b'{"jsonrpc":"2.0","id":1,"method":"ping","Method":"x"}', b'{"jsonrpc":"2.0","id":1,"method":"ping","method":"x"}',
     b'{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}', b'{"jsonrpc":"2.0","id":1,"method":7}', b"\xff", b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":NaN}}'],
)  # fmt: skip
def test_n14_what_is_no_single_request_or_notification_is_refused(shared: Bridge, body: bytes) -> None:
    with session(shared) as mcp:
        headers = {**mcp.headers, "Content-Type": "application/json"}
        answer = mcp.http.post(mcp.url, content=body, headers=headers)
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] in {-32700, -32600}
        assert len(mcp.call("messages")) == 2  # initialize and initialized: nothing of it reached the server


def test_a_request_outside_a_session_reaches_no_server(opponent: Start) -> None:
    running = opponent()
    with running.client() as http:
        assert http.post(running.url, json=PING).status_code == 400
        for given in (b"x", "é".encode(), b"x" * 4000):
            assert http.post(running.url, json=PING, headers={b"Mcp-Session-Id": given}).status_code == 404
        assert (
            http.post(running.url, json=PING, headers=[("Mcp-Session-Id", "a"), ("Mcp-Session-Id", "b")]).status_code
            == 400
        )
        assert http.get(running.url, headers={"Mcp-Session-Id": "x"}).status_code == 404
        assert http.post(f"{running.url}/", json=HELLO).status_code == 404
        assert http.put(running.url, json=HELLO).status_code == 405
        assert http.post(running.url, json=HELLO, headers={"Content-Type": "text/plain"}).status_code == 415
        assert http.post(running.url, json=HELLO, headers={"Mcp-Session-Id": "x"}).status_code == 400
    assert running.logged() == []


def test_a_version_that_stdio_servers_do_not_speak_is_told_as_mcp_says(shared: Bridge) -> None:
    with shared.client(**{"MCP-Protocol-Version": "2026-07-28"}) as http:
        answer = http.post(shared.url, json=HELLO)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, -32022)
    assert "2025-11-25" in answer.json()["error"]["data"]["supported"]
