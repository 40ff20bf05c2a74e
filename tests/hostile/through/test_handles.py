"""N2: a state, cursor or task of one caller is nobody else's, for no other call, and not for ever."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import pytest

from sallyport.pep import settings
from sallyport.pep.assembly import _handle_key
from sallyport.pep.handles import Handles
from tests.hostile.through.front import Answered, Front, front, tool
from tests.support.recording_upstream import Recording, Seen, complete
from tests.support.upstream_leg import answer

CAPABLE: Final[dict[str, Any]] = {
    "io.modelcontextprotocol/clientCapabilities": {
        "roots": {},
        "extensions": {"io.modelcontextprotocol/tasks": {}},
    }
}
STATE: Final = "state-of-the-upstream"
ARGUMENTS: Final = {"customer": 1}
TASK: Final = {"status": "working", "createdAt": "2026-11-21T00:00:00Z", "lastUpdatedAt": "2026-11-21T00:00:00Z"}
OTHERS: Final[Mapping[str, dict[str, Any]]] = {
    "another user": {"user": "bob"},
    "another agent": {"agent": "chat-bot"},
    "another org": {"org": "globex"},
    "another user of another org": {"user": "carol", "org": "globex"},
}


async def asking(seen: Seen, _reader: Any, writer: Any) -> None:
    if "requestState" in seen.params:
        writer.write(answer(seen, complete("done")))
        return
    wanted = {"inputRequests": {"r": {"method": "roots/list", "params": {}}}, "requestState": STATE}
    writer.write(answer(seen, {"resultType": "input_required", **wanted}))


async def starting(seen: Seen, _reader: Any, writer: Any) -> None:
    writer.write(answer(seen, {"resultType": "task", "taskId": "task-1", "ttlMs": None, **TASK}))


async def listing(seen: Seen, _reader: Any, writer: Any) -> None:
    found = {"resources": [{"uri": "crm://one", "name": "one"}], "ttlMs": 0, "cacheScope": "private"}
    writer.write(answer(seen, {"resultType": "complete", **found, "nextCursor": f"{seen.params.get('cursor', '')}2"}))


@pytest.fixture(scope="module")
async def gate(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Front]:
    crm, twin = Recording(), Recording()
    for upstream, names in ((crm, ("ask", "ask_too", "start")), (twin, ("twin_ask",))):
        for name in names:
            upstream.offer(name, starting if name == "start" else asking)
        upstream.acts["resources/list"] = listing
    crm.results |= {method: {"taskId": "task-1", "ttlMs": None, **TASK} for method in TASKS}
    catalog = {
        "tools": [
            *(tool("crm", crm.tools[name]) for name in ("ask", "ask_too", "start")),
            tool("twin", twin.tools["twin_ask"]),
        ],
        "resources": [{"prefix": "crm://", "upstream": "crm"}],
        "servers": {
            "sales": {"tools": ["ask", "start"], "resources": ["crm://"]},
            "other": {"tools": ["ask_too"], "resources": ["crm://"]},
        },
    }
    directory = tmp_path_factory.mktemp("handles") / "laptop"
    entries = {name: {"assertion": True} for name in ("crm", "twin")}
    async with front(directory, {"crm": crm, "twin": twin}, catalog, entries=entries) as made:
        yield made


TASKS: Final = ("tasks/get", "tasks/update", "tasks/cancel")


async def state(gate: Front, **who: Any) -> str:
    asked = await gate.ask("tools/call", {"name": "ask", "arguments": ARGUMENTS, "_meta": CAPABLE}, **who)
    assert asked.result["resultType"] == "input_required"
    found = str(asked.result["requestState"])
    assert STATE not in found
    return found


async def brought(gate: Front, handle: str, name: str = "ask", arguments: Any = None, **told: Any) -> Answered:
    params = {"name": name, "arguments": ARGUMENTS if arguments is None else arguments, "_meta": CAPABLE}
    return await gate.ask(
        "tools/call", {**params, "requestState": handle, "inputResponses": {"r": {"roots": []}}}, **told
    )


async def task(gate: Front, **who: Any) -> str:
    started = await gate.ask("tools/call", {"name": "start", "arguments": {}, "_meta": CAPABLE}, **who)
    assert started.result["resultType"] == "task"
    return str(started.result["taskId"])


async def about(gate: Front, handle: str, method: str = "tasks/get", **told: Any) -> Answered:
    return await gate.ask(method, {"taskId": handle, "_meta": CAPABLE}, **told)


async def cursor(gate: Front, **told: Any) -> str:
    return str((await gate.ask("resources/list", **told)).result["nextCursor"])


def foreign(gate: Front, refused: Answered, sent: int) -> None:
    """Refused as such, on record as such, and nothing reached an upstream."""
    assert refused.error["code"] == -32602
    assert STATE not in str(refused.message)
    found = gate.record("refusal", decision_id=refused.decision)
    assert [one["reason"] for one in found] == ["foreign_handle"]
    assert count(gate) == sent


def count(gate: Front) -> int:
    methods = ("tools/call", "resources/list", *TASKS)
    return sum(seen.method in methods for one in gate.upstreams.values() for seen in one.seen)


async def test_n2_each_handle_opens_for_whom_and_what_it_was_given(gate: Front) -> None:
    """Otherwise the rest would show nothing."""
    assert (await brought(gate, await state(gate))).text == "done"
    assert gate.upstreams["crm"].calls("ask")[-1].params["requestState"] == STATE
    for method in TASKS:
        assert (await about(gate, await task(gate), method)).result
        assert gate.upstreams["crm"].calls(method=method)[-1].params["taskId"] == "task-1"
    handle, asked = await cursor(gate), gate.upstreams["crm"].calls(method="resources/list")
    assert (await gate.ask("resources/list", {"cursor": handle})).result
    then = gate.upstreams["crm"].calls(method="resources/list")[len(asked)]
    assert then.params["cursor"] == asked[-1].params["cursor"] + "2"


@pytest.mark.parametrize("other", OTHERS)
async def test_n2_a_state_is_no_other_callers(gate: Front, other: str) -> None:
    handle, sent = await state(gate), count(gate)
    foreign(gate, await brought(gate, handle, **OTHERS[other]), sent)


@pytest.mark.parametrize("other", OTHERS)
async def test_n2_a_cursor_is_no_other_callers(gate: Front, other: str) -> None:
    handle, sent = await cursor(gate), count(gate)
    foreign(gate, await gate.ask("resources/list", {"cursor": handle}, **OTHERS[other]), sent)


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("method", TASKS)
async def test_n2_a_task_is_no_other_callers(gate: Front, other: str, method: str) -> None:
    handle, sent = await task(gate), count(gate)
    foreign(gate, await about(gate, handle, method, **OTHERS[other]), sent)


async def test_n2_a_state_is_for_the_call_that_it_was_given_for(gate: Front) -> None:
    handle, sent = await state(gate), count(gate)
    for name, arguments in (("ask_too", ARGUMENTS), ("twin_ask", ARGUMENTS), ("ask", {"customer": 2}), ("ask", {})):
        foreign(gate, await brought(gate, handle, name, arguments), sent)


async def test_n2_no_handle_passes_for_one_of_another_kind(gate: Front) -> None:
    handles = [await state(gate), await task(gate), await cursor(gate)]
    sent = count(gate)
    for handle in handles[1:]:
        foreign(gate, await brought(gate, handle), sent)
    for handle in (handles[0], handles[2]):
        foreign(gate, await about(gate, handle), sent)
    for handle in handles[:2]:
        foreign(gate, await gate.ask("resources/list", {"cursor": handle}), sent)
    foreign(gate, await gate.ask("resources/templates/list", {"cursor": handles[2]}), sent)
    foreign(gate, await gate.ask("tools/list", {"cursor": handles[2]}), sent)


async def test_n2_a_cursor_of_one_set_is_none_of_another(gate: Front) -> None:
    handle = await cursor(gate, server="sales")
    sent = count(gate)
    for server in ("other", ""):
        foreign(gate, await gate.ask("resources/list", {"cursor": handle}, server=server), sent)


async def test_n2_state_and_task_of_a_tool_are_of_no_use_at_a_set_that_lacks_it(gate: Front) -> None:
    brings, works = await state(gate, server="sales"), await task(gate, server="sales")
    sent = count(gate)
    assert "error" in (await brought(gate, brings, server="other")).message
    for method in TASKS:
        foreign(gate, await about(gate, works, method, server="other"), sent)


async def test_n2_a_handle_that_was_changed_or_cut_opens_nothing(gate: Front) -> None:
    handle = await state(gate)
    sent = count(gate)
    flipped = [handle[:at] + ("A" if handle[at] != "A" else "B") + handle[at + 1 :] for at in (0, 5, 20, -20)]
    for one in (*flipped, handle[:-1], handle + "A", handle + "=", "AQ", handle[1:]):
        foreign(gate, await brought(gate, one), sent)


async def test_n2_a_handle_ends(gate: Front) -> None:
    """Made with the gate's own key, some time ago: with the same made now, it opens."""
    key = _handle_key(settings.load(gate.directory / "pep.yaml"))
    who = ("laptop", "alice", "coding-bot", "acme")
    payloads = {
        "task": (who, b'["crm","start","task-1"]'),
        "cursor": ((*who, "", "resources/list"), b'["",["crm","2",""]]'),
    }
    ago = Handles(key, wall=lambda: time.time() - 100)
    for kind, (bound, payload) in payloads.items():
        fresh, old = ago.seal(kind, bound, payload, ttl=200), ago.seal(kind, bound, payload, ttl=99)
        ask = about if kind == "task" else listed
        assert (await ask(gate, fresh)).result
        sent = count(gate)
        foreign(gate, await ask(gate, old), sent)


async def listed(gate: Front, handle: str) -> Answered:
    return await gate.ask("resources/list", {"cursor": handle})
