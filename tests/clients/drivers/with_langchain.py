"""langchain-mcp-adapters, with one session for all."""

# mypy: ignore-errors

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from langchain_mcp_adapters.client import MultiServerMCPClient
from langchain_mcp_adapters.tools import load_mcp_tools
from mcp import McpError

from tests.clients.drivers.report import ASKED, report


async def main(url: str) -> None:
    headers = {"Authorization": f"Bearer {os.environ['TOKEN']}"}
    client = MultiServerMCPClient({"gate": {"transport": "streamable_http", "url": url, "headers": headers}})
    async with client.session("gate") as session:
        tools = {tool.name: tool for tool in await load_mcp_tools(session)}
        answers: list[Any] = []
        for name, arguments in ASKED:
            try:
                answer = await tools[name].ainvoke(arguments)
                answers.append(answer if isinstance(answer, str) else answer[0]["text"])
            except McpError as refused:
                answers.append({"error": refused.error.message, "code": refused.error.code})
        report(list(tools), answers)


asyncio.run(main(*sys.argv[1:]))
