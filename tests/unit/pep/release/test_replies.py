"""Prompts, resources, completions, tasks: as MCP has them, of what was asked for, and no more."""

from __future__ import annotations

from typing import Any

import pytest

from sallyport.pep.model import Json, Reply, ToolOutput
from sallyport.pep.release import UNTRUSTED, UPSTREAM
from tests.unit.pep.release.support import SHAPES, leaving, reply, shown, withheld

TASK: dict[str, Json] = {
    "taskId": "786512e2",
    "status": "working",
    "createdAt": "2026-11-21T10:30:00Z",
    "lastUpdatedAt": "2026-11-21T10:40:00+01:00",
    "ttlMs": 60000,
    "pollIntervalMs": 5000,
    "statusMessage": "on its way",
}
SAID: dict[str, Json] = {"type": "text", "text": "x"}
MARK: dict[str, Json] = {UNTRUSTED: True, UPSTREAM: "crm"}


def refused(result: Any, *obligations: str, method: str, kind: str = "complete", **more: Any) -> str:
    found = shown(Reply(result, kind), *obligations, method=method, **more)
    assert "leak" not in leaving(found)
    return withheld(found)


@pytest.mark.parametrize(
    ("method", "result"),
    [
        ("prompts/get", {"messages": [{"role": "user", "content": SAID}, {"role": "assistant", "content": SAID}]}),
        ("prompts/get", {"description": "d", "messages": []}),
        ("resources/read", {"contents": [{"uri": "crm://a", "text": "x", "mimeType": "text/plain"}]}),
        ("resources/read", {"contents": [{"uri": "crm://a/b", "blob": "AA=="}, {"uri": "crm://a/", "text": ""}]}),
        ("completion/complete", {"completion": {"values": ["a"] * 100, "total": 200, "hasMore": True}}),
        ("resources/subscribe", {}),
        ("tasks/update", {}),
        ("tasks/cancel", {}),
        ("tasks/get", TASK),
        ("tasks/get", {**TASK, "ttlMs": None, "status": "cancelled"}),
    ],
)
def test_what_mcp_has_leaves_marked_as_data(method: str, result: dict[str, Json]) -> None:
    told = reply({**result, "vendor": "leak", "_meta": {"a": 1}}, method=method, name="crm://a")
    assert told == Reply({**result, "_meta": {"a": 1, **MARK}})


@pytest.mark.parametrize(
    ("method", "result"),
    [
        ("prompts/get", {}),
        ("prompts/get", {"messages": {}}),
        ("prompts/get", {"messages": [{"role": "system", "content": SAID}]}),
        ("prompts/get", {"messages": [{"role": "user", "content": "leak"}]}),
        ("prompts/get", {"messages": [{"role": "user", "content": [SAID]}]}),
        ("prompts/get", {"messages": [{"role": "user", "content": {"type": "leak"}}]}),
        ("prompts/get", {"messages": [], "description": ["leak"]}),
        ("resources/read", {"contents": [{"uri": "crm://other", "text": "leak"}]}),
        ("resources/read", {"contents": [{"uri": "crm://ab", "text": "leak"}]}),
        ("resources/read", {"contents": [{"uri": "crm://a/../b", "text": "leak"}]}),
        ("resources/read", {"contents": [{"uri": "crm://a/%2e%2e/b", "text": "leak"}]}),
        ("resources/read", {"contents": [{"uri": "CRM://a", "text": "leak"}]}),
        ("resources/read", {"contents": [{"uri": "crm://a"}]}),
        ("resources/read", {"contents": [{"text": "leak"}]}),
        ("resources/read", {"contents": [{"uri": "crm://a", "text": "leak", "blob": "AA=="}]}),
        ("resources/read", {"contents": [{"uri": "crm://a", "blob": "leak!"}]}),
        ("resources/read", {"contents": "leak"}),
        ("completion/complete", {"completion": {"values": ["leak"] * 101}}),
        ("completion/complete", {"completion": {"values": [1]}}),
        ("completion/complete", {"completion": {}}),
        ("completion/complete", {"values": ["leak"]}),
        ("completion/complete", {"completion": {"values": [], "hasMore": "leak"}}),
        ("tasks/get", {**TASK, "status": "leak"}),
        ("tasks/get", {**TASK, "createdAt": "leak"}),
        ("tasks/get", {**TASK, "ttlMs": -1}),
        ("tasks/get", {**TASK, "taskId": None}),
        ("tasks/get", {**TASK, "status": "completed", "result": {"leak": 1}}),
        ("tasks/get", {**TASK, "status": "completed", "result": "leak"}),
        ("tasks/get", {**TASK, "status": "failed", "error": "leak"}),
        ("tasks/get", {**TASK, "status": "input_required", "inputRequests": {"k": {"method": "leak"}}}),
        ("resources/list", {"resources": [{"uri": "crm://leak"}]}),
        ("tools/list", {"tools": []}),
        ("unknown/method", {}),
    ],
)
def test_what_mcp_doesnt_have_is_withheld(method: str, result: dict[str, Json]) -> None:
    refused(result, method=method, name="crm://a")


