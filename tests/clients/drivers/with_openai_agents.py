"""openai-agents, without a model."""

# mypy: ignore-errors

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from agents.mcp import MCPServerStreamableHttp
from mcp import MCPError

from tests.clients.drivers.report import ASKED, report


async def main(url: str) -> None:
    headers = {"Authorization": f"Bearer {os.environ['TOKEN']}"}
    params = {"url": url, "headers": headers, "timeout": 60}
    async with MCPServerStreamableHttp(params=params, client_session_timeout_seconds=60) as server:
        tools = [tool.name for tool in await server.list_tools()]
        answers: list[Any] = []
        for name, arguments in ASKED:
            try:
                answers.append((await server.call_tool(name, arguments)).content[0].text)
            except MCPError as refused:
                answers.append({"error": refused.message, "code": refused.code})
        report(tools, answers)


asyncio.run(main(*sys.argv[1:]))
