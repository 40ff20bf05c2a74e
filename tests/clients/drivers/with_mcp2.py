"""mcp 2.x: `with_mcp2.py URL MODE`."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import httpx2
from mcp import MCPError
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client

from tests.clients.drivers.report import ASKED, report


async def main(url: str, mode: str) -> None:
    headers = {"Authorization": f"Bearer {os.environ['TOKEN']}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode) as client,
    ):
        tools = [tool.name for tool in (await client.list_tools()).tools]
        answers: list[Any] = []
        for name, arguments in ASKED:
            try:
                answers.append((await client.call_tool(name, arguments)).content[0].text)  # type: ignore[union-attr]
            except MCPError as refused:
                answers.append({"error": refused.message, "code": refused.code})
        report(tools, answers, client.protocol_version)


asyncio.run(main(*sys.argv[1:]))
