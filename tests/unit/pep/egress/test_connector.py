"""What is connected is what was checked, whatever resolvers, redirects, variables or single requests say."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from sallyport.pep.egress import Egress, EgressRefused
from sallyport.pep.settings import EgressEntry
from sallyport.runtime import tls as own_tls
from tests.support import pki
from tests.unit.pep.egress.support import Liar, Web, egress, get, web

HERE = ("127.0.0.0/8",)
pytestmark = pytest.mark.allow_hosts(["127.0.0.0/8", "::1"])


@contextmanager
def socket_that_is_full() -> Iterator[int]:
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        port: int = listener.getsockname()[1]
        for _ in range(4):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", port))
        yield port


async def test_a_listed_literal_is_reached_without_a_lookup() -> None:
    liar = Liar(["8.8.8.8"])
    async with web() as (server, port):
        assert await get(egress(liar, f"127.0.0.1:{port}"), f"http://127.0.0.1:{port}/x") == 204
    assert len(server.heads) == 1
    assert not liar.asked


async def test_localhost_is_reached_on_this_machine() -> None:
    async with web() as (server, port):
        gate = Egress([EgressEntry(destination=f"localhost:{port}")])  # by the machine's own resolver
        assert await get(gate, f"http://localhost:{port}/") == 204
    assert server.heads[0].splitlines()[1] == f"Host: localhost:{port}"


async def test_n19_a_destination_that_is_not_listed_is_not_even_looked_up() -> None:
    liar = Liar(["8.8.8.8"])
    with pytest.raises(EgressRefused, match=r"doesn't list other\.test:443"):
        egress(liar, "crm.test:443").connector("https://other.test/", tls=ssl.create_default_context(), limit=1)
    with pytest.raises(EgressRefused, match=r"doesn't list crm\.test:8443"):
        egress(liar, "crm.test:443").connector("https://crm.test:8443/", tls=ssl.create_default_context(), limit=1)
    assert not liar.asked


async def test_n19_an_empty_list_allows_nothing() -> None:
    with pytest.raises(EgressRefused):
        Egress([]).connector("http://127.0.0.1:3000/", tls=None, limit=1)


async def test_n19_one_unlisted_address_among_several_refuses_all() -> None:
    async with web() as (server, port):
        for answer in (["127.0.0.1", "8.8.8.8"], ["8.8.8.8", "127.0.0.1"], ["127.0.0.1", "::1"], ["127.0.0.1", "x"]):
            gate = egress(Liar(answer), f"crm.test:{port}", networks=("127.0.0.1/32",))
            with pytest.raises(EgressRefused, match="resolves to"):
                await get(gate, f"http://crm.test:{port}/")
    assert not server.heads


async def test_n19_a_name_that_is_rebound_is_looked_up_once_and_the_checked_address_connected() -> None:
    """The second answer is this machine's, which nobody listed: it must not be asked for between check and connect."""
    async with web() as (server, port):
        liar = Liar(["127.0.0.1"], ["127.0.0.2"])
        gate = egress(liar, f"crm.test:{port}", networks=("127.0.0.1/32",))
        assert await get(gate, f"http://crm.test:{port}/") == 204
        assert liar.asked == [("crm.test", port)]
        with pytest.raises(EgressRefused, match=r"127\.0\.0\.2"):
            await get(gate, f"http://crm.test:{port}/")
    assert len(server.heads) == 1


