"""Which era an upstream speaks is found out once, from what it says and never from an outage."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from sallyport.pep.model import Failed, Reply
from sallyport.pep.upstream import UpstreamUnavailable
from tests.support.fake_server import fake_server
from tests.support.upstream_leg import LEGACY, MODERN, Client, Got, Opponent, Say, against, answer, echo, gate, http

Discovered = Callable[[Got], bytes]


def error(code: int, status: str = "200 OK", identity: Any = None, **data: Any) -> Discovered:
    def said(got: Got) -> bytes:
        told = {"code": code, "message": "no", **({"data": data} if data else {})}
        return http(json.dumps({"jsonrpc": "2.0", "id": identity or got.id, "error": told}).encode(), status=status)

    return said


def _answering(discovered: Discovered) -> Say:
    async def say(request: Got, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(discovered(request) if request.method == "server/discover" else answer(request, {"content": []}))

    return say


class Undecided(Opponent):
    """Leaves discovery to the test."""

    def first(self, request: Got) -> bytes:
        return b"" if request.method == "server/discover" else super().first(request)


async def met(discovered: Discovered, asked: str = "auto", era: str = LEGACY) -> tuple[Reply | Failed, Undecided]:
    opponent = Undecided(_answering(discovered), era)
    async with fake_server(opponent) as port, gate(port, asked) as before:
        return await before.ask(), opponent


@pytest.mark.parametrize(
    "discovered",
    [
        lambda _: http(b"Bad Request: no session", "text/plain", "400 Bad Request"),
        lambda _: http(b"", "text/plain", "404 Not Found"),
        lambda _: http(b"", "text/plain", "405 Method Not Allowed"),
        lambda _: http(b"<html>", "text/html", "406 Not Acceptable"),
        error(-32601),
        error(-32601, "404 Not Found"),
        error(-32600, "400 Bad Request"),
        error(-32000, "400 Bad Request", "server-error"),
        error(-32022, "400 Bad Request", supported=[LEGACY], requested=MODERN),
        error(-32022, "400 Bad Request"),
        lambda got: answer(got, {"supportedVersions": [LEGACY]}),
        lambda got: answer(got, {"whatever": 1}),
        lambda _: http(b"[]"),
        lambda _: http(b"not json"),
    ],
)
async def test_what_shows_no_modern_server_is_shaken_hands_with(discovered: Discovered) -> None:
    found, opponent = await met(discovered)
    assert found == Reply({"content": []})
    assert [got.method for got in opponent.got] == [
        "server/discover",
        "initialize",
        "notifications/initialized",
        "tools/call",
    ]
    assert opponent.got[1].message["params"]["protocolVersion"] == LEGACY
    assert "mcp-protocol-version" not in opponent.got[1].headers


@pytest.mark.parametrize(
    "discovered",
    [
        lambda _: http(b"", "text/plain", "401 Unauthorized"),
        lambda _: http(b"", "text/plain", "403 Forbidden"),
        lambda _: http(b"", "text/plain", "429 Too Many Requests"),
        lambda _: http(b"", "text/plain", "503 Service Unavailable"),
        lambda _: http(b"", "text/plain", "307 Temporary Redirect"),
        error(-32022, "400 Bad Request", supported=["2027-01-01"], requested=MODERN),
    ],
)
async def test_an_outage_or_a_closed_door_says_nothing_of_the_era(discovered: Discovered) -> None:
    opponent = Undecided(_answering(discovered), LEGACY)
    async with fake_server(opponent) as port, gate(port) as before:
        client = Client()
        with pytest.raises(UpstreamUnavailable):
            await before.ask(client=client)
        assert before.upstreams.health()["crm"]
    assert not opponent.calls("initialize")
    assert client.begun == 0


async def test_an_era_that_the_catalog_names_is_the_only_one_tried() -> None:
    async with against(echo, LEGACY, asked=LEGACY) as (before, opponent):
        await before.ask()
        assert not opponent.calls("server/discover")
    async with against(echo, LEGACY, asked=MODERN) as (before, opponent):
        with pytest.raises(UpstreamUnavailable):
            await before.ask()
        assert not opponent.calls("initialize")


async def test_an_upstream_that_changes_its_era_is_asked_again() -> None:
    async with against(echo) as (before, opponent):
        await before.ask()

        async def changed(request: Got, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if "mcp-method" in request.headers:
                writer.write(error(-32022, "400 Bad Request", supported=[LEGACY])(request))
            else:
                writer.write(answer(request, {"content": []}))

        opponent.era, opponent.say = LEGACY, changed
        assert isinstance(await before.ask(), Failed)
        assert await before.ask() == Reply({"content": []})


@pytest.mark.parametrize("version", ["2024-11-05", "2025-03-26", "2025-06-18", LEGACY])
async def test_an_older_handshake_is_taken_and_its_version_repeated(version: str) -> None:
    class Older(Opponent):
        def first(self, request: Got) -> bytes:
            if request.method == "initialize":
                return answer(request, {"protocolVersion": version, "capabilities": {}})
            return super().first(request)

    opponent = Older(echo, LEGACY)
    async with fake_server(opponent) as port, gate(port) as before:
        await before.ask()
    assert opponent.got[-1].headers["mcp-protocol-version"] == version


@pytest.mark.parametrize("version", ["2026-07-28", "1999-01-01", "", 7, None])
async def test_a_handshake_in_no_revision_that_we_know_is_refused(version: Any) -> None:
    class Odd(Opponent):
        def first(self, request: Got) -> bytes:
            if request.method == "initialize":
                return answer(request, {"protocolVersion": version, "capabilities": {}})
            return super().first(request)

    opponent = Odd(echo, LEGACY)
    async with fake_server(opponent) as port, gate(port) as before:
        with pytest.raises(UpstreamUnavailable):
            await before.ask()
    assert not opponent.calls()
