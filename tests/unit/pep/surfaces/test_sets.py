"""Named sets: at /mcp/NAME there is what the catalog puts there, and nothing else can be told apart from nothing."""

from __future__ import annotations

from typing import Any, Final

import pytest

from tests.support.surfaces import Surfaces

DENIED: Final = (200, -32010, "denied by policy", frozenset({"decision_id"}))
SETS: Final = {
    "small": ({"echo", "start"}, {"greet"}, {"test://plain"}),
    "other": ({"ask"}, {"elsewhere"}, {"test://folder/x"}),
}


async def resources(made: Surfaces, server: str) -> set[str]:
    """Of all pages."""
    found: set[str] = set()
    params: dict[str, Any] = {}
    for _ in range(20):
        page = (await made.ask("resources/list", params, server)).result
        found |= {entry["uri"] for entry in page["resources"]}
        if "nextCursor" not in page:
            return found
        params = {"cursor": page["nextCursor"]}
    raise AssertionError("the pages never end")


@pytest.mark.parametrize("server", SETS)
async def test_a_set_shows_its_entries_and_no_other(made: Surfaces, server: str) -> None:
    tools, prompts, uris = SETS[server]
    assert {tool["name"] for tool in (await made.ask("tools/list", {}, server)).result["tools"]} == tools
    assert {one["name"] for one in (await made.ask("prompts/list", {}, server)).result["prompts"]} == prompts
    assert await resources(made, server) == uris


async def test_without_a_name_all_of_it_is_shown(made: Surfaces) -> None:
    tools = {tool["name"] for tool in (await made.ask("tools/list")).result["tools"]}
    assert {"echo", "start", "ask", "read_file"} <= tools
    assert await resources(made, "") == {"test://plain", "test://folder/x"}


@pytest.mark.parametrize(
    ("method", "inside", "outside", "nowhere"),
    [
        ("tools/call", {"name": "echo"}, {"name": "ask"}, {"name": "no_such_tool"}),
        ("tools/call", {"name": "echo"}, {"name": "read_file"}, {"name": "no_such_tool"}),
        (
            "prompts/get",
            {"name": "greet", "arguments": {"who": "x"}},
            {"name": "elsewhere", "arguments": {"who": "x"}},
            {"name": "no_such_prompt", "arguments": {"who": "x"}},
        ),
        ("resources/read", {"uri": "test://plain"}, {"uri": "test://folder/x"}, {"uri": "test://no/such"}),
        (
            "completion/complete",
            {"ref": {"type": "ref/prompt", "name": "greet"}, "argument": {"name": "who", "value": "a"}},
            {"ref": {"type": "ref/prompt", "name": "elsewhere"}, "argument": {"name": "who", "value": "a"}},
            {"ref": {"type": "ref/prompt", "name": "no_such_prompt"}, "argument": {"name": "who", "value": "a"}},
        ),
    ],
)
async def test_what_is_outside_a_set_is_answered_as_what_is_nowhere(
    made: Surfaces, method: str, inside: dict[str, Any], outside: dict[str, Any], nowhere: dict[str, Any]
) -> None:
    assert (await made.ask(method, inside, "small")).result
    asked = len(made.got)
    told = [await made.ask(method, params, "small") for params in (outside, nowhere)]
    assert [one.shape for one in told] == [DENIED, DENIED]
    assert len(made.got) == asked


@pytest.mark.parametrize("server", ["nowhere", "smal", "small-"])
@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("server/discover", {}),
        ("tools/list", {}),
        ("prompts/list", {}),
        ("resources/list", {}),
        ("tools/call", {"name": "echo"}),
        ("prompts/get", {"name": "greet", "arguments": {"who": "x"}}),
        ("subscriptions/listen", {"notifications": {"toolsListChanged": True}}),
        ("tasks/get", {"taskId": "x"}),
    ],
)
async def test_a_set_that_is_not_there_is_not_found(
    made: Surfaces, server: str, method: str, params: dict[str, Any]
) -> None:
    told = await made.ask(method, params, server)
    assert (told.answer.status, told.error["message"]) == (404, "not found")
    assert told.reason() == "not_found"
    assert not made.got


async def test_what_a_set_offers_is_what_stands_in_it(made: Surfaces) -> None:
    assert set((await made.ask("server/discover", {}, "small")).result["capabilities"]) >= {"prompts", "resources"}
    assert (await made.ask("server/discover", {}, "small")).result["capabilities"]["tools"] == {"listChanged": True}
