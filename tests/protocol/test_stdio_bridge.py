"""A stdio server on the SDK behind the bridge, asked by the SDK's client."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import TextContent, TextResourceContents

from tests.support.bridge import Bridge, alive, bridge, until

MODES = ("auto", "legacy")


@pytest.fixture(scope="module")
def bridged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    script = Path(__file__).parents[1] / "support" / "stdio_server.py"
    with bridge(tmp_path_factory.mktemp("sdk"), [sys.executable, str(script)], "--read-only") as running:
        yield running


@asynccontextmanager
async def connected(
    running: Bridge, mode: str, *heard: Callable[[httpx2.Response], Awaitable[None]]
) -> AsyncIterator[Client]:
    headers = {"Authorization": running.token_file.read_text()}
    hooks = {"response": [*heard]}
    async with (
        httpx2.AsyncClient(headers=headers, trust_env=False, timeout=60, event_hooks=hooks) as http,
        Client(streamable_http_client(running.url, http_client=http), mode=mode) as client,
    ):
        yield client


async def _text(client: Client, tool: str, **arguments: int) -> str:
    result = await client.call_tool(tool, arguments)
    (block,) = result.content
    assert isinstance(block, TextContent)
    return block.text


@pytest.mark.parametrize("mode", MODES)
async def test_the_stock_client_lists_calls_reads_and_prompts(bridged: Bridge, mode: str) -> None:
    async with connected(bridged, mode) as client:
        assert {tool.name for tool in (await client.list_tools()).tools} == {"add", "count", "wait", "waiting", "fail"}
        assert await _text(client, "add", a=2, b=3) == "5"
        assert (await client.call_tool("fail", {})).is_error
        (content,) = (await client.read_resource("note://today")).contents
        assert isinstance(content, TextResourceContents)
        assert content.text == "a note named today"
        prompt = await client.get_prompt("greet", {"name": "Ada"})
        assert isinstance(prompt.messages[0].content, TextContent)
        assert prompt.messages[0].content.text == "Greet Ada."


async def test_progress_comes_in_order_before_the_answer(bridged: Bridge) -> None:
    heard: list[float] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append(progress)

    async with connected(bridged, "legacy") as client:
        await client.call_tool("count", {"to": 20}, progress_callback=hear)
        assert heard == [*range(20)]


async def test_each_session_has_a_process_of_its_own_that_ends_with_it(bridged: Bridge) -> None:
    async with connected(bridged, "legacy") as one, connected(bridged, "legacy") as other:
        texts = await asyncio.gather(_text(one, "count", to=1), _text(other, "count", to=1), _text(one, "count", to=1))
        first, second, again = (int(re.findall(r"\d+", text)[-1]) for text in texts)
        assert first == again != second
    await asyncio.to_thread(until, lambda: not alive(first) and not alive(second), "a server outlived its session")


async def test_a_call_that_is_given_up_leaves_the_session_usable(bridged: Bridge) -> None:
    ended: asyncio.Queue[httpx2.Response] = asyncio.Queue()

    async def hear(response: httpx2.Response) -> None:
        if b'"wait"' in response.request.content:
            ended.put_nowait(response)

    async with connected(bridged, "legacy", hear) as client, asyncio.timeout(60):
        call = asyncio.create_task(client.call_tool("wait", {}))
        while await _text(client, "waiting") == "0":
            pass  # until the server has it: it can't give up what it hasn't got
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        given_up = await ended.get()  # its exchange ends with it, and not with the session
        assert given_up.headers["content-type"] == "text/event-stream"
        assert await _text(client, "add", a=1, b=1) == "2"


async def test_a_client_may_go_as_soon_as_it_has_given_a_call_up(bridged: Bridge) -> None:
    async with connected(bridged, "legacy") as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await client.call_tool("wait", {})
