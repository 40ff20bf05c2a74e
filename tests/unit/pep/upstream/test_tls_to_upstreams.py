"""TLS to upstreams: the name is checked always, and a new CA or certificate makes a new leg."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sallyport.contract.surfaces import Upstream
from sallyport.pep.model import Reply
from sallyport.pep.upstream import UpstreamUnavailable
from sallyport.pep.upstream.files import Files
from tests.support.pki import Authority, Pair
from tests.support.upstream_leg import Client, Gate, Opponent, echo, leg, until


@asynccontextmanager
async def served(authority: Authority, pair: Pair | None = None) -> AsyncIterator[tuple[Opponent, int]]:
    opponent = Opponent(echo)
    context = authority.server_context(pair, ssl.CERT_NONE)
    server = await asyncio.start_server(opponent, "127.0.0.1", 0, ssl=context)
    try:
        yield opponent, server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await until(lambda: opponent.open == 0)


@asynccontextmanager
async def reached(directory: Path, authority: Authority, port: int) -> AsyncIterator[tuple[Gate, Files]]:
    (directory / "crm").mkdir(exist_ok=True)
    (directory / "crm" / "ca.crt").write_bytes(authority.pem)
    files = Files(directory)
    async with leg(port, tls=files) as upstreams:
        yield Gate(upstreams, Upstream(url=f"https://127.0.0.1:{port}/mcp")), files


async def test_a_server_that_its_ca_vouches_for_is_reached_and_its_connection_kept(tmp_path: Path) -> None:
    authority = Authority()
    async with served(authority) as (opponent, port), reached(tmp_path, authority, port) as (before, _):
        for _ in range(3):
            assert isinstance(await before.ask(), Reply)
        assert opponent.connections == 1


@pytest.mark.parametrize("what", ["another CA", "another name", "expired", "a client's certificate"])
async def test_a_server_that_nobody_vouches_for_is_sent_nothing(tmp_path: Path, what: str) -> None:
    authority, other = Authority(), Authority()
    pair = {
        "another CA": other.server(),
        "another name": authority.server(ips=("127.0.0.2",)),
        "expired": authority.server(begins=-3, ends=-1),
        "a client's certificate": authority.issue("s", ips=("127.0.0.1",)),
    }[what]
    async with served(authority, pair) as (opponent, port), reached(tmp_path, authority, port) as (before, _):
        client = Client()
        with pytest.raises(UpstreamUnavailable):
            await before.ask(client=client)
        assert client.begun == 0
        assert opponent.got == []
        assert "certificate" in before.upstreams.health()["crm"].lower()


async def test_a_ca_that_is_replaced_is_believed_no_longer(tmp_path: Path) -> None:
    authority, other = Authority(), Authority()
    async with served(authority) as (opponent, port), reached(tmp_path, authority, port) as (before, files):
        assert isinstance(await before.ask(), Reply)
        (tmp_path / "crm" / "ca.crt").write_bytes(other.pem)
        files.look()
        files.look()  # a change is taken at the second look that sees it
        with pytest.raises(UpstreamUnavailable):
            await before.ask()
        await until(lambda: opponent.open == 0)
        assert len(opponent.calls()) == 1


async def test_a_cancelled_request_closes_its_connection_over_tls_too(tmp_path: Path) -> None:
    authority = Authority()
    async with served(authority) as (opponent, port), reached(tmp_path, authority, port) as (before, _):

        async def hang(got: object, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()

        opponent.say = hang
        running = asyncio.create_task(before.ask())
        await until(lambda: bool(opponent.calls()))
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await until(lambda: opponent.open == 0, 1)
