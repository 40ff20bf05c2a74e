"""Servers that others wrote, behind the bridge and confined, asked by the SDK's client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import TextContent

from tests.real.conftest import Place


@asynccontextmanager
async def connected(place: Place) -> AsyncIterator[Client]:
    url, token_file = place
    headers = {} if token_file is None else {"Authorization": token_file.read_text()}
    async with (
        httpx2.AsyncClient(headers=headers, trust_env=False, timeout=60) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):
        yield client


async def _names(client: Client) -> set[str]:
    return {tool.name for tool in (await client.list_tools()).tools}


async def _text(client: Client, tool: str, **arguments: object) -> str:
    result = await client.call_tool(tool, arguments)
    (block, *_) = result.content
    assert isinstance(block, TextContent)
    return block.text


async def test_server_filesystem_reads_and_can_not_write(filesystem_url: Place, folder: Path) -> None:
    async with connected(filesystem_url) as client:
        assert len(await _names(client)) == 14
        assert await _text(client, "read_text_file", path=str(folder / "hello.txt")) == "hello from a file\n"
        written = await client.call_tool("write_file", {"path": str(folder / "new.txt"), "content": "x"})
        assert written.is_error
    assert not (folder / "new.txt").exists()


async def test_mcp_server_git_reads_a_repository(git_url: Place, folder: Path) -> None:
    async with connected(git_url) as client:
        assert len(await _names(client)) == 12
        assert "first" in await _text(client, "git_log", repo_path=str(folder))


async def test_github_mcp_server_lists_its_tools(github_url: Place) -> None:
    async with connected(github_url) as client:
        assert {"get_file_contents", "create_issue", "issue_write"} & await _names(client)
        assert len(await _names(client)) == 44


async def test_server_everything_answers_in_every_kind(everything_url: Place) -> None:
    async with connected(everything_url) as client:
        assert len(await _names(client)) == 13
        assert "hello" in await _text(client, "echo", message="hello")
        assert (await client.list_prompts()).prompts
        assert (await client.list_resources()).resources
