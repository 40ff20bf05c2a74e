"""Resources, prompts and completion."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final

import mcp_types as types
from mcp.shared.exceptions import MCPError

from tests.support.everything.asking import ask
from tests.support.everything.parts import PNG, Context, embedded, form, image, text

RESOURCES: Final = (
    types.Resource(uri="test://static-text", name="static-text", description="Text", mime_type="text/plain"),
    types.Resource(uri="test://static-binary", name="static-binary", description="An image", mime_type="image/png"),
    types.Resource(uri="test://watched-resource", name="watched-resource", description="Watched"),
)
TEMPLATE: Final = types.ResourceTemplate(
    uri_template="test://template/{id}/data", name="template", description="By id", mime_type="application/json"
)
PROMPTS: Final = (
    types.Prompt(name="test_simple_prompt", description="A prompt without arguments"),
    types.Prompt(
        name="test_prompt_with_arguments",
        description="A prompt with two arguments",
        arguments=[types.PromptArgument(name=name, required=True) for name in ("arg1", "arg2")],
    ),
    types.Prompt(
        name="test_prompt_with_embedded_resource",
        description="A prompt with a resource in it",
        arguments=[types.PromptArgument(name="resourceUri", required=True)],
    ),
    types.Prompt(name="test_prompt_with_image", description="A prompt with an image in it"),
    types.Prompt(name="test_input_required_result_prompt", description="A prompt that asks the user first"),
)
_CONTEXT: Final = form("What context should the prompt use?", {"context": {"type": "string"}})


async def read(context: Context, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
    return types.ReadResourceResult(contents=[_contents(str(params.uri))])


def _contents(uri: str) -> types.TextResourceContents | types.BlobResourceContents:
    if uri == "test://static-binary":
        return types.BlobResourceContents(uri=uri, mime_type="image/png", blob=PNG)
    if uri == "test://static-text":
        words = "This is the content of the static text resource."
        return types.TextResourceContents(uri=uri, mime_type="text/plain", text=words)
    if uri == "test://watched-resource":
        return types.TextResourceContents(uri=uri, mime_type="text/plain", text="Watched resource content")
    if found := re.fullmatch(r"test://template/([^/]+)/data", uri):
        document = {"id": found[1], "templateTest": True, "data": f"Data for ID: {found[1]}"}
        return types.TextResourceContents(uri=uri, mime_type="application/json", text=json.dumps(document))
    raise MCPError(types.INVALID_PARAMS, "Resource not found", {"uri": uri})


async def prompt(
    context: Context, params: types.GetPromptRequestParams
) -> types.GetPromptResult | types.InputRequiredResult:
    arguments = params.arguments or {}
    if params.name == "test_input_required_result_prompt" and "user_context" not in (params.input_responses or {}):
        return ask(context, {"user_context": _CONTEXT})
    content = _prompted(params.name, arguments)
    return types.GetPromptResult(messages=[types.PromptMessage(role="user", content=part) for part in content])


def _prompted(name: str, arguments: Mapping[str, str]) -> list[types.ContentBlock]:
    match name:
        case "test_simple_prompt":
            return [text("This is a simple prompt for testing.")]
        case "test_prompt_with_arguments":
            return [text(f"Prompt with arguments: arg1='{arguments['arg1']}', arg2='{arguments['arg2']}'")]
        case "test_prompt_with_embedded_resource":
            resource = embedded(arguments["resourceUri"], "Embedded resource content for testing.")
            return [resource, text("Please process the embedded resource above.")]
        case "test_prompt_with_image":
            return [image(), text("Please analyze the image above.")]
        case "test_input_required_result_prompt":
            return [text("The user was asked.")]
        case _:
            raise MCPError(types.INVALID_PARAMS, "Unknown prompt", {"name": name})


async def complete(context: Context, params: types.CompleteRequestParams) -> types.CompleteResult:
    values = [word for word in ("paris", "park", "party") if word.startswith(params.argument.value)]
    return types.CompleteResult(completion=types.Completion(values=values, total=len(values), has_more=False))
