"""pydantic-ai: a denial becomes ModelRetry, with which the model is told."""

# mypy: ignore-errors

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from pydantic_ai import ModelRetry
from pydantic_ai.mcp import MCPToolset

from tests.clients.drivers.report import ASKED, report


async def main(url: str) -> None:
    headers = {"Authorization": f"Bearer {os.environ['TOKEN']}"}
    async with MCPToolset(url, headers=headers, init_timeout=60) as toolset:
        tools = [tool.name for tool in await toolset.list_tools()]
        answers: list[Any] = []
        for name, arguments in ASKED:
            try:
                answers.append(await toolset.direct_call_tool(name, arguments))
            except ModelRetry as refused:
                answers.append({"error": refused.message})
        report(tools, answers)


asyncio.run(main(*sys.argv[1:]))
