"""A stdio MCP server on the SDK, as its users write them."""

from __future__ import annotations

import asyncio
import os

from mcp.server import MCPServer
from mcp.server.mcpserver import Context

server = MCPServer("on the SDK")
WAITING: list[object] = []  # calls of `wait` that came


@server.tool()
def add(a: int, b: int) -> int:
    return a + b


@server.tool()
async def count(to: int, ctx: Context) -> str:
    for number in range(to):
        await ctx.report_progress(number, to, f"at {number}")
    return f"counted to {to} in {os.getpid()}"


@server.tool()
async def wait(ctx: Context) -> str:
    WAITING.append(ctx.request_id)
    await asyncio.Event().wait()
    return "never"


@server.tool()
def waiting() -> int:
    return len(WAITING)


@server.tool()
def fail() -> str:
    raise ValueError("as every tool may")


@server.resource("note://{name}")
def note(name: str) -> str:
    return f"a note named {name}"


@server.prompt()
def greet(name: str) -> str:
    return f"Greet {name}."


if __name__ == "__main__":
    server.run("stdio")
