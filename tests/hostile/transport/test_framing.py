"""Requests that two readers could read differently are no requests."""

from __future__ import annotations

import asyncio

import pytest

from sallyport.pep.model import Answer, Emit, Request
from sallyport.pep.refusal import Reason
from tests.hostile.transport.conftest import Gate
from tests.support.raw_http import BOUND, RawClient, request

CHUNKED = [("Transfer-Encoding", "chunked")]


def head(*lines: str) -> bytes:
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


AMBIGUOUS = {
    "HTTP/1.0": head("POST /mcp HTTP/1.0", "Host: a"),
    "HTTP/2.0": head("POST /mcp HTTP/2.0", "Host: a"),
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no HTTP": b"\x16\x03\x01\x00\xa5\x01\x00\x00",
    "bare LF": b"POST /mcp HTTP/1.1\nHost: a\n\n",
    "upgrade": request(headers=[("Connection", "upgrade"), ("Upgrade", "websocket")]),
    "upgrade alone": request(headers=[("Upgrade", "h2c")]),
    "CONNECT": head("CONNECT a:443 HTTP/1.1", "Host: a:443"),
    "both lengths": request(b"0\r\n\r\n", CHUNKED),
    "two lengths": request(b"abc", [("Content-Length", "3")]),
    "signed length": request(headers=[("Content-Length", "+0")], length=False),
    "gzip, chunked": request(headers=[("Transfer-Encoding", "gzip, chunked")], length=False) + b"0\r\n\r\n",
    "two codings": request(headers=CHUNKED * 2, length=False) + b"0\r\n\r\n",
    "trailer": request(headers=CHUNKED, length=False) + b"0\r\nAuthorization: Bearer x\r\n\r\n",
    "bad chunk": request(headers=CHUNKED, length=False) + b"zz\r\n",
    "huge chunk": request(headers=CHUNKED, length=False) + b"ffffffffffffffffffff\r\n",
    "no Host": head("POST /mcp HTTP/1.1"),
    "two Hosts": request(headers=[("Host", "b")]),
    "empty Host": request(host=""),
    "Host with path": request(host="a/b"),
    "Host with user": request(host="u@a"),
    "Host with space": request(host="a b"),
    "Host list": request(host="a,b"),
    "other authority": request(target="http://evil.test/mcp"),
    "authority with user": request(target="http://localhost@evil.test/mcp"),
    "absolute, other scheme": request(target="ftp://localhost/mcp"),
    "asterisk": request(method="OPTIONS", target="*"),
    "double slash": request(target="//mcp"),
    "inner double slash": request(target="/a//mcp"),
    "encoded slash": request(target="/%2fmcp"),
    "encoded letter": request(target="/%6dcp"),
    "encoded NUL": request(target="/mcp%00"),
    "dot segment": request(target="/./mcp"),
    "double dot": request(target="/health/../mcp"),
    "backslash": request(target="/\\mcp"),
    "parameter": request(target="/mcp;a=b"),
    "fragment": request(target="/mcp#a"),
    "non-ASCII": request(target="/mcp\xe9"),
    "folded header": b"POST /mcp HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
    "space before colon": b"POST /mcp HTTP/1.1\r\nHost : a\r\n\r\n",
    "NUL in a value": b"POST /mcp HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n",
    "unknown expectation": request(headers=[("Expect", "999-else")]),
}


@pytest.mark.parametrize("kind", sorted(AMBIGUOUS))
async def test_n4_an_ambiguous_request_is_a_400_and_closes(gate: Gate, kind: str) -> None:
    running = await gate.start()
    async with RawClient(running.port) as client:
        assert (await client.ask(AMBIGUOUS[kind])).status == 400
        await client.closed()
    await gate.refusals.wait_for(Reason.INVALID_REQUEST)
    assert not gate.requests


@pytest.mark.parametrize("target", ["/mcp", "http://localhost/mcp", "HTTPS://LOCALHOST/mcp", "/mcp?a=%2f"])
async def test_n4_the_routed_path_is_the_one_that_was_written(gate: Gate, target: str) -> None:
    running = await gate.start()
    async with RawClient(running.port) as client:
        assert (await client.ask(request(b"{}", target=target))).status == 200


@pytest.mark.parametrize("target", ["/mcp/", "/MCP", "/mcp/x", "/Mcp", "/"])
async def test_n3_no_alias_of_the_route_is_served_or_redirected(gate: Gate, target: str) -> None:
    running = await gate.start()
    async with RawClient(running.port) as client:
        assert (await client.ask(request(b"{}", target=target))).status == 404
    assert not gate.requests


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT", "PATCH", "OPTIONS", "TRACE"])
async def test_another_method_is_a_405(gate: Gate, method: str) -> None:
    running = await gate.start()
    async with RawClient(running.port) as client:
        reply = await client.ask(request(method=method))
    assert (reply.status, reply.headers["allow"]) == (405, "POST")
    assert not gate.requests


@pytest.mark.parametrize("rest", [request(b"second"), b"\x00garbage", b"\r\n", b"GET", AMBIGUOUS["CONNECT"]])
@pytest.mark.parametrize("together", [True, False])
async def test_n1_of_pipelined_requests_the_first_is_answered_and_none_else_runs(
    gate: Gate, rest: bytes, together: bool
) -> None:
    running = await gate.start()
    started, go = asyncio.Event(), asyncio.Event()

    async def handle(request: Request, emit: Emit) -> Answer:
        started.set()
        await go.wait()
        return await gate.echo(request, emit)

    gate.handle = handle
    async with RawClient(running.port) as client:
        await client.send(request(b"first") + (rest if together else b""))
        await asyncio.wait_for(started.wait(), BOUND)
        await client.send(b"" if together else rest)
        if not (together and rest == b"\r\n"):  # which belongs to no request
            await gate.refusals.wait_for(Reason.INVALID_REQUEST, "pipelined")
        go.set()
        reply = await client.reply()
        assert (reply.status, reply.body) == (200, b"first")
        if gate.refusals.seen:
            assert reply.headers["connection"] == "close"
            assert await client.closed() == b""
    assert [r.body for r in gate.requests] == [b"first"]


async def test_white_space_around_a_value_is_no_part_of_it(gate: Gate) -> None:
    running = await gate.start()
    async with RawClient(running.port) as client:
        assert (await client.ask(request(b"{}", [("Mcp-Name", " \t x \t ")]))).status == 200
    assert (b"mcp-name", b"x") in gate.requests[0].headers


async def test_forwarding_headers_change_neither_address_nor_scheme(gate: Gate) -> None:
    running = await gate.start()
    headers = [("X-Forwarded-For", "10.0.0.1"), ("X-Forwarded-Proto", "https"), ("Forwarded", "for=10.0.0.1")]
    async with RawClient(running.port) as client:
        assert (await client.ask(request(b"{}", headers))).status == 200
    peer = gate.requests[0].peer
    assert (peer.address, peer.secure, peer.certificate) == ("127.0.0.1", False, None)
