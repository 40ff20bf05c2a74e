"""The tools that need something of the client: by an answer that asks (modern), or by a request of their own (legacy)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import mcp_types as types
from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata

from tests.support.everything.parts import Context, form, said
from tests.support.everything.tools import Handler, Tool, words

Requests: TypeAlias = Mapping[str, types.InputRequest]
_TEXT: Final = {"type": "string"}
NAME: Final = form("What is your name?", {"name": _TEXT})
_CONFIRM: Final = form("Please confirm", {"ok": {"type": "boolean"}})
_NEEDS: Final = {"elicitation/create": "elicitation", "sampling/createMessage": "sampling", "roots/list": "roots"}
_STATES: Final = ("active", "inactive", "pending")


def sample(words_: str, limit: int) -> types.CreateMessageRequest:
    message = types.SamplingMessage(role="user", content=types.TextContent(text=words_))
    return types.CreateMessageRequest(params=types.CreateMessageRequestParams(messages=[message], max_tokens=limit))


def declared(context: Context) -> frozenset[str]:
    """What the client says that it can do for a server."""
    capabilities = context.session.client_capabilities
    return frozenset() if capabilities is None else frozenset(capabilities.model_dump(exclude_none=True))


def need(context: Context, requests: Requests) -> None:
    """Raise -32021 for what the client never said that it can do."""
    needed = {_NEEDS[request.method] for request in requests.values()}
    missing = sorted(needed - declared(context))
    if missing:
        data: dict[str, Any] = {"requiredCapabilities": {name: {} for name in missing}}
        raise MCPError(types.MISSING_REQUIRED_CLIENT_CAPABILITY, f"the client lacks {', '.join(missing)}", data)


def ask(context: Context, requests: Requests, state: str | None = None) -> types.InputRequiredResult:
    need(context, requests)
    return types.InputRequiredResult(input_requests=dict(requests), request_state=state)


def asking(requests: Requests, *, state: str | None = None) -> Handler:
    """Asks all of it, until all of it is answered (and the state comes back, if there is one)."""

    async def handler(
        context: Context, params: types.CallToolRequestParams
    ) -> types.CallToolResult | types.InputRequiredResult:
        given = params.input_responses or {}
        if not given.keys() >= requests.keys() or params.request_state != state:
            return ask(context, requests, state)
        answers = {name: given[name].model_dump(mode="json", exclude_none=True) for name in requests}
        return said(f"{state or 'answered'}: {answers}")

    return handler


async def _in_two_rounds(
    context: Context, params: types.CallToolRequestParams
) -> types.CallToolResult | types.InputRequiredResult:
    given = params.input_responses or {}
    if params.request_state == "named" and "step2" in given:
        return said("Both steps are answered")
    if params.request_state == "begun" and "step1" in given:
        return ask(context, {"step2": form("Step 2: What is your favorite color?", {"color": _TEXT})}, "named")
    return ask(context, {"step1": form("Step 1: What is your name?", {"name": _TEXT})}, "begun")


async def _within_capabilities(
    context: Context, params: types.CallToolRequestParams
) -> types.CallToolResult | types.InputRequiredResult:
    every: Requests = {"name": NAME, "greeting": sample("Generate a greeting", 50), "roots": types.ListRootsRequest()}
    able = declared(context)
    within = {name: request for name, request in every.items() if _NEEDS[request.method] in able}
    return ask(context, within) if within and not params.input_responses else said("Nothing left to ask")


async def _sampling_only(context: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
    need(context, {"needed": sample("", 1)})
    return said("The client can sample")


def _here(context: Context) -> ServerMessageMetadata:
    """On the stream of the call itself: the client may not have opened another yet."""
    return ServerMessageMetadata(related_request_id=context.request_id)


async def _sample_now(context: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
    request = sample(str((params.arguments or {})["prompt"]), 100)
    answer = await context.session.send_request(request, types.CreateMessageResult, metadata=_here(context))
    content = answer.content
    return said(f"LLM response: {content.text if isinstance(content, types.TextContent) else content.type}")


def _ask_now(message: str, properties: Mapping[str, Any]) -> Handler:
    async def handler(context: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        request = form(str((params.arguments or {}).get("message", message)), properties)
        answer = await context.session.send_request(request, types.ElicitResult, metadata=_here(context))
        return said(f"Elicitation completed: action={answer.action}, content={answer.content}")

    return handler


def _titled(*names: str) -> list[dict[str, str]]:
    return [{"const": name, "title": name.title()} for name in names]


_USER: Final = {"username": _TEXT, "email": _TEXT}
_DEFAULTS: Final = {
    "name": {"type": "string", "default": "John Doe"},
    "age": {"type": "integer", "default": 30},
    "score": {"type": "number", "default": 95.5},
    "status": {"type": "string", "enum": list(_STATES), "default": "active"},
    "verified": {"type": "boolean", "default": True},
}
_ENUMS: Final = {
    "untitledSingle": {"type": "string", "enum": ["option1", "option2", "option3"]},
    "titledSingle": {"type": "string", "oneOf": _titled("value1", "value2", "value3")},
    "legacyEnum": {"type": "string", "enum": ["opt1", "opt2"], "enumNames": ["Option One", "Option Two"]},
    "untitledMulti": {"type": "array", "items": {"type": "string", "enum": ["option1", "option2", "option3"]}},
    "titledMulti": {"type": "array", "items": {"anyOf": _titled("value1", "value2", "value3")}},
}


def tools() -> tuple[Tool, ...]:
    france = {"capital_question": sample("What is the capital of France?", 100)}
    roots = {"client_roots": types.ListRootsRequest()}
    three: Requests = {"user_name": NAME, "greeting": sample("Generate a greeting", 50), **roots}
    again = "test_input_required_result_"
    return (
        Tool("test_missing_capability", "Needs a client that can sample", _sampling_only),
        Tool("test_streaming_elicitation", "Asks the user", asking({"user_name": NAME})),
        Tool(f"{again}elicitation", "Asks the user for a name", asking({"user_name": NAME})),
        Tool(f"{again}sampling", "Asks the model", asking(france)),
        Tool(f"{again}list_roots", "Asks for the roots", asking(roots)),
        Tool(
            f"{again}request_state", "Asks, and wants its state back", asking({"confirm": _CONFIRM}, state="state-ok")
        ),
        Tool(f"{again}tampered_state", "Takes no state but its own", asking({"confirm": _CONFIRM}, state="whole")),
        Tool(f"{again}multiple_inputs", "Asks three things at once", asking(three, state="three")),
        Tool(f"{again}multi_round", "Asks one thing after another", _in_two_rounds),
        Tool(f"{again}capabilities", "Asks what the client can answer", _within_capabilities),
        Tool("test_sampling", "Has the client's model answer", _sample_now, words("prompt")),
        Tool("test_elicitation", "Asks the user", _ask_now("", _USER), words("message")),
        Tool("test_elicitation_sep1034_defaults", "Asks with defaults", _ask_now("Please check", _DEFAULTS)),
        Tool("test_elicitation_sep1330_enums", "Asks for choices", _ask_now("Please choose", _ENUMS)),
    )
