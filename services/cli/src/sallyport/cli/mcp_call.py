"""One tool call as a real MCP client makes it: the SDK's client over streamable HTTP, trusting the directory's CA."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import httpx2
from mcp import MCPError
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CONNECTION_CLOSED, CallToolRequest, CallToolRequestParams, CallToolResult, TextContent
from pydantic import ValidationError

from sallyport.cli.endpoint import Endpoint
from sallyport.runtime.tls import client_context

_TIMEOUT_SECONDS: Final = 70.0  # more than an entry's limits.timeout_ms may be


class Era(StrEnum):
    MODERN = "modern"
    LEGACY = "legacy"


_MODES: Final = {Era.MODERN: "2026-07-28", Era.LEGACY: "legacy"}


@dataclass(frozen=True, slots=True)
class Result:
    text: str
    is_error: bool
    document: dict[str, Any]  # the whole result, as JSON


@dataclass(frozen=True, slots=True)
class Refused:
    """A JSON-RPC error: the gate's answer."""

    code: int
    message: str
    data: Mapping[str, Any]

    @property
    def decision_id(self) -> str:
        return str(self.data.get("decision_id", ""))


@dataclass(frozen=True, slots=True)
class Unreachable:
    reason: str


Outcome = Result | Refused | Unreachable
Arguments = Callable[[Mapping[str, Any]], dict[str, Any]]  # the tool's input schema (empty if not listed) -> arguments


async def call(endpoint: Endpoint, token: str, tool: str, arguments: Arguments, *, ask: bool, era: Era) -> Outcome:
    """Call one tool. With `ask` the tool's schema is looked up first, which is a call of its own in the audit."""
    logging.getLogger("mcp").setLevel(logging.CRITICAL)  # its tracebacks say no more than the outcome does
    try:
        async with _client(endpoint, token, era) as client:
            schema = await _schema(client, tool) if ask else {}
            request = CallToolRequest(params=CallToolRequestParams(name=tool, arguments=arguments(schema)))
            # Not client.call_tool: it lists all tools after the call to check the output, one more decision each time.
            return _result(await client.session.send_request(request, CallToolResult))
    except (MCPError, httpx2.HTTPError, OSError, ValidationError, ExceptionGroup) as error:
        return _failure(error)


def _failure(error: Exception) -> Refused | Unreachable:
    """The SDK's task groups wrap what went wrong; the first leaf is the cause."""
    cause = error
    while isinstance(cause, ExceptionGroup):
        cause = cause.exceptions[0]
    match cause:
        case MCPError(code=code) if code != CONNECTION_CLOSED:
            return Refused(code, cause.message, cause.data if isinstance(cause.data, dict) else {})
        case MCPError() | httpx2.HTTPError() | OSError():
            return Unreachable(str(cause))
        case ValidationError():
            return Unreachable("the answer is not what the protocol says")
        case _:
            raise error


@asynccontextmanager
async def _client(endpoint: Endpoint, token: str, era: Era) -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {token}"}
    trust = client_context(Path(endpoint.ca_file))
    # trust_env off: a proxy or CA of the environment must not see the token.
    async with httpx2.AsyncClient(headers=headers, verify=trust, timeout=_TIMEOUT_SECONDS, trust_env=False) as http:
        transport = streamable_http_client(endpoint.mcp_url, http_client=http)
        async with Client(transport, mode=_MODES[era], read_timeout_seconds=_TIMEOUT_SECONDS) as client:
            yield client


async def _schema(client: Client, tool: str) -> Mapping[str, Any]:
    listed = await client.list_tools()
    return next((found.input_schema for found in listed.tools if found.name == tool), {})


def _result(result: CallToolResult) -> Result:
    text = "\n".join(block.text for block in result.content if isinstance(block, TextContent))
    return Result(text, bool(result.is_error), result.model_dump(mode="json", by_alias=True, exclude_none=True))
