"""What takes too long is told by its limit, to the client and in the record, and what an upstream says is told to the digit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import pytest

from sallyport.pep.upstream.pin import pin
from tests.hostile.through.front import LEGACY, MODERN, Front, front, tool
from tests.support.recording_upstream import Recording, Seen
from tests.support.upstream_leg import answer, chunk, event, stream_head, until

LIMIT_MS: Final = 1000  # so long that on a busy machine, too, the upstream is reached within it
OVER: Final = f"took longer than its limit of {LIMIT_MS} ms"
WIDE: Final = (2**53, 2**63 - 1, -(2**63), 2**64 - 1)
LEVEL: Final = {"_meta": {"io.modelcontextprotocol/logLevel": "info"}}


async def silent(seen: Seen, reader: Any, writer: Any) -> None:
    writer.write(stream_head() + b"7\r\n: hello\r\n")
    await reader.read()


async def wide(seen: Seen, _reader: Any, writer: Any) -> None:
    told = {"method": "notifications/message", "params": {"level": "info", "data": {"ids": [*WIDE]}}}
    whole = {"ids": [*WIDE]}
    text = {"type": "text", "text": '{"ids":[' + ",".join(map(str, WIDE)) + "]}"}
    writer.write(stream_head() + chunk(event({"jsonrpc": "2.0", **told})))
    result = {"resultType": "complete", "content": [text], "structuredContent": whole}
    writer.write(chunk(event({"jsonrpc": "2.0", "id": seen.id, "result": result})) + chunk(b""))


async def far_too_wide(seen: Seen, _reader: Any, writer: Any) -> None:
    writer.write(answer(seen, {"resultType": "complete", "content": [], "structuredContent": {"id": 10**21}}))


@pytest.fixture(scope="module")
async def gate(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Front]:
    late, mute = Recording(), Recording()
    limits = {"timeout_ms": LIMIT_MS}
    tools = [
        tool("late", late.offer(name, late.hang), effect=name, limits=limits) for name in ("read_only", "destructive")
    ]
    tools += [tool("late", late.offer("wide", wide)), tool("late", late.offer("far_too_wide", far_too_wide))]
    tools += [tool("mute", mute.offer("mute", silent), limits={"timeout_ms": 20_000})]
    prompt: dict[str, Any] = {"name": "greet"}
    late.results |= {"prompts/list": {"prompts": [prompt]}, "resources/list": {"resources": []}}
    late.acts |= {"prompts/get": late.hang, "resources/read": late.hang}
    catalog = {
        "tools": tools,
        "prompts": [{**prompt, "upstream": "late", "pin": pin(prompt), "limits": limits}],
        "resources": [{"prefix": "late://", "upstream": "late", "limits": limits}],
    }
    entries: dict[str, Any] = {"late": {"era": MODERN}, "mute": {"era": MODERN, "limits": {"idle_ms": LIMIT_MS}}}
    directory = tmp_path_factory.mktemp("late") / "laptop"
    async with front(directory, {"late": late, "mute": mute}, catalog, entries=entries) as made:
        yield made


async def recorded(gate: Front, decision: str) -> tuple[str, str]:
    """How it ended; nobody waits for that record."""
    await until(lambda: bool(gate.record("outcome", decision_id=decision)))
    (found,) = gate.record("outcome", decision_id=decision)
    return found["outcome"], found["detail"]


@pytest.mark.parametrize("era", [LEGACY, MODERN])
async def test_a_read_over_its_time_is_a_failure_that_names_the_limit(gate: Front, era: str) -> None:
    told = await gate.call("read_only", era=era)
    decision = told.result["_meta"]["sallyport.io/decision_id"]
    assert told.result["isError"]
    assert told.text == f"the tool {OVER} (decision {decision})"
    assert await recorded(gate, decision) == ("failed", f"{OVER} (limits.timeout_ms)")


async def test_a_change_over_its_time_is_of_unknown_effect_and_names_the_limit(gate: Front) -> None:
    told = await gate.call("destructive")
    assert told.error["message"] == f"the tool broke after its effect began: it {OVER}"
    assert told.error["data"]["effect"] == "unknown"
    assert await recorded(gate, told.decision) == ("unknown", f"{OVER} (limits.timeout_ms)")


@pytest.mark.parametrize(
    ("method", "params"), [("prompts/get", {"name": "greet"}), ("resources/read", {"uri": "late://x"})]
)
async def test_a_prompt_and_a_resource_over_their_time_name_the_limit(
    gate: Front, method: str, params: dict[str, Any]
) -> None:
    error = (await gate.ask(method, params)).error
    decision = error["data"]["sallyport.io/decision_id"]
    assert error["message"] == f"the upstream {OVER} (decision {decision})"
    assert await recorded(gate, decision) == ("failed", f"{OVER} (limits.timeout_ms)")


async def test_a_server_that_falls_silent_is_told_by_its_own_limit(gate: Front) -> None:
    told = await gate.call("mute")
    decision = told.result["_meta"]["sallyport.io/decision_id"]
    silence = f"was silent for longer than its server's limit of {LIMIT_MS} ms"
    assert told.text == f"the tool {silence} (decision {decision})"
    assert await recorded(gate, decision) == ("failed", f"{silence} (the upstream's limits.idle_ms)")


async def test_integers_of_64_bits_reach_a_client_with_every_digit(gate: Front) -> None:
    told = await gate.ask("tools/call", {"name": "wide", "arguments": {}, **LEVEL})
    assert told.result["structuredContent"] == {"ids": [*WIDE]}
    assert told.text == '{"ids":[' + ",".join(map(str, WIDE)) + "]}"
    assert [one["params"]["data"] for one in told.heard] == [{"ids": [*WIDE]}]


async def test_a_result_that_no_reader_could_hold_is_refused_and_the_next_is_not(gate: Front) -> None:
    assert (await gate.call("far_too_wide")).result["isError"]
    assert not (await gate.call("wide")).result["isError"]
