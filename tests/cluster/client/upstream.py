"""A real MCP server, the SDK's, by TLS on each port given. Whom it serves is said by the files in /secrets:

`credential` is what a caller must show in a header, `client-ca.crt` who must vouch for its certificate, and with `jwks.json`
each call must carry the gate's signed word from `issuer` to `audience`. /data/description is what it says of its tools, if it
is there; /data/calls has a line for each call that it served, /data/told for whom, /data/refused why not. At SIGUSR1 it
says that its lists have changed.
"""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import ssl
import sys
from pathlib import Path
from typing import Any

import jwt
import mcp_types as types
import uvicorn
from mcp import MCPError
from mcp.server.lowlevel import Server
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ResourcesListChanged, ToolsListChanged

SECRETS, DATA = Path("/secrets"), Path("/data")
NAME = {
    "type": "object",
    "properties": {"name": {"type": "string"}},
    "required": ["name"],
    "additionalProperties": False,
}
BUS = InMemorySubscriptionBus()
SEEN: set[str] = set()  # each word is good for one call


async def list_tools(_context: Any, _params: Any) -> types.ListToolsResult:
    said = DATA / "description"
    description = said.read_text() if said.is_file() else "Customers by name."
    names = ("find_customer", "drop_customer")
    tools = [types.Tool(name=name, description=description, input_schema=NAME) for name in names]
    return types.ListToolsResult(tools=tools)


async def call_tool(context: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
    if (SECRETS / "jwks.json").is_file():
        write("told", json.dumps(for_whom(context.request.headers), separators=(",", ":")))
    write("calls", params.name)
    found = f"{(params.arguments or {}).get('name')} is a customer"
    return types.CallToolResult(content=[types.TextContent(text=found)])


def for_whom(headers: Any) -> dict[str, Any]:
    """The claims of the gate's word to this server, about a call that it hasn't seen."""
    try:
        return believed(headers.get("sallyport-identity", ""))
    except jwt.PyJWTError as error:
        write("refused", type(error).__name__)
        raise MCPError(-32001, "who calls isn't known here") from None


def believed(word: str) -> dict[str, Any]:
    header = jwt.get_unverified_header(word)
    if header.get("typ") != "sallyport-identity+jwt":
        raise jwt.InvalidTokenError("of another kind")
    claims: dict[str, Any] = jwt.decode(
        word,
        jwt.PyJWKSet.from_json((SECRETS / "jwks.json").read_text())[header["kid"]],
        algorithms=["ES256"],
        issuer=(SECRETS / "issuer").read_text(),
        audience=(SECRETS / "audience").read_text(),
        options={"require": ["iss", "aud", "exp", "iat", "jti"]},
    )
    if claims["jti"] in SEEN:
        raise jwt.InvalidTokenError("seen before")
    SEEN.add(claims["jti"])
    return claims


def write(name: str, line: str) -> None:
    with (DATA / name).open("a") as file:
        file.write(f"{line}\n")


async def changed() -> None:
    for event in (ToolsListChanged(), ResourcesListChanged()):
        await BUS.publish(event)


async def main() -> None:
    made = Server("crm", on_list_tools=list_tools, on_call_tool=call_tool, on_subscriptions_listen=ListenHandler(BUS))
    inner: Any = made.streamable_http_app(json_response=True, stateless_http=True, host="::")
    shown = SECRETS / "credential"
    credential = shown.read_bytes().strip() if shown.is_file() else None

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and credential and dict(scope["headers"]).get(b"authorization") != credential:
            await send({"type": "http.response.start", "status": 401, "headers": []})
            await send({"type": "http.response.body"})
            return
        await inner(scope, receive, send)

    loop, telling = asyncio.get_running_loop(), set[asyncio.Task[None]]()
    loop.add_signal_handler(signal.SIGUSR1, lambda: telling.add(loop.create_task(changed())))
    config = uvicorn.Config(app, log_level="warning", **trust())
    await uvicorn.Server(config).serve([listening(int(port)) for port in sys.argv[1:]])


def trust() -> dict[str, Any]:
    own: dict[str, Any] = {"ssl_certfile": SECRETS / "tls.crt", "ssl_keyfile": SECRETS / "tls.key"}
    asked = SECRETS / "client-ca.crt"
    return {**own, "ssl_ca_certs": str(asked), "ssl_cert_reqs": ssl.CERT_REQUIRED} if asked.is_file() else own


def listening(port: int) -> socket.socket:
    """For both families, where there are both."""
    if socket.has_dualstack_ipv6():
        return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("0.0.0.0", port))


asyncio.run(main())