@pytest.mark.parametrize(
    ("method", "kind"),
    [("prompts/get", "task"), ("resources/read", "task"), ("tasks/get", "task"), ("completion/complete", "input_required"),
     ("tasks/get", "input_required"), ("prompts/get", "other"), ("tools/call", "other"), ("tools/call", "")],
)  # fmt: skip
def test_a_type_of_result_that_the_method_doesnt_have_is_withheld(method: str, kind: str) -> None:
    refused({**TASK, "messages": [], "contents": [], "content": [], "requestState": "s"}, method=method, kind=kind)


def test_a_task_is_for_a_client_that_declared_tasks() -> None:
    assert reply(TASK, method="tools/call", kind="task") == Reply({**TASK, "_meta": MARK}, "task")
    undeclared: list[Any] = [{}, {"extensions": {}}, {"extensions": None}, {"io.modelcontextprotocol/tasks": {}}]
    for capabilities in undeclared:
        refused(TASK, method="tools/call", kind="task", capabilities=capabilities)


def test_a_tasks_result_is_judged_as_the_tools_own() -> None:
    done: dict[str, Json] = {**TASK, "status": "completed"}
    result: dict[str, Json] = {
        "content": [{"type": "text", "text": '{"ssn":"leak","a":1}'}],
        "structuredContent": {"ssn": "leak", "a": 1},
    }
    told = reply({**done, "result": result}, "redact:/ssn", method="tasks/get")
    assert told.result["result"] == {
        "content": [{"type": "text", "text": '{"a":1}'}],
        "structuredContent": {"a": 1},
        "isError": False,
    }
    assert "leak" not in leaving(told)
    schema = {"type": "object", "required": ["b"]}
    refused({**done, "result": result}, method="tasks/get", schema=schema)
    refused({**done, "result": {**result, "content": [{"type": "text", "text": '{"a":2}'}]}}, method="tasks/get")


def test_a_tasks_error_is_shown_as_an_upstreams_error_is() -> None:
    failed: dict[str, Json] = {**TASK, "status": "failed"}
    told = reply({**failed, "error": {"code": -32602, "message": "no\nsuch", "data": {"leak": 1}}}, method="tasks/get")
    assert told.result["error"] == {"code": -32602, "message": "no such"}
    told = reply({**failed, "error": {"code": -31000, "message": "leak"}}, method="tasks/get")
    assert told.result["error"] == {"code": -32603, "message": "the upstream reported an error"}


@pytest.mark.parametrize("obligation", SHAPES)
@pytest.mark.parametrize(
    ("method", "result"),
    [
        ("prompts/get", {"messages": [{"role": "user", "content": {"type": "text", "text": "leak"}}]}),
        ("prompts/get", {"messages": [], "description": "leak"}),
        ("resources/read", {"contents": [{"uri": "crm://a", "text": "leak"}]}),
        ("resources/read", {"contents": [{"uri": "crm://a", "blob": "leak"}]}),
        ("completion/complete", {"completion": {"values": ["leak"]}}),
    ],
)
def test_prose_is_withheld_under_an_obligation_on_fields(obligation: str, method: str, result: dict[str, Json]) -> None:
    refused(result, obligation, method=method, name="crm://a")


def test_the_word_of_a_task_is_left_out_under_an_obligation_on_fields() -> None:
    told = reply({**TASK, "statusMessage": "leak", "_meta": {"a": "leak"}}, "max_rows:1", method="tasks/get")
    assert "leak" not in leaving(told)


def test_the_json_of_a_resource_loses_its_fields() -> None:
    contents: Json = [{"uri": "crm://a", "text": '{"ssn":"leak","a":1}', "mimeType": "application/json"}]
    told = reply({"contents": contents}, "redact:/ssn", method="resources/read", name="crm://a")
    assert told.result["contents"] == [{"uri": "crm://a", "text": '{"a":1}', "mimeType": "application/json"}]


def test_a_resource_whose_uri_was_asked_for_leaves_although_a_mask_would_change_it() -> None:
    uri = "crm://customers/alice@example.com"
    told = reply({"contents": [{"uri": uri, "text": "bob@x.org"}]}, "mask:email", method="resources/read", name=uri)
    assert told.result["contents"] == [{"uri": uri, "text": "masked@masked.invalid"}]
    beneath: Json = [{"uri": "crm://customers/leak@example.com", "text": ""}]
    refused({"contents": beneath}, "mask:email", method="resources/read", name="crm://customers")


def test_an_answer_over_the_cap_is_withheld() -> None:
    refused({"contents": [{"uri": "crm://a", "text": "leak" * 100}]}, method="resources/read", name="crm://a", cap=100)


def test_the_output_of_a_call_stays_one() -> None:
    assert isinstance(shown(ToolOutput(())), ToolOutput)
