"""Steady calls by the MCP SDK's own client, one JSON line for each: what a user would have seen, and when.

Until SIGTERM. `load.py URL TOOL ARGUMENTS --workers N --pause SECONDS`; certificate, CA and token lie in /identity.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import signal
import ssl
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
from mcp import MCPError
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolRequest, CallToolRequestParams, CallToolResult

IDENTITY = Path("/identity")
PATIENCE = 10  # seconds for an answer
OUTCOMES = {-32010: "denied", -32603: "unavailable"}


def trust() -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=IDENTITY / "ca.crt")
    context.load_cert_chain(IDENTITY / "tls.crt", IDENTITY / "tls.key")
    return context


@asynccontextmanager
async def session(url: str) -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {(IDENTITY / 'token').read_text().strip()}"}
    async with (
        httpx2.AsyncClient(headers=headers, verify=trust(), timeout=PATIENCE, trust_env=False) as http,
        Client(streamable_http_client(url, http_client=http), read_timeout_seconds=PATIENCE) as client,
    ):
        yield client


async def call(client: Client, tool: str, arguments: dict[str, Any]) -> tuple[str, str]:
    request = CallToolRequest(params=CallToolRequestParams(name=tool, arguments=arguments))
    try:
        result = await client.session.send_request(request, CallToolResult)
    except MCPError as error:
        return OUTCOMES.get(error.code, "failed"), f"{error.code} {error.message}"
    return ("failed", str(result.content)) if result.is_error else ("permitted", "")


async def work(number: int, given: argparse.Namespace, stop: asyncio.Event) -> None:
    arguments = json.loads(given.arguments)
    while not stop.is_set():
        try:
            async with session(given.url) as client:
                while not stop.is_set():
                    started = time.time()
                    outcome, detail = await call(client, given.tool, arguments)
                    tell(number, started, outcome, detail)
                    await asyncio.sleep(given.pause)
                    if outcome == "failed":
                        break
        except Exception as error:  # noqa: BLE001 — whatever it is, the user's call has failed
            tell(number, time.time(), "failed", leaf(error))
            await asyncio.sleep(given.pause)


def leaf(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


def tell(number: int, started: float, outcome: str, detail: str) -> None:
    line = {"worker": number, "at": started, "seconds": time.time() - started, "outcome": outcome, "detail": detail}
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("tool")
    parser.add_argument("arguments")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--pause", type=float, default=0.1)
    given = parser.parse_args()
    logging.getLogger("mcp").setLevel(logging.CRITICAL)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await asyncio.gather(*(work(number, given, stop) for number in range(given.workers)))


asyncio.run(main())
