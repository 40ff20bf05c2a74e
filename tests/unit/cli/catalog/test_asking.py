"""What an operator is told of an upstream that can't be listed: what is wrong, and what to do."""

from __future__ import annotations

import asyncio
from asyncio import StreamReader, StreamWriter
from pathlib import Path
from typing import Final

import pytest

from sallyport.cli.catalog.asking import Means, ask
from sallyport.cli.complaint import Complaint, Exit
from sallyport.contract.surfaces import Upstream
from tests.support.fake_server import Handler, fake_server
from tests.support.upstream_leg import MODERN, Got, Opponent, http

BARE: Final = Means()


def refusing(status: int) -> Handler:
    async def handle(reader: StreamReader, writer: StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()

    return handle


async def hanging_up(reader: StreamReader, writer: StreamWriter) -> None:
    await reader.read(1)


async def complaint(handle: Handler, means: Means = BARE, scheme: str = "http", **fields: str) -> Complaint:
    async with fake_server(handle) as port:
        upstream = Upstream.model_validate({"url": f"{scheme}://127.0.0.1:{port}/mcp", **fields})
        with pytest.raises(Complaint) as told:
            await asyncio.to_thread(ask, "crm", upstream, means)
    return told.value


async def test_a_connection_that_breaks_without_a_word_is_told_by_its_kind() -> None:
    told = await complaint(hanging_up, scheme="https")
    assert told.code is Exit.UNAVAILABLE
    assert told.wrong.endswith("it hung up before its answer was there")


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("era", ["2025-11-25", "2026-07-28", "auto"])
async def test_who_wants_a_credential_is_written_into_the_catalog_with_one_first(status: int, era: str) -> None:
    told = await complaint(refusing(status), era=era)
    assert f"HTTP {status}" in told.wrong
    assert "`credential: authorization`" in told.next_step
    assert "crm/credential" in told.next_step


async def test_who_refuses_the_credential_it_gets_is_to_get_a_better_one(tmp_path: Path) -> None:
    (tmp_path / "crm").mkdir()
    (tmp_path / "crm/credential").write_text("Bearer old")
    (tmp_path / "crm/credential").chmod(0o600)
    told = await complaint(refusing(401), Means(files=tmp_path), credential="authorization")
    assert "HTTP 401" in told.wrong
    assert told.next_step.startswith(f"correct the value of authorization in {tmp_path}/crm/credential")


async def test_a_list_of_which_parsers_see_different_halves_is_to_be_corrected_by_the_server() -> None:
    async def say(got: Got, _: StreamReader, writer: StreamWriter) -> None:
        writer.write(http(b'{"jsonrpc":"2.0","id":%d,"result":{"tools":["\xff"]}}' % got.id))

    told = await complaint(Opponent(say), era=MODERN)
    assert "invalid UTF-8" in told.wrong
    assert told.next_step.startswith("have the server corrected: whole JSON")


async def test_a_server_that_only_fails_needs_no_credential() -> None:
    told = await complaint(refusing(500))
    assert "`credential:" not in told.next_step
