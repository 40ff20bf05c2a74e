"""A real MCP server (the SDK's, over streamable HTTP) whose lists are what the test says at that moment."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import mcp_types as types
import uvicorn
from mcp.server.lowlevel import Server

from sallyport.contract.surfaces import Upstream


def tool(name: str, **told: Any) -> dict[str, Any]:
    return {"name": name, "inputSchema": {"type": "object", "properties": {"q": {"type": "string"}}}, **told}


@dataclass
class Changing:
    """`endless`: every page names a next one. `a_page` tools stand on each."""

    port: int
    tools: list[dict[str, Any]] = field(default_factory=list)
    prompts: list[dict[str, Any]] = field(default_factory=list)
    resources: list[dict[str, Any]] = field(default_factory=list)
    templates: list[dict[str, Any]] = field(default_factory=list)
    a_page: int = 1000
    endless: bool = False
    asked: int = 0  # pages of tools

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    @property
    def upstream(self) -> Upstream:
        return Upstream(url=self.url)

    async def list_tools(self, _context: Any, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        self.asked += 1
        at = int(params.cursor) if params and params.cursor else 0
        page = [types.Tool.model_validate(one) for one in self.tools[at : at + self.a_page]]
        more = self.endless or at + self.a_page < len(self.tools)
        return types.ListToolsResult(tools=page, next_cursor=str(at + self.a_page) if more else None)

    async def list_prompts(self, _context: Any, _params: Any) -> types.ListPromptsResult:
        return types.ListPromptsResult(prompts=[types.Prompt.model_validate(one) for one in self.prompts])

    async def list_resources(self, _context: Any, _params: Any) -> types.ListResourcesResult:
        return types.ListResourcesResult(resources=[types.Resource.model_validate(one) for one in self.resources])

    async def list_templates(self, _context: Any, _params: Any) -> types.ListResourceTemplatesResult:
        found = [types.ResourceTemplate.model_validate(one) for one in self.templates]
        return types.ListResourceTemplatesResult(resource_templates=found)


@contextmanager
def changing(*tools: dict[str, Any]) -> Iterator[Changing]:
    """In a thread of its own: commands run a loop of theirs."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        said = Changing(listener.getsockname()[1], list(tools))
        server = Server(
            "changing",
            on_list_tools=said.list_tools,
            on_list_prompts=said.list_prompts,
            on_list_resources=said.list_resources,
            on_list_resource_templates=said.list_templates,
        )
        app = server.streamable_http_app(json_response=True, stateless_http=True)
        serving = uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1))
        thread = threading.Thread(target=serving.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield said
        finally:
            serving.should_exit = True
            thread.join()
