"""Calls straight over HTTPS, many at once on kept connections, without an SDK in between."""

from __future__ import annotations

import asyncio
import json
import ssl
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from sallyport.cli.endpoint import Endpoint

VERSION = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": VERSION,
    "io.modelcontextprotocol/clientCapabilities": {},
}


class Connection:
    """One kept connection of one caller; a call at a time."""

    def __init__(self, endpoint: Endpoint, token: str) -> None:
        url = urlsplit(endpoint.mcp_url)
        self._host, self._port = str(url.hostname), int(url.port or 0)
        self._tls = ssl.create_default_context(cafile=endpoint.ca_file)
        self._token = token
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            await asyncio.gather(self._streams[1].wait_closed(), return_exceptions=True)
            self._streams = None

    async def call(self, name: str, arguments: dict[str, Any], request_id: int | str = 1) -> dict[str, Any]:
        return await self.send("tools/call", {"name": name, "arguments": arguments}, request_id)

    async def send(self, method: str, params: dict[str, Any], request_id: int | str = 1) -> dict[str, Any]:
        """The parsed JSON-RPC answer; a connection that the server let go in the meantime is opened again."""
        message = {"jsonrpc": "2.0", "id": request_id, "method": method, "params": {"_meta": META, **params}}
        request = self._request(method, params.get("name"), json.dumps(message).encode())
        try:
            answer = await self._exchange(request)
        except (asyncio.IncompleteReadError, ConnectionError):
            await self.close()
            answer = await self._exchange(request)
        parsed: dict[str, Any] = json.loads(answer)
        return parsed

    async def _exchange(self, request: bytes) -> bytes:
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port, ssl=self._tls)
        reader, writer = self._streams
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = next(int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
        return await reader.readexactly(length)

    def _request(self, method: str, name: str | None, body: bytes) -> bytes:
        lines = [
            "POST /mcp HTTP/1.1",
            f"host: {self._host}:{self._port}",
            f"authorization: Bearer {self._token}",
            "content-type: application/json",
            "accept: application/json, text/event-stream",
            f"mcp-protocol-version: {VERSION}",
            f"mcp-method: {method}",
            *([f"mcp-name: {name}"] if name else []),
            f"content-length: {len(body)}",
        ]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def denied(answer: dict[str, Any]) -> bool:
    return bool(answer.get("error", {}).get("code") == -32010)


def unavailable(answer: dict[str, Any]) -> bool:
    return bool(answer.get("error", {}).get("code") == -32603)


def permitted(answer: dict[str, Any]) -> bool:
    return "result" in answer and not answer["result"]["isError"]
