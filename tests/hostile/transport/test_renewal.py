"""Certificates and client CAs replaced under real connections: who stays, who has to come again, who is kept out."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography import x509

from sallyport.pep import transport
from sallyport.pep.model import Answer, Emit, Request
from sallyport.pep.transport import Limits
from sallyport.runtime import certificates
from sallyport.runtime.certificates import Certificates
from sallyport.runtime.followed import Followed
from tests.hostile.transport.conftest import Gate
from tests.support.mounted import Tls
from tests.support.pki import Authority, Pair, authority, other_authority
from tests.support.raw_http import BOUND, RawClient, request

OURS, THEIRS = authority(), other_authority()
POLL = 0.02
LIMITS = Limits(receive_seconds=10, idle_seconds=10, linger_seconds=0.1)


class Listener:
    """A listener that follows its Secret."""

    def __init__(self, gate: Gate, mount: Tls, running: transport.Running, followed: Followed[Certificates]) -> None:
        self.gate, self.mount, self.running, self.followed = gate, mount, running, followed
        self.renewed = asyncio.Event()

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(BOUND):
            while not holds():  # noqa: ASYNC110 — a count and a text have no event
                await asyncio.sleep(POLL)

    async def put(self, pair: Pair, *cas: Authority) -> None:
        """Swap the Secret, and wait until it is in force."""
        self.renewed.clear()
        self.mount.put_tls(pair, *cas)
        await asyncio.wait_for(self.renewed.wait(), BOUND)

    async def refuse(self, **files: bytes) -> None:
        self.mount.put(**files)
        await self.until(lambda: bool(self.followed.failure))

    def connect(self, pair: Pair | None = None) -> RawClient:
        return RawClient(self.running.port, OURS.client_context(pair))

    async def presented(self) -> int:
        """The serial number of the certificate that a newcomer is shown."""
        async with self.connect(OURS.client()) as client:
            tls: ssl.SSLObject = client.writer.get_extra_info("ssl_object")
            der = tls.getpeercert(binary_form=True)
            assert der is not None
            return x509.load_der_x509_certificate(der).serial_number


@pytest.fixture(params=["optional", "required"])
async def listener(gate: Gate, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Listener]:
    mount = Tls(tmp_path / "secret")
    mount.put_tls(OURS.server(), OURS, THEIRS)
    followed = certificates.follow(mount.certificate, mount.key, mount.ca, (request.param,))
    running = await gate.start(LIMITS, followed.value.contexts[request.param])

    made = Listener(gate, mount, running, followed)

    def renew(older: Certificates, newer: Certificates) -> None:
        running.renew(newer.contexts[request.param], distrust=newer.drops(older))
        made.renewed.set()

    watch = asyncio.create_task(followed.watch(renew, poll=POLL))
    yield made
    watch.cancel()
    await asyncio.gather(watch, return_exceptions=True)


async def refused(client: RawClient) -> None:
    """In TLS 1.3 the client learns of it when it reads."""
    with pytest.raises(OSError):  # noqa: PT011 — a reset, an end or an alert, as it happens
        async with client:
            await client.ask(request(b"{}"))


async def test_n30_newcomers_meet_the_new_certificate_and_who_is_here_stays(listener: Listener) -> None:
    renewed = OURS.server()
    async with listener.connect(OURS.client()) as kept:
        assert (await kept.ask(request(b"1"))).status == 200
        await listener.put(renewed, OURS, THEIRS)
        assert await listener.presented() == renewed.certificate.serial_number
        reply = await kept.ask(request(b"2"))
        assert (reply.status, reply.body, reply.headers.get("connection")) == (200, b"2", None)


async def test_n30_a_broken_secret_changes_nothing_for_anybody(listener: Listener) -> None:
    serial = await listener.presented()
    good, other = OURS.server(), OURS.server()
    async with listener.connect(OURS.client()) as kept:
        for files in (
            {"tls_crt": good.certificate_pem, "tls_key": other.key_pem, "ca_crt": OURS.pem},
            {"tls_crt": good.certificate_pem, "tls_key": good.key_pem, "ca_crt": b""},
            {"tls_crt": b"", "tls_key": b"", "ca_crt": b""},
        ):
            await listener.refuse(**files)
            assert await listener.presented() == serial
            assert (await kept.ask(request(b"{}"))).status == 200
            await listener.put(OURS.server(), OURS, THEIRS)
            serial = await listener.presented()


async def test_n30_an_added_client_ca_lets_its_clients_in_and_moves_nobody(listener: Listener) -> None:
    await listener.put(OURS.server(), OURS)
    stranger = THEIRS.client()
    async with listener.connect(OURS.client()) as kept:
        assert (await kept.ask(request(b"{}"))).status == 200
        await refused(listener.connect(stranger))
        await listener.put(OURS.server(), OURS, THEIRS)
        async with listener.connect(stranger) as client:
            assert (await client.ask(request(b"{}"))).status == 200
        assert (await kept.ask(request(b"{}"))).status == 200


async def test_n30_a_removed_client_ca_is_not_believed_on_any_connection(listener: Listener) -> None:
    theirs = THEIRS.client()
    async with listener.connect(theirs) as idle, listener.connect(theirs) as silent:
        assert (await idle.ask(request(b"{}"))).status == 200
        await listener.put(OURS.server(), OURS)
        assert await idle.closed() == b""
        assert await silent.closed() == b""  # had a handshake, and no request yet
        await refused(listener.connect(theirs))
        async with listener.connect(OURS.client()) as client:
            assert (await client.ask(request(b"{}"))).status == 200


async def test_n30_what_runs_when_its_client_ca_goes_is_answered_and_is_the_last(listener: Listener) -> None:
    let_go, begun = asyncio.Event(), asyncio.Event()

    async def slow(request: Request, emit: Emit) -> Answer:
        begun.set()
        await let_go.wait()
        return Answer(200, (), request.body)

    listener.gate.handle = slow
    async with listener.connect(THEIRS.client()) as client:
        await client.send(request(b"slow"))
        await asyncio.wait_for(begun.wait(), BOUND)
        await listener.put(OURS.server(), OURS)
        let_go.set()
        reply = await client.reply()
        assert (reply.status, reply.body, reply.headers["connection"]) == (200, b"slow", "close")
        assert await client.closed() == b""


async def test_n30_a_handshake_that_began_under_a_removed_client_ca_ends_without_a_request(listener: Listener) -> None:
    theirs = OURS.client_context(THEIRS.client())
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = theirs.wrap_bio(incoming, outgoing, server_hostname="localhost")
    async with RawClient(listener.running.port) as client:
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        await client.send(outgoing.read())
        incoming.write(await asyncio.wait_for(client.reader.read(65536), BOUND))
        tls.do_handshake()  # the server waits for our certificate now
        await listener.put(OURS.server(), OURS)
        tls.write(request(b"{}"))
        await client.send(outgoing.read())
        incoming.write(await client.closed())
        with contextlib.suppress(ssl.SSLError):
            assert b"200" not in tls.read()
    assert not listener.gate.requests


@pytest.mark.parametrize("listener", ["optional"], indirect=True)
async def test_n30_who_came_without_a_certificate_is_not_moved_by_a_removed_ca(listener: Listener) -> None:
    async with listener.connect() as plain:
        assert (await plain.ask(request(b"{}"))).status == 200
        await listener.put(OURS.server(), OURS)
        assert (await plain.ask(request(b"{}"))).status == 200


async def test_n30_no_call_fails_while_certificates_are_replaced_under_load(listener: Listener) -> None:
    """Pools of kept connections and newcomers together; every second Secret is broken."""
    done, seen = asyncio.Event(), 0

    async def caller(*, pooled: bool) -> None:
        nonlocal seen
        connector = aiohttp.TCPConnector(ssl=OURS.client_context(OURS.client()), force_close=not pooled)
        async with aiohttp.ClientSession(connector=connector) as session:
            while not done.is_set():
                url = f"https://localhost:{listener.running.port}/mcp"
                async with session.post(url, data=b"{}", timeout=aiohttp.ClientTimeout(total=BOUND)) as answer:
                    assert (answer.status, await answer.read()) == (200, b"{}")
                seen += 1

    async def replace() -> int:
        for _ in range(10):
            renewed, key = OURS.server(), OURS.server().key_pem
            await listener.refuse(tls_crt=renewed.certificate_pem, tls_key=key, ca_crt=OURS.pem)
            await listener.put(renewed, OURS, THEIRS)
            count = seen
            await listener.until(lambda count=count: seen > count + 20)  # type: ignore[misc]
        return renewed.certificate.serial_number

    tasks: list[asyncio.Task[Any]] = [asyncio.create_task(caller(pooled=number % 2 == 0)) for number in range(6)]
    try:
        assert await replace() == await listener.presented()
    finally:
        done.set()
        await asyncio.gather(*tasks)
    assert seen > 200
