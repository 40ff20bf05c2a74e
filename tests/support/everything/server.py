"""The server: who answers which method."""

from __future__ import annotations

import warnings
from typing import Any

import mcp_types as types
from mcp.server import Server
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler
from mcp.shared.exceptions import MCPDeprecationWarning, MCPError

from tests.support.everything import asking, reading
from tests.support.everything.parts import Context
from tests.support.everything.tools import Tool, plain

NAME = "everything"


async def _list_resources(context: Context, params: types.PaginatedRequestParams | None) -> types.ListResourcesResult:
    return types.ListResourcesResult(resources=list(reading.RESOURCES))


async def _list_templates(
    context: Context, params: types.PaginatedRequestParams | None
) -> types.ListResourceTemplatesResult:
    return types.ListResourceTemplatesResult(resource_templates=[reading.TEMPLATE])


async def _list_prompts(context: Context, params: types.PaginatedRequestParams | None) -> types.ListPromptsResult:
    return types.ListPromptsResult(prompts=list(reading.PROMPTS))


async def _nothing(context: Context, params: types.RequestParams) -> types.EmptyResult:
    return types.EmptyResult()


class _Tools:
    def __init__(self, *tools: Tool) -> None:
        self._tools = {tool.name: tool for tool in tools}

    async def list(self, context: Context, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[tool.listed() for tool in self._tools.values()])

    async def call(
        self, context: Context, params: types.CallToolRequestParams
    ) -> types.CallToolResult | types.InputRequiredResult:
        tool = self._tools.get(params.name)
        if tool is None:
            raise MCPError(types.INVALID_PARAMS, "Unknown tool", {"name": params.name})
        return await tool.handler(context, params)

    def schema(self, name: str) -> dict[str, Any] | None:
        tool = self._tools.get(name)
        return None if tool is None else dict(tool.input)


def make() -> Server[Any]:
    bus = InMemorySubscriptionBus()
    tools = _Tools(*plain(bus), *asking.tools())
    with warnings.catch_warnings():  # logging is of the older era, which is the point
        warnings.simplefilter("ignore", MCPDeprecationWarning)
        server: Server[Any] = Server(
            NAME,
            version="1",
            get_tool_input_schema=tools.schema,
            on_list_tools=tools.list,
            on_call_tool=tools.call,
            on_list_resources=_list_resources,
            on_list_resource_templates=_list_templates,
            on_read_resource=reading.read,
            on_subscribe_resource=_nothing,
            on_unsubscribe_resource=_nothing,
            on_subscriptions_listen=ListenHandler(bus),
            on_list_prompts=_list_prompts,
            on_get_prompt=reading.prompt,
            on_completion=reading.complete,
            on_set_logging_level=_nothing,
        )
    server.middleware.append(RequestStateBoundary(RequestStateSecurity.ephemeral(), default_audience=NAME))
    return server
