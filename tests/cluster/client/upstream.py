"""A real MCP server, the SDK's, by TLS on each port given. It lets in whoever shows the credential in /secrets.

/data/description is what it says of its tools, if it is there; /data/calls has a line for each call that came.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from pathlib import Path
from typing import Any

import mcp_types as types
import uvicorn
from mcp.server.lowlevel import Server

SECRETS, DATA = Path("/secrets"), Path("/data")
NAME = {
    "type": "object",
    "properties": {"name": {"type": "string"}},
    "required": ["name"],
    "additionalProperties": False,
}


async def list_tools(_context: Any, _params: Any) -> types.ListToolsResult:
    said = DATA / "description"
    description = said.read_text() if said.is_file() else "Customers by name."
    names = ("find_customer", "drop_customer")
    tools = [types.Tool(name=name, description=description, input_schema=NAME) for name in names]
    return types.ListToolsResult(tools=tools)


async def call_tool(_context: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
    with (DATA / "calls").open("a") as calls:
        calls.write(f"{params.name}\n")
    found = f"{(params.arguments or {}).get('name')} is a customer"
    return types.CallToolResult(content=[types.TextContent(text=found)])


async def main() -> None:
    made = Server("crm", on_list_tools=list_tools, on_call_tool=call_tool)
    inner: Any = made.streamable_http_app(json_response=True, stateless_http=True, host="::")
    credential = (SECRETS / "credential").read_bytes().strip()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and dict(scope["headers"]).get(b"authorization") != credential:
            await send({"type": "http.response.start", "status": 401, "headers": []})
            await send({"type": "http.response.body"})
            return
        await inner(scope, receive, send)

    certificate, key = str(SECRETS / "tls.crt"), str(SECRETS / "tls.key")
    config = uvicorn.Config(app, ssl_certfile=certificate, ssl_keyfile=key, log_level="warning")
    await uvicorn.Server(config).serve([listening(int(port)) for port in sys.argv[1:]])


def listening(port: int) -> socket.socket:
    """For both families, where there are both."""
    if socket.has_dualstack_ipv6():
        return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("0.0.0.0", port))


asyncio.run(main())
