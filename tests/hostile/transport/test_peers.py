"""Whoever comes is known by their own address, whichever socket took them: policies, records and limits go by it."""

from __future__ import annotations

import asyncio

import pytest

from sallyport.pep import transport
from sallyport.pep.refusal import Reason
from tests.hostile.transport.conftest import LIMITS, Gate
from tests.support import pki
from tests.support.raw_http import BOUND, RawClient, request


@pytest.mark.parametrize(
    ("listen", "hosts"), [("[::]:0", ("127.0.0.1", "::1")), ("0.0.0.0:0", ("127.0.0.1",)), ("[::1]:0", ("::1",))]
)
async def test_ipv4_and_ipv6_clients_are_both_taken_and_known_by_their_own_address(
    gate: Gate, listen: str, hosts: tuple[str, ...]
) -> None:
    served = gate.context("none")
    running = await transport.serve(gate.app(LIMITS), listen, tls=served, limits=LIMITS, on_refused=gate.refusals)
    gate._running.append(running)
    trust = pki.authority().client_context()
    for host in hosts:
        async with RawClient(running.port, trust, host) as client:
            assert (await client.ask(request(b"{}"))).status == 200
        assert gate.requests[-1].peer.address == host
        _, writer = await asyncio.open_connection(host, running.port)
        writer.write(b"no hello at all")
        async with asyncio.timeout(BOUND):
            while gate.refusals.seen[-1:] == [] or gate.refusals.seen[-1][2] != host:  # noqa: ASYNC110 — the other side's state
                await asyncio.sleep(0.005)
        assert gate.refusals.seen[-1][0] is Reason.TLS
        writer.transport.abort()
