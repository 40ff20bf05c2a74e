"""The tools that answer by themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import mcp_types as types
from mcp.server.subscriptions import PromptsListChanged, SubscriptionBus, ToolsListChanged

from tests.support.everything.parts import WAV, Context, embedded, image, said, text

Handler: TypeAlias = Callable[
    [Context, types.CallToolRequestParams], Awaitable[types.CallToolResult | types.InputRequiredResult]
]
_PAUSE: Final = 0.05  # seconds between two notifications, so that they aren't one piece on the wire
_NOTHING: Final = {"type": "object", "properties": {}, "additionalProperties": False}
_CONTACT: Final = {  # every keyword whose way through a gateway the suite looks at
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class Tool:
    name: str
    description: str
    handler: Handler
    input: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)

    def listed(self) -> types.Tool:
        return types.Tool(name=self.name, description=self.description, input_schema=dict(self.input))


def words(*names: str, **headers: str) -> Mapping[str, Any]:
    """The schema of an object of these strings; `headers` says which of them a header repeats."""
    marks = {name: {"x-mcp-header": headers[name]} if name in headers else {} for name in names}
    properties = {name: {"type": "string", **mark} for name, mark in marks.items()}
    return {"type": "object", "properties": properties, "required": list(names), "additionalProperties": False}


def _answering(*content: types.ContentBlock, is_error: bool = False) -> Handler:
    async def handler(context: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        return types.CallToolResult(content=list(content), is_error=is_error)

    return handler


async def _log(context: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
    for line in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await log(context, line)
        await asyncio.sleep(_PAUSE)
    return said("Tool with logging executed successfully")


async def log(context: Context, line: str) -> None:
    await context.session.send_log_message("info", line, related_request_id=context.request_id)  # type: ignore[deprecated, unused-ignore]


async def _progress(context: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
    for step in (0, 50, 100):
        await context.session.report_progress(step, 100, f"Completed step {step} of 100")
        await asyncio.sleep(_PAUSE)
    return said("Tool with progress executed successfully")


async def _reconnect(context: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
    """Shut the stream in the middle of the call; the client comes back for the rest."""
    await log(context, "Before disconnect")
    if context.close_sse_stream is not None:
        await context.close_sse_stream()
    await asyncio.sleep(4 * _PAUSE)
    await log(context, "After reconnect")
    return said("Reconnection test completed")


async def _echo(context: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
    return said(f"Received: {params.arguments}")


def _changing(bus: SubscriptionBus, kind: str) -> Handler:
    async def handler(context: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        session = context.session
        if kind == "tools":
            await bus.publish(ToolsListChanged())
            await session.send_tool_list_changed()
        else:
            await bus.publish(PromptsListChanged())
            await session.send_prompt_list_changed()
        return said(f"Said that the list of {kind} changed")

    return handler


def plain(bus: SubscriptionBus) -> tuple[Tool, ...]:
    audio = types.AudioContent(data=WAV, mime_type="audio/wav")
    mixed = embedded("test://mixed-content-resource", '{"test":"data","value":123}', "application/json")
    resource = embedded("test://embedded-resource", "This is an embedded resource content.")
    failure = text("This tool intentionally returns an error for testing")
    return (
        Tool("test_simple_text", "Answers with text", _answering(text("This is a simple text response for testing."))),
        Tool("test_image_content", "Answers with an image", _answering(image())),
        Tool("test_audio_content", "Answers with audio", _answering(audio)),
        Tool("test_embedded_resource", "Answers with a resource", _answering(resource)),
        Tool(
            "test_multiple_content_types",
            "Answers with text, an image and a resource",
            _answering(text("Multiple content types test:"), image(), mixed),
        ),
        Tool("test_error_handling", "Always fails", _answering(failure, is_error=True)),
        Tool("test_tool_with_logging", "Logs three lines while it works", _log),
        Tool("test_logging_tool", "Logs, if it may", _log),
        Tool("test_tool_with_progress", "Tells how far it is", _progress),
        Tool("test_reconnection", "Shuts its own stream while it works", _reconnect),
        Tool("test_x_mcp_header", "Has an argument that a header repeats", _echo, words("region", region="Region")),
        Tool("json_schema_2020_12_tool", "Tool with JSON Schema 2020-12 features", _echo, _CONTACT),
        Tool("test_trigger_tool_change", "Says that the tools changed", _changing(bus, "tools")),
        Tool("test_trigger_prompt_change", "Says that the prompts changed", _changing(bus, "prompts")),
    )
