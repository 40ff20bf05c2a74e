"""What the answers are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import mcp_types as types
from mcp.server import ServerRequestContext

Context: TypeAlias = ServerRequestContext[Any, Any]

# One red pixel, and no sound at all.
PNG: Final = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
WAV: Final = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQAAAAA="


def text(words: str) -> types.TextContent:
    return types.TextContent(text=words)


def image() -> types.ImageContent:
    return types.ImageContent(data=PNG, mime_type="image/png")


def embedded(uri: str, words: str, mime_type: str = "text/plain") -> types.EmbeddedResource:
    return types.EmbeddedResource(resource=types.TextResourceContents(uri=uri, mime_type=mime_type, text=words))


def said(words: str, *, is_error: bool = False) -> types.CallToolResult:
    """The result of a tool that has only this to say."""
    return types.CallToolResult(content=[text(words)], is_error=is_error)


def form(message: str, properties: Mapping[str, Any]) -> types.ElicitRequest:
    """A question to the user, all of which must be answered."""
    schema = {"type": "object", "properties": dict(properties), "required": list(properties)}
    return types.ElicitRequest(params=types.ElicitRequestFormParams(message=message, requested_schema=schema))
