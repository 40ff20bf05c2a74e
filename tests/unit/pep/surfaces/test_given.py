"""N2: what the gate gives out to be brought back works for whom it was given out, for what, and for nobody else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import pytest

from sallyport.pep.model import Era, Json
from tests.support.surfaces import Surfaces, Told, trusting, usual
from tests.support.upstream_leg import Got

STRANGERS: Final[tuple[dict[str, Any], ...]] = (
    {"user": "bob"},
    {"agent": "chat-bot"},
    {"org": "globex"},
    {"user": "bob", "org": "globex", "agent": "chat-bot"},
)
ROOTS: Final[dict[str, Json]] = {"r": {"roots": []}}
UNKNOWN: Final = (200, -32602, "unknown or expired handle", frozenset({"decision_id"}))


async def state(made: Surfaces, name: str = "ask", **arguments: str) -> str:
    told = await made.ask("tools/call", {"name": name, "arguments": arguments})
    return str(told.result["requestState"])


async def task(made: Surfaces, name: str = "start", server: str = "") -> str:
    told = await made.ask("tools/call", {"name": name, "arguments": {}}, server)
    return str(told.result["taskId"])


def endless(got: Got) -> Mapping[str, Any]:
    """Its pages never end, so that ours ends with a cursor."""
    if got.method not in {"resources/list", "resources/templates/list"}:
        return usual(got)
    told = str(got.message["params"].get("cursor", ""))
    more = "second" if told.startswith("third") else "third"
    return {"resultType": "complete", "resources": [], "resourceTemplates": [], "nextCursor": more}


async def cursor(made: Surfaces, method: str = "resources/list", server: str = "") -> str:
    made.said.append(endless)
    handle = str((await made.ask(method, {}, server)).result["nextCursor"])
    made.said.pop()
    return handle


def retried(handle: str, name: str = "ask", **arguments: str) -> dict[str, Any]:
    return {"name": name, "arguments": arguments, "requestState": handle, "inputResponses": ROOTS}


async def refused(made: Surfaces, told: Told, asked: int) -> None:
    assert told.shape == UNKNOWN
    assert told.reason() == "foreign_handle"
    assert len(made.got) == asked, "the upstream was asked"


async def test_n2_what_an_upstream_gives_out_never_leaves_in_the_open(made: Surfaces) -> None:
    handles = [await state(made), await task(made), await cursor(made)]
    assert not any(plain in handle for handle in handles for plain in ("state-of", "task-of", "second", "third", "one"))
    assert handles != [await state(made), await task(made), await cursor(made)], "the same handle twice"


async def test_a_state_comes_back_to_the_upstream_as_it_gave_it_out(made: Surfaces) -> None:
    handle = await state(made, text="a")
    told = await made.ask("tools/call", retried(handle, text="a"))
    assert told.result["resultType"] == "complete"
    assert made.got[-1].message["params"]["requestState"] == "state-of-ask"
    assert made.got[-1].message["params"]["inputResponses"] == ROOTS


@pytest.mark.parametrize("who", STRANGERS[:3])  # the last one doesn't even see the tool
async def test_n2_a_state_of_somebody_else_is_refused_and_recorded(made: Surfaces, who: dict[str, Any]) -> None:
    handle = await state(made)
    asked = len(made.got)
    await refused(made, await made.ask("tools/call", retried(handle), **who), asked)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("ask", {"text": "b"}), ("ask", {}), ("ask_too", {"text": "a"}), ("echo", {"text": "a"})],
)
async def test_n2_a_state_of_another_call_is_refused(made: Surfaces, name: str, arguments: dict[str, str]) -> None:
    handle = await state(made, text="a")
    asked = len(made.got)
    await refused(made, await made.ask("tools/call", retried(handle, name, **arguments)), asked)


async def test_n2_a_state_of_a_tool_is_none_of_a_prompt_or_a_resource(made: Surfaces) -> None:
    handle = await state(made)
    asked = len(made.got)
    more = {"requestState": handle}
    await refused(made, await made.ask("prompts/get", {"name": "greet", "arguments": {"who": "x"}, **more}), asked)
    await refused(made, await made.ask("resources/read", {"uri": "test://plain", **more}), asked)


async def test_n2_a_handle_of_one_kind_is_none_of_another(made: Surfaces) -> None:
    handles = {"state": await state(made), "task": await task(made), "cursor": await cursor(made)}
    asked = len(made.got)
    for kind, handle in handles.items():
        if kind != "state":
            await refused(made, await made.ask("tools/call", retried(handle)), asked)
        if kind != "task":
            await refused(made, await made.ask("tasks/get", {"taskId": handle}), asked)
        if kind != "cursor":
            await refused(made, await made.ask("resources/list", {"cursor": handle}), asked)


@pytest.mark.parametrize("method", ["tasks/get", "tasks/update", "tasks/cancel"])
async def test_a_task_is_asked_for_by_whom_it_was_given_to(made: Surfaces, method: str) -> None:
    handle = await task(made)
    more = {"inputResponses": ROOTS} if method == "tasks/update" else {}
    told = await made.ask(method, {"taskId": handle, **more})
    assert told.body.get("result") is not None, told.body
    assert made.got[-1].message["params"]["taskId"] == "task-of-start"
    assert made.got[-1].headers["mcp-name"] == "task-of-start"
    assert "task-of" not in str(told.body), "the upstream's own id left"


@pytest.mark.parametrize("who", STRANGERS)
@pytest.mark.parametrize("method", ["tasks/get", "tasks/update", "tasks/cancel"])
async def test_n2_a_task_of_somebody_else_is_refused_and_recorded(
    made: Surfaces, method: str, who: dict[str, Any]
) -> None:
    handle = await task(made)
    asked = len(made.got)
    await refused(made, await made.ask(method, {"taskId": handle}, **who), asked)


async def test_n21_a_task_of_a_tool_in_quarantine_is_not_spoken_to(made: Surfaces) -> None:
    handle = await task(made)
    asked = len(made.got)
    held = replace(made, gate=trusting(made.gate, {"start": "its definition changed"}))
    for method in ("tasks/get", "tasks/update", "tasks/cancel"):
        told = await held.ask(method, {"taskId": handle})
        assert told.shape == (200, -32010, "denied by policy", frozenset({"decision_id"}))
        assert told.reason() == "quarantined"
    assert len(made.got) == asked


async def test_n2_a_task_is_none_in_a_set_that_lacks_its_tool(made: Surfaces) -> None:
    handle = await task(made, server="small")
    assert (await made.ask("tasks/get", {"taskId": handle}, "small")).result
    asked = len(made.got)
    await refused(made, await made.ask("tasks/get", {"taskId": handle}, "other"), asked)


@pytest.mark.parametrize("who", STRANGERS)
async def test_n2_a_cursor_of_somebody_else_is_refused_and_recorded(made: Surfaces, who: dict[str, Any]) -> None:
    handle = await cursor(made)
    asked = len(made.got)
    await refused(made, await made.ask("resources/list", {"cursor": handle}, **who), asked)


async def test_n2_a_cursor_of_another_list_or_set_is_refused(made: Surfaces) -> None:
    whole, templates = await cursor(made), await cursor(made, "resources/templates/list")
    small = await cursor(made, server="small")
    asked = len(made.got)
    for method, server, handle in (
        ("resources/templates/list", "", whole),
        ("resources/list", "", templates),
        ("resources/list", "small", whole),
        ("resources/list", "other", small),
        ("resources/list", "", small),
    ):
        await refused(made, await made.ask(method, {"cursor": handle}, server), asked)


@pytest.mark.parametrize("method", ["tools/list", "prompts/list", "resources/list", "resources/templates/list"])
@pytest.mark.parametrize("handle", ["", "second", "1", "A" * 1024])
async def test_a_cursor_that_was_never_given_out_is_refused(made: Surfaces, method: str, handle: str) -> None:
    asked = len(made.got)
    await refused(made, await made.ask(method, {"cursor": handle}), asked)


async def test_n2_a_handle_with_any_one_character_changed_is_none(made: Surfaces) -> None:
    handle = await task(made)
    asked = len(made.got)
    for place in range(0, len(handle), 7):
        other = "A" if handle[place] != "A" else "B"
        told = await made.ask("tasks/get", {"taskId": handle[:place] + other + handle[place + 1 :]})
        await refused(made, told, asked)


@pytest.mark.parametrize("length", [1, 700, 1000, 4000])
async def test_a_cursor_of_an_upstream_comes_back_however_long_it_is(made: Surfaces, length: int) -> None:
    def turning(got: Got) -> Mapping[str, Any]:
        before = got.message["params"].get("cursor", "d")
        more = ("c" if before.startswith("d") else "d") * length
        return {"resultType": "complete", "resources": [{"uri": "test://plain"}], "nextCursor": more}

    made.said.append(turning)
    handle = (await made.ask("resources/list")).result["nextCursor"]
    made.opponent.got.clear()
    await made.ask("resources/list", {"cursor": handle})
    assert made.got[0].message["params"]["cursor"] in {"c" * length, "d" * length}


@pytest.mark.parametrize("length", [1, 4000, 16 << 10])
async def test_a_state_of_an_upstream_comes_back_however_long_it_is(made: Surfaces, length: int) -> None:
    asks = {"resultType": "input_required", "inputRequests": {"r": {"method": "roots/list", "params": {}}}}
    made.said.append(lambda got: {**asks, "requestState": "s" * length})
    handle = await state(made)
    await made.ask("tools/call", retried(handle))
    assert made.got[-1].message["params"]["requestState"] == "s" * length


async def test_a_state_that_could_not_be_brought_back_is_not_given_out(made: Surfaces) -> None:
    asks = {"resultType": "input_required", "inputRequests": {"r": {"method": "roots/list", "params": {}}}}
    made.said.append(lambda got: {**asks, "requestState": "s" * 20_000})
    told = await made.ask("tools/call", {"name": "ask", "arguments": {}})
    assert "asks for input that can't be passed on" in told.error["message"]
    made.said.append(lambda got: {"resultType": "complete", "resources": [], "nextCursor": "\u00e9" * 4096})
    assert (await made.ask("resources/list")).result["resources"] == []


@pytest.mark.parametrize("asks", [{"requestState": "s"}, {"inputRequests": {}}])
async def test_a_client_of_the_legacy_era_is_given_no_result_that_its_revision_doesnt_have(
    made: Surfaces, asks: dict[str, Any]
) -> None:
    made.said.append(lambda got: {"resultType": "input_required", **asks})
    request = made.request("tools/call", {"name": "ask", "arguments": {}})
    headers = tuple(pair for pair in request.headers if not pair[0].startswith(b"mcp-"))
    told = await made.send(replace(request, headers=(*headers, (b"mcp-protocol-version", Era.LEGACY.value.encode()))))
    assert "asks for input that can't be passed on" in told.error["message"]
