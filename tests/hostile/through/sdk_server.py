"""A stateful server of the older era on the SDK, and who was seen in which of its sessions."""

from __future__ import annotations

import asyncio
import random
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import jwt
import mcp_types as types
import uvicorn
from mcp.server.lowlevel import Server
from starlette.types import ASGIApp, Receive, Scope, Send

Who = tuple[str, str, str]
DEFINITION: Final[dict[str, Any]] = {
    "name": "sdk_echo",
    "description": "Answers with its tag, late",
    "inputSchema": {"type": "object"},
}


@dataclass
class Sdk:
    """`sessions`: id -> all for whom a request came in it; a set of more than one is a crossing."""

    port: int
    sessions: dict[str, set[Who]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    def noting(self, app: ASGIApp) -> ASGIApp:
        async def noted(scope: Scope, receive: Receive, send: Send) -> None:
            headers = dict(scope.get("headers", ()))
            session, told = headers.get(b"mcp-session-id"), headers.get(b"sallyport-identity")
            if session is not None:
                self.sessions.setdefault(session.decode(), set()).add(who(told.decode() if told else ""))
            await app(scope, receive, send)

        return noted


def who(assertion: str) -> Who:
    """(user, agent, org) by an assertion; empty: the gate itself."""
    if not assertion:
        return "", "", ""
    told = jwt.decode(assertion, options={"verify_signature": False})
    return told["sub"], told["act"]["sub"], told["org_id"]


async def _list(_context: Any, _params: Any) -> types.ListToolsResult:
    return types.ListToolsResult(tools=[types.Tool.model_validate(DEFINITION)])


async def _call(context: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
    """Progress that names the tag, a pause of any length, and the tag."""
    tag = str((params.arguments or {})["tag"])
    await context.session.report_progress(1, 2, tag)
    await asyncio.sleep(random.random() / 20)
    return types.CallToolResult(content=[types.TextContent(text=tag)])


@contextmanager
def sdk() -> Iterator[Sdk]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = Sdk(listener.getsockname()[1])
        server = Server("stateful", on_list_tools=_list, on_call_tool=_call)
        app = made.noting(server.streamable_http_app())
        serving = uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1))
        thread = threading.Thread(target=serving.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield made
        finally:
            serving.should_exit = True
            thread.join()
