"""What the SDK's client hears of changes: a line for each, `URL KIND`, at each URL given, and `URL listening` before.

Until SIGTERM. Certificate, CA and token lie in /identity.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from pathlib import Path

import httpx2
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client

IDENTITY = Path("/identity")


def trust() -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=IDENTITY / "ca.crt")
    context.load_cert_chain(IDENTITY / "tls.crt", IDENTITY / "tls.key")
    return context


async def hear(url: str) -> None:
    headers = {"Authorization": f"Bearer {(IDENTITY / 'token').read_text().strip()}"}
    async with (
        httpx2.AsyncClient(
            headers=headers, verify=trust(), timeout=httpx2.Timeout(60, read=None), trust_env=False
        ) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
        client.listen(tools_list_changed=True, resources_list_changed=True) as changes,
    ):
        tell(url, "listening")
        async for change in changes:
            tell(url, type(change).__name__)


def tell(url: str, what: str) -> None:
    sys.stdout.write(f"{url} {what}\n")
    sys.stdout.flush()


async def main() -> None:
    await asyncio.gather(*map(hear, sys.argv[1:]))


asyncio.run(main())
