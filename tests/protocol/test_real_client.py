"""The stock MCP client of the SDK, in both eras, over TLS with the dev CA and a token."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest
from mcp import MCPError
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import TextContent

from tests.support import laptop
from tests.support.laptop import Up

MODES = ("2026-07-28", "legacy", "auto")


@asynccontextmanager
async def connected(running: Up, mode: str, token: str) -> AsyncIterator[Client]:
    trust = ssl.create_default_context(cafile=running.endpoint.ca_file)
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(headers=headers, verify=trust, trust_env=False, timeout=laptop.PATIENCE) as http,
        Client(streamable_http_client(running.endpoint.mcp_url, http_client=http), mode=mode) as client,
    ):
        yield client


@pytest.mark.parametrize("mode", MODES)
async def test_the_stock_client_lists_and_calls(mode: str, sallyport: Up) -> None:
    async with connected(sallyport, mode, laptop.token(sallyport.directory)) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
        assert {"list_files", "read_file", "database_query"} <= names
        read = await client.call_tool("read_file", {"path": "alice/notes.txt"})
        assert not read.is_error
        (block,) = read.content
        assert isinstance(block, TextContent)
        assert block.text == (sallyport.directory / "files/alice/notes.txt").read_text()


@pytest.mark.parametrize("mode", MODES)
async def test_a_denial_is_an_error_with_a_decision_id_and_the_session_lives_on(mode: str, sallyport: Up) -> None:
    async with connected(sallyport, mode, laptop.token(sallyport.directory)) as client:
        with pytest.raises(MCPError) as denied:
            await client.call_tool("read_file", {"path": "bob/notes.txt"})
        assert denied.value.code == -32010
        assert len(denied.value.data["decision_id"]) == 32
        assert not (await client.call_tool("list_files", {"path": "alice"})).is_error


@pytest.mark.parametrize("mode", MODES)
async def test_n9_what_is_listed_differs_by_caller_and_what_is_hidden_is_denied(mode: str, sallyport: Up) -> None:
    token = laptop.token(sallyport.directory, roles=("guest",))
    async with connected(sallyport, mode, token) as client:
        assert (await client.list_tools()).tools == []
        answers = []
        for name in ("read_file", "there_is_no_such_tool"):
            with pytest.raises(MCPError) as denied:
                await client.call_tool(name, {"path": "alice/notes.txt"})
            answers.append((denied.value.code, denied.value.message, sorted(denied.value.data)))
        assert answers[0] == answers[1], "a hidden tool must look like none"


@pytest.mark.parametrize("mode", MODES)
async def test_wrong_arguments_are_told_to_whom_the_tool_is_visible(mode: str, sallyport: Up) -> None:
    async with connected(sallyport, mode, laptop.token(sallyport.directory)) as client:
        result = await client.call_tool("read_file", {"path": 7})
        assert result.is_error
        (block,) = result.content
        assert isinstance(block, TextContent)
        assert "/path" in block.text
