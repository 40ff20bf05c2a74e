"""mcp 1.x."""

# mypy: ignore-errors

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from mcp import ClientSession, McpError
from mcp.client.streamable_http import streamablehttp_client

from tests.clients.drivers.report import ASKED, report


async def main(url: str) -> None:
    headers = {"Authorization": f"Bearer {os.environ['TOKEN']}"}
    async with streamablehttp_client(url, headers=headers) as (read, write, _), ClientSession(read, write) as session:
        era = (await session.initialize()).protocolVersion
        tools = [tool.name for tool in (await session.list_tools()).tools]
        answers: list[Any] = []
        for name, arguments in ASKED:
            try:
                answers.append((await session.call_tool(name, arguments)).content[0].text)
            except McpError as refused:
                answers.append({"error": refused.error.message, "code": refused.error.code})
        report(tools, answers, str(era))


asyncio.run(main(*sys.argv[1:]))