async def test_n19_an_address_is_checked_once_more_where_its_socket_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever way aiohttp takes to an address, as it does for literals without asking a resolver."""
    async with web() as (server, port):
        gate = egress(Liar(["127.0.0.2"]), f"crm.test:{port}", networks=("127.0.0.2/32",))
        connector = gate.connector(f"http://crm.test:{port}/", tls=None, limit=1)

        async def another(*_: object, **__: object) -> list[object]:
            return [{"hostname": "crm.test", "host": "127.0.0.1", "port": port, "family": 2, "proto": 6, "flags": 0}]

        monkeypatch.setattr(connector, "_resolve_host", another)
        async with aiohttp.ClientSession(connector=connector) as session:
            with pytest.raises(EgressRefused, match=r"127\.0\.0\.1"):
                await session.get(f"http://crm.test:{port}/")
    assert not server.heads


async def test_n19_a_redirect_is_not_followed_elsewhere_even_where_that_is_listed_too() -> None:
    async with web() as (server, port), web() as (other, further):
        server.answer = (
            f"HTTP/1.1 307 Go\r\nlocation: http://127.0.0.1:{further}/\r\ncontent-length: 0\r\n\r\n".encode()
        )
        gate = egress(Liar([]), f"127.0.0.1:{port}", f"127.0.0.1:{further}")
        with pytest.raises(EgressRefused, match="another place"):
            await get(gate, f"http://127.0.0.1:{port}/")
    assert (len(server.heads), other.heads) == (1, [])


@pytest.mark.parametrize("trust_env", [False, True])
async def test_n19_proxy_variables_move_nothing(monkeypatch: pytest.MonkeyPatch, *, trust_env: bool) -> None:
    async with web() as (server, port), web() as (proxy, proxy_port):
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy_port}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        url = f"http://127.0.0.1:{port}/"
        connector = egress(Liar([]), f"127.0.0.1:{port}").connector(url, tls=None, limit=1)
        async with aiohttp.ClientSession(connector=connector, trust_env=trust_env) as session:
            if trust_env:  # what a caller must not do isn't possible either
                with pytest.raises(EgressRefused):
                    await session.get(url)
            else:
                await session.get(url)
    assert not proxy.heads
    assert len(server.heads) == (0 if trust_env else 1)


@pytest.mark.parametrize("how", [{"ssl": False}, {"server_hostname": "other.test"}, {"proxy": "http://127.0.0.1:1"}])
async def test_n20_a_single_request_cannot_loosen_what_the_connector_holds_to(how: dict[str, Any]) -> None:
    async with web() as (server, port):
        with pytest.raises(EgressRefused):
            await get(egress(Liar([]), f"127.0.0.1:{port}"), f"http://127.0.0.1:{port}/", **how)
    assert not server.heads


async def test_plain_http_stays_on_this_machine_and_https_needs_a_context() -> None:
    liar = Liar(["8.8.8.8"])
    for url, tls in (
        ("http://crm.test:80/", None),
        ("https://crm.test/", None),
        ("http://127.0.0.1:80/", ssl.create_default_context()),
    ):
        with pytest.raises(EgressRefused):
            egress(liar, "crm.test:80", "crm.test:443", "127.0.0.1:80").connector(url, tls=tls, limit=1)
    assert not liar.asked


async def test_the_server_is_asked_for_and_held_to_the_name_of_the_url(tmp_path: Path) -> None:
    ca = tmp_path / "ca.crt"
    ca.write_bytes(pki.authority().pem)
    seen: list[str | None] = []
    for name, fits in (("crm.test", True), ("other.test", False)):
        context = pki.authority().server_context(pki.authority().server((name,)), ssl.CERT_NONE)
        context.sni_callback = lambda _socket, asked, _context: seen.append(asked)
        server = Web()
        listening = await asyncio.start_server(server, "127.0.0.1", 0, ssl=context)
        async with listening:
            port = listening.sockets[0].getsockname()[1]
            gate = egress(Liar(["127.0.0.1"]), f"crm.test:{port}", networks=HERE)
            url = f"https://crm.test:{port}/mcp"
            if fits:
                assert await get(gate, url, tls=own_tls.client_context(ca)) == 204
                assert server.heads[0].splitlines()[:2] == ["GET /mcp HTTP/1.1", f"Host: crm.test:{port}"]
            else:
                with pytest.raises(aiohttp.ClientConnectorCertificateError):
                    await get(gate, url, tls=own_tls.client_context(ca))
                assert not server.heads
    assert seen == ["crm.test", "crm.test"]


async def test_connections_of_one_moment_share_a_lookup_and_failures_are_not_kept() -> None:
    async with web() as (server, port):
        liar = Liar(OSError(errno.EAGAIN, "no resolver"), ["127.0.0.1"])
        connector = egress(liar, f"crm.test:{port}", networks=HERE).connector(
            f"http://crm.test:{port}/", tls=None, limit=4
        )
        async with aiohttp.ClientSession(connector=connector) as session:
            with pytest.raises(aiohttp.ClientConnectorDNSError):
                await session.get(f"http://crm.test:{port}/")
            await asyncio.gather(*(session.get(f"http://crm.test:{port}/") for _ in range(4)))
    assert len(server.heads) == 4
    assert len(liar.asked) == 2


async def test_n23_a_resolver_that_hangs_holds_one_thread_and_nobody_else() -> None:
    go_on = threading.Event()

    def hangs(host: str, _port: int) -> list[str]:
        if host == "slow.test":
            go_on.wait(60)
        return ["127.0.0.1"]

    async with web() as (_, port):
        entries = [EgressEntry(destination=f"{host}.test:{port}", networks=HERE) for host in ("slow", "quick")]
        gate = Egress(entries, lookup=hangs)
        url = f"http://slow.test:{port}/"
        try:
            async with aiohttp.ClientSession(connector=gate.connector(url, tls=None, limit=9, seconds=0.2)) as session:
                for _ in range(3):  # each time a few at once; none of them begins another thread
                    began = time.monotonic()
                    found = await asyncio.gather(*(session.get(url) for _ in range(3)), return_exceptions=True)
                    assert all(isinstance(each, aiohttp.ClientConnectorDNSError) for each in found)
                    assert time.monotonic() - began < 5
                assert sum(thread.name == "lookup" for thread in threading.enumerate()) == 1
            assert await get(gate, f"http://quick.test:{port}/") == 204
        finally:
            go_on.set()


async def test_what_does_not_accept_is_given_up_in_time() -> None:
    """A listener whose queue is full answers nothing; it stands for a black hole."""
    with socket_that_is_full() as port:
        gate = egress(Liar(["127.0.0.1"]), f"crm.test:{port}", networks=HERE)
        connector = gate.connector(f"http://crm.test:{port}/", tls=None, limit=1, seconds=0.2)
        async with aiohttp.ClientSession(connector=connector) as session:
            began = time.monotonic()
            with pytest.raises(TimeoutError):
                await session.get(f"http://crm.test:{port}/")
            assert time.monotonic() - began < 5


def test_addresses_for_what_dials_itself_are_checked_too() -> None:
    gate = egress(Liar(["127.0.0.1"], ["127.0.0.1", "8.8.8.8"], []), "otel.test:4317", networks=HERE)
    assert gate.addresses("https://otel.test:4317") == ["127.0.0.1"]
    for _ in range(2):
        with pytest.raises(EgressRefused):
            gate.addresses("https://otel.test:4317")
    with pytest.raises(EgressRefused, match="doesn't list"):
        gate.addresses("https://otel.test:4318")
