"""An upstream that answers with anything: nothing but a released value or Withheld comes of it, in bounded time."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcp_types import CallToolResult

from sallyport.pep import release
from sallyport.pep.model import CheckedCall, Failed, Json, Reply, ToolOutput
from sallyport.pep.refusal import Refusal
from sallyport.pep.release import HeldTo
from sallyport.runtime import exact_json

METHODS = (
    "tools/call", "prompts/get", "resources/read", "completion/complete", "tasks/get", "tasks/update", "tasks/cancel",
    "resources/subscribe", "resources/list",
)  # fmt: skip
KINDS = ("complete", "input_required", "task", "other")
OBLIGATIONS = (
    (), ("mask:email",), ("redact:/ssn",), ("max_rows:1",), ("drop_rows:/rows where /a = 'b'", "mask:card,phone,ip"), ("notify:x",),
)  # fmt: skip
CAPABILITIES: dict[str, Json] = {
    "elicitation": {"form": {}, "url": {}},
    "sampling": {"context": {}, "tools": {}},
    "roots": {},
    "extensions": {"io.modelcontextprotocol/tasks": {}},
}
# Every word that a shape looks at, so that random values come far into it.
KEYS = st.sampled_from(
    [
        "content",
        "structuredContent",
        "isError",
        "_meta",
        "type",
        "text",
        "data",
        "mimeType",
        "uri",
        "name",
        "title",
        "description",
        "size",
        "resource",
        "blob",
        "annotations",
        "audience",
        "priority",
        "lastModified",
        "messages",
        "role",
        "contents",
        "completion",
        "values",
        "total",
        "hasMore",
        "inputRequests",
        "requestState",
        "method",
        "params",
        "mode",
        "message",
        "requestedSchema",
        "properties",
        "url",
        "taskId",
        "status",
        "createdAt",
        "lastUpdatedAt",
        "ttlMs",
        "result",
        "error",
        "code",
        "maxTokens",
        "rows",
        "ssn",
        "a",
    ]
)
WORDS = st.sampled_from(
    ["text", "image", "audio", "resource", "resource_link", "user", "assistant", "object", "string", "array", "form", "url",
     "elicitation/create", "sampling/createMessage", "roots/list", "working", "completed", "failed", "input_required",
     "2026-11-21T00:00:00Z", "image/png", "AA==", "crm://a", "https://example.com", "javascript:x", '{"a":1}', "\ud800", ""]
) | st.text(max_size=10)  # fmt: skip
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS | WORDS, inner, max_size=6),
    max_leaves=40,
)
RESULTS = st.dictionaries(KEYS, ANYTHING, max_size=8)


def held_to(method: str, cap: int = 1 << 20) -> HeldTo:
    call = CheckedCall("crm://a", {}, b"{}", "0" * 64, (), "1" * 64, method)
    return HeldTo(call, cap, None, "crm", CAPABILITIES)


def spelt(shown: Any) -> bytes:
    """What would go out; it must be JSON."""
    if isinstance(shown, ToolOutput):
        return exact_json.encode(
            {"content": [*shown.content], "structured": shown.structured, "meta": dict(shown.meta)}
        )
    return exact_json.encode(
        dict(shown.result) if isinstance(shown, Reply) else [shown.code, shown.message, shown.data]
    )


@settings(max_examples=600, suppress_health_check=[HealthCheck.too_slow])
@given(RESULTS, st.sampled_from(METHODS), st.sampled_from(KINDS), st.sampled_from(OBLIGATIONS))
def test_any_result_is_released_or_withheld_and_nothing_is_raised(
    result: dict[str, Json], method: str, kind: str, obligations: tuple[str, ...]
) -> None:
    shown = release.result(Reply(result, kind), held_to=held_to(method), obligations=obligations)
    assert isinstance(shown, Refusal) or spelt(shown)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(ANYTHING, max_size=3), RESULTS | st.none(), st.booleans(), st.sampled_from(OBLIGATIONS))
def test_any_tools_output_is_released_or_withheld(
    content: list[Any], structured: dict[str, Json] | None, is_error: bool, obligations: tuple[str, ...]
) -> None:
    output = ToolOutput(tuple(content), structured, is_error)
    shown = release.result(output, held_to=held_to("tools/call"), obligations=obligations)
    assert isinstance(shown, Refusal) or spelt(shown)


@given(st.integers(), st.text(max_size=30), ANYTHING, st.sampled_from(OBLIGATIONS))
def test_any_error_is_released_or_withheld(code: int, message: str, data: Json, obligations: tuple[str, ...]) -> None:
    shown = release.result(Failed(code, message, data), held_to=held_to("tools/call"), obligations=obligations)
    assert isinstance(shown, Refusal) or spelt(shown)


@given(st.sampled_from(["notifications/progress", "notifications/message", "x"]), RESULTS, st.sampled_from(OBLIGATIONS))
def test_any_notification_goes_on_or_nowhere(
    method: str, params: dict[str, Json], obligations: tuple[str, ...]
) -> None:
    told = release.notification(method, params, obligations)
    assert told is None or exact_json.encode(told[1])


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.dictionaries(KEYS, ANYTHING, max_size=6), max_size=2),
    st.sampled_from(["text", "image", "resource", "resource_link"]),
)
def test_what_is_released_is_what_the_sdk_takes_for_a_tools_result(content: list[dict[str, Json]], kind: str) -> None:
    blocks = tuple({**block, "type": kind} for block in content)
    shown = release.result(ToolOutput(blocks), held_to=held_to("tools/call"), obligations=())
    if isinstance(shown, ToolOutput):
        result = {"content": [*shown.content], "_meta": dict(shown.meta), "resultType": "complete"}
        CallToolResult.model_validate(result)


def deep(levels: int) -> Json:
    value: Json = 1
    for _ in range(levels):
        value = {"a": [value]}
    return value


@pytest.mark.parametrize("obligations", OBLIGATIONS)
def test_depth_breaks_nothing(obligations: tuple[str, ...]) -> None:
    for levels in (31, 5000):
        value = deep(levels)
        assert isinstance(value, dict)
        output = ToolOutput((), value)
        shown = release.result(output, held_to=held_to("tools/call"), obligations=obligations)
        assert levels == 31 or isinstance(shown, Refusal)
        meta = ToolOutput((), meta=value)
        release.result(meta, held_to=held_to("tools/call"), obligations=obligations)
        release.notification("notifications/message", {"level": "info", "data": value}, obligations)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 200_000,
        '{"a":' * 50_000,
        '"' * 200_000,
        "[1," * 100_000,
        "\\" * 200_000,
        "{" + '"a":1,' * 40_000 + '"b":2}',
    ],
    ids=["brackets", "objects", "quotes", "arrays", "backslashes", "duplicate keys"],
)
@pytest.mark.parametrize("obligations", OBLIGATIONS[:5])
def test_text_that_is_hard_to_parse_takes_bounded_time(text: str, obligations: tuple[str, ...]) -> None:
    output = ToolOutput(({"type": "text", "text": text},), {"a": text})
    started = time.process_time()
    release.result(output, held_to=held_to("tools/call"), obligations=obligations)
    assert time.process_time() - started < 5.0
