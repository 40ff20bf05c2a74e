"""Handshakes with real sockets: who gets in, and that every failure is seen."""

from __future__ import annotations

import contextlib
import ssl

import pytest

from sallyport.pep import transport
from sallyport.pep.refusal import Reason
from sallyport.pep.transport import Limits
from tests.hostile.transport.conftest import HURRIED, Gate
from tests.support import pki
from tests.support.raw_http import RawClient, request

BAD = sorted(pki.bad_clients(pki.authority()))


async def refused(port: int, context: ssl.SSLContext) -> None:
    """TLS 1.3: the client thinks that it is connected until it reads."""
    with pytest.raises((ConnectionError, ssl.SSLError)):
        async with RawClient(port, context) as client:
            await client.ask(request(b"{}"))


@pytest.mark.parametrize("mode", ["required", "optional"])
@pytest.mark.parametrize("kind", BAD)
async def test_a_bad_client_certificate_is_refused_and_recorded(gate: Gate, kind: str, mode: str) -> None:
    bad = pki.bad_clients(pki.authority())[kind]
    running = await gate.start(context=gate.context(mode, pki.weak_authority().pem))  # type: ignore[arg-type]
    await refused(running.port, pki.authority().client_context(bad, weak=True))
    await gate.refusals.wait_for(Reason.TLS, "client certificate")
    assert not gate.requests


async def test_no_client_certificate_is_refused_where_one_is_required(gate: Gate) -> None:
    running = await gate.start(context=gate.context())
    await refused(running.port, pki.authority().client_context())
    await gate.refusals.wait_for(Reason.TLS, "peer did not return a certificate")


async def test_the_verified_certificate_reaches_the_request(gate: Gate) -> None:
    running = await gate.start(context=gate.context("optional"))
    pair = pki.authority().client()
    for certificate, expected in ((pair, pair.certificate_der), (None, None)):
        context = pki.authority().client_context(certificate)
        async with RawClient(running.port, context) as client:
            assert (await client.ask(request(b"{}"))).status == 200
        peer = gate.requests.pop().peer
        assert (peer.certificate, peer.secure, peer.address) == (expected, True, "127.0.0.1")


async def test_tls_1_2_is_refused(gate: Gate) -> None:
    running = await gate.start(context=gate.context("none"))
    context = pki.authority().client_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    await refused(running.port, context)
    await gate.refusals.wait_for(Reason.TLS, "unsupported protocol")


@pytest.mark.parametrize("noise", [b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 100, b"\x16\x03\x01\xff\xff" + b"a" * 100])
async def test_noise_in_place_of_a_handshake_is_cut_and_recorded(gate: Gate, noise: bytes) -> None:
    running = await gate.start(context=gate.context())
    async with RawClient(running.port) as client:
        await client.send(noise)
        await client.closed()
        await gate.refusals.wait_for(Reason.TLS)


async def test_n23_a_silent_handshake_is_cut_while_others_are_served(gate: Gate) -> None:
    running = await gate.start(HURRIED, gate.context())
    context = pki.authority().client_context(pki.authority().client())
    async with RawClient(running.port) as silent, contextlib.AsyncExitStack() as stack:
        good = await stack.enter_async_context(RawClient(running.port, context))
        assert (await good.ask(request(b"{}"))).status == 200
        await silent.closed()
    await gate.refusals.wait_for(Reason.TLS, "handshake timeout")


async def test_a_peer_that_leaves_in_mid_handshake_is_recorded(gate: Gate) -> None:
    running = await gate.start(context=gate.context())
    async with RawClient(running.port) as client:
        await client.send(b"\x16\x03\x01\x02\x00\x01")
    await gate.refusals.wait_for(Reason.TLS, "closed")


async def test_plain_http_beyond_loopback_does_not_start(gate: Gate) -> None:
    for listen in ["0.0.0.0:0", "[::]:0", "localhost:0", "10.0.0.1:0"]:
        with pytest.raises(ValueError, match="loopback"):
            await transport.serve(gate.app(Limits()), listen, tls=None, limits=Limits(), on_refused=gate.refusals)


async def test_a_context_below_tls_1_3_does_not_start(gate: Gate) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with pytest.raises(ValueError, match=r"1\.3"):
        await gate.start(context=context)


@pytest.mark.parametrize("listen", ["", "127.0.0.1", ":1", "127.0.0.1:x", "127.0.0.1:70000", "127.0.0.1:-1"])
async def test_a_malformed_address_does_not_start(gate: Gate, listen: str) -> None:
    with pytest.raises(ValueError, match="host:port"):
        await transport.serve(gate.app(Limits()), listen, tls=None, limits=Limits(), on_refused=gate.refusals)
