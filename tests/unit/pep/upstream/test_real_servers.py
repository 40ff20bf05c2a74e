"""The leg before real servers: the SDK's, in both eras, with sessions and without, as stream and as JSON."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import mcp_types as types
import pytest
import uvicorn
from mcp.server import Server, ServerRequestContext

from sallyport.pep.model import Failed, Reply
from tests.support.everything_server import serving
from tests.support.upstream_leg import LEGACY, MODERN, Client, Gate, envelope, forward, gate, until, who

OPTIONS = {"stateful": (), "stateless": ("--stateless",), "json": ("--stateless", "--json")}
WATCHED = envelope(progress_token="theirs", log_level="debug")


@pytest.fixture(scope="module", params=OPTIONS)
def server(request: pytest.FixtureRequest) -> Iterator[tuple[str, int]]:
    with serving(*OPTIONS[request.param]) as url:
        port = urlsplit(url).port
        assert port is not None
        yield request.param, port


@pytest.fixture(params=["auto", MODERN, LEGACY])
async def met(request: pytest.FixtureRequest, server: tuple[str, int]) -> AsyncIterator[tuple[Gate, str, str]]:
    """The gate, the server's kind, and the era in which they speak."""
    kind, port = server
    async with gate(port, request.param) as before:
        yield before, kind, LEGACY if request.param == LEGACY else MODERN


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"name": name, "arguments": arguments}


async def test_every_plain_method_is_answered_in_every_era(met: tuple[Gate, str, str]) -> None:
    before, _, _ = met
    asked: list[tuple[str, dict[str, Any], str]] = [
        ("tools/list", {}, "tools"),
        ("tools/call", call("test_simple_text"), "content"),
        ("resources/list", {}, "resources"),
        ("resources/templates/list", {}, "resourceTemplates"),
        ("resources/read", {"uri": "test://static-text"}, "contents"),
        ("prompts/list", {}, "prompts"),
        ("prompts/get", {"name": "test_prompt_with_arguments", "arguments": {"arg1": "ä", "arg2": "b"}}, "messages"),
        (
            "completion/complete",
            {
                "ref": {"type": "ref/prompt", "name": "test_prompt_with_arguments"},
                "argument": {"name": "arg1", "value": "p"},
            },
            "completion",
        ),
    ]
    for method, params, member in asked:
        found = await before.ask(forward(method, params))
        assert isinstance(found, Reply), (method, found)
        assert found.result[member], method
        assert (found.type, found.result.get("ttlMs"), found.result.get("resultType")) == ("complete", None, None)


async def test_an_unknown_tool_is_the_upstreams_own_error(met: tuple[Gate, str, str]) -> None:
    assert isinstance(await met[0].ask(forward(params=call("nothing"))), Failed)


async def test_progress_and_messages_come_before_the_answer(met: tuple[Gate, str, str]) -> None:
    before, kind, _ = met
    client = Client()
    assert isinstance(
        await before.ask(forward(params=call("test_tool_with_progress"), envelope=WATCHED), client), Reply
    )
    assert isinstance(await before.ask(forward(params=call("test_tool_with_logging"), envelope=WATCHED), client), Reply)
    told = [] if kind == "json" else ["notifications/progress"] * 3 + ["notifications/message"] * 3
    assert [method for method, _ in client.heard] == told
    assert {params.get("progressToken", "theirs") for _, params in client.heard} <= {"theirs"}


async def test_a_wish_for_input_comes_only_where_the_caller_said_they_can_give_it(met: tuple[Gate, str, str]) -> None:
    before, _, era = met
    able = envelope(capabilities={"elicitation": {"form": {}}})
    params = call("test_input_required_result_elicitation")
    if era == MODERN:
        found = await before.ask(forward(params=params, envelope=able))
        assert isinstance(found, Reply)
        assert found.type == "input_required"
        assert found.result["inputRequests"]
    unable = await before.ask(forward(params=call("test_missing_capability")))
    assert isinstance(unable, Failed) or unable.result["isError"]


async def test_a_question_of_a_legacy_server_fails_the_tool_and_not_the_leg(met: tuple[Gate, str, str]) -> None:
    before, _, era = met
    if era == LEGACY:
        found = await before.ask(forward(params=call("test_sampling", prompt="hello"), timeout_ms=5000))
        assert isinstance(found, Failed) or found.result["isError"]
    assert isinstance(await before.ask(forward(params=call("test_simple_text"))), Reply)


async def test_a_changed_list_is_told_to_whoever_listens(met: tuple[Gate, str, str]) -> None:
    before, kind, era = met
    if era == LEGACY and kind != "stateful":
        return  # without a session there is no stream that lasts
    heard: list[str] = []

    async def listen() -> None:
        asked = forward("subscriptions/listen", {"notifications": {"toolsListChanged": True}})
        frames = before.upstreams.listen("crm", before.upstream, asked, begun=lambda: None)
        async with aclosing(frames):
            async for method, _ in frames:
                heard.append(method)

    running = asyncio.create_task(listen())
    await until(lambda: bool(heard))
    if era == MODERN:
        await before.ask(forward(params=call("test_trigger_tool_change")))
        await until(lambda: len(heard) == 2)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert heard[0] == "notifications/subscriptions/acknowledged"


async def test_a_hundred_callers_at_once_are_all_answered(met: tuple[Gate, str, str]) -> None:
    before, _, _ = met
    asked = [forward(params=call("test_simple_text"), identity=who(f"u{n % 10}")) for n in range(100)]
    answers = await asyncio.gather(*(before.ask(one) for one in asked))
    assert all(isinstance(found, Reply) for found in answers)


async def test_a_legacy_server_that_ends_its_stream_in_the_middle_is_asked_for_the_rest(
    met: tuple[Gate, str, str],
) -> None:
    client = Client()
    asked = forward(params=call("test_reconnection"), envelope=WATCHED)
    found = await met[0].ask(asked, client)
    assert isinstance(found, Reply)
    if met[1] != "json":
        assert [params["data"] for _, params in client.heard] == ["Before disconnect", "After reconnect"]


class Patient:
    """A tool that waits, and tells whether it was cancelled."""

    def __init__(self) -> None:
        self.running = self.cancelled = 0

    async def __call__(
        self, context: ServerRequestContext[Any], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        self.running += 1
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return types.CallToolResult(content=[])


@asynccontextmanager
async def patient() -> AsyncIterator[tuple[Patient, int]]:
    tool = Patient()
    server: Server[Any] = Server("patient", version="1", on_call_tool=tool)
    config = uvicorn.Config(server.streamable_http_app(), host="127.0.0.1", port=0, log_config=None, lifespan="on")
    socket = config.bind_socket()
    running = uvicorn.Server(config)
    task = asyncio.create_task(running.serve(sockets=[socket]))
    await until(lambda: running.started)
    try:
        yield tool, socket.getsockname()[1]
    finally:
        running.should_exit = True
        await task


@pytest.mark.parametrize("era", [MODERN, LEGACY])
async def test_a_real_tool_is_cancelled_within_a_second_of_its_caller(era: str) -> None:
    async with patient() as (tool, port), gate(port, era) as before:
        running = asyncio.create_task(before.ask(forward(params=call("wait"))))
        await until(lambda: tool.running == 1)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await until(lambda: tool.cancelled == 1, 1)
