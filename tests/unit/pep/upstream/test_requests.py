"""What goes out, in either era, and what comes back of it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from sallyport.pep.model import Failed, Reply
from sallyport.pep.upstream import UpstreamBroke, UpstreamUnavailable
from tests.support.upstream_leg import (
    LEGACY,
    MODERN,
    Client,
    Got,
    against,
    answer,
    chunk,
    echo,
    envelope,
    event,
    forward,
    http,
    saying,
    stream_head,
    who,
)

BIG = 2**63 - 1
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_n11_the_judged_parameters_go_out_byte_for_byte_with_our_meta_behind_them() -> None:
    asked = forward(params={"arguments": {"z": 1.5, "é": "x", "a": [None, True]}, "name": "echo"})
    async with against(echo) as (gate, opponent):
        await gate.ask(asked)
    (got,) = opponent.calls()
    assert b'"params":' + asked.params[:-1] + b',"_meta":{' in got.raw


async def test_a_modern_request_says_all_that_the_revision_requires_and_nothing_of_the_client() -> None:
    declared = {
        "elicitation": {"form": {"sneaky": "bytes"}, "other": {}},
        "sampling": {},
        "experimental": {"x": {}},
        "extensions": {"io.modelcontextprotocol/tasks": {"y": 1}, "com.example/own": {}},
    }
    asked = forward(envelope=envelope(capabilities=declared, log_level="info", progress_token="t", traceparent=TRACE))
    async with against(echo) as (gate, opponent):
        await gate.ask(asked)
    (got,) = opponent.calls()
    assert got.message["params"]["_meta"] == {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": {
            "elicitation": {"form": {}},
            "sampling": {},
            "extensions": {"io.modelcontextprotocol/tasks": {}},
        },
        "io.modelcontextprotocol/clientInfo": {"name": "sallyport", "version": "1.2.3"},
        "io.modelcontextprotocol/logLevel": "info",
        "progressToken": got.id,
        "traceparent": TRACE,
    }
    assert got.headers == {
        "host": got.headers["host"],
        "user-agent": "sallyport/1.2.3",
        "accept": "application/json, text/event-stream",
        "accept-encoding": "identity",
        "content-type": "application/json",
        "content-length": str(len(got.raw)),
        "mcp-protocol-version": MODERN,
        "mcp-method": "tools/call",
        "mcp-name": "echo",
        "traceparent": TRACE,
    }


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("get weather", "get weather"),
        ("smörgås", "=?base64?c23DtnJnw6Vz?="),
        (" edge", "=?base64?IGVkZ2U=?="),
        ("a\r\nX-Evil: 1", "=?base64?YQ0KWC1FdmlsOiAx?="),
        ("=?base64?eA==?=", "=?base64?PT9iYXNlNjQ/ZUE9PT89?="),
    ],
)
async def test_n20_a_name_changes_no_header_but_its_own(name: str, header: str) -> None:
    async with against(echo) as (gate, opponent):
        await gate.ask(forward(params={"name": name, "arguments": {}}))
    (got,) = opponent.calls()
    assert got.headers["mcp-name"] == header
    assert "x-evil" not in got.headers


async def test_n20_a_parameter_header_that_would_be_another_header_stops_the_request() -> None:
    async with against(echo) as (gate, opponent):
        for pair in (("Authorization", "x"), ("Mcp-Param-a", "x\r\ny: z"), ("Mcp-Param-", "x"), ("Mcp-Param-a", "")):
            with pytest.raises(UpstreamUnavailable):
                await gate.ask(forward(param_headers=(pair,)))
        await gate.ask(forward(param_headers=(("Mcp-Param-Region", "eu"),)))
    assert [got.headers["mcp-param-region"] for got in opponent.calls()] == ["eu"]


async def test_a_legacy_request_has_no_modern_meta_and_its_result_is_complete() -> None:
    async with against(saying(lambda got: answer(got, {"content": [], "vendor": 1})), LEGACY) as (gate, opponent):
        found = await gate.ask(forward(envelope=envelope(capabilities={"sampling": {}}, progress_token=1)))
    assert found == Reply({"content": [], "vendor": 1}, "complete")
    (got,) = opponent.calls()
    assert got.message["params"]["_meta"] == {"progressToken": got.id}
    assert got.headers["mcp-protocol-version"] == LEGACY
    assert not {"mcp-method", "mcp-name", "mcp-session-id"} & got.headers.keys()
    (first,) = opponent.calls("initialize")
    assert first.message["params"]["capabilities"] == {}


async def test_what_the_gate_says_itself_isnt_taken_from_a_result_and_all_else_is_kept() -> None:
    given = {"resultType": "input_required", "ttlMs": 5, "cacheScope": "public", "inputRequests": {}, "new": [1]}
    async with against(saying(lambda got: answer(got, given))) as (gate, _):
        assert await gate.ask() == Reply({"inputRequests": {}, "new": [1]}, "input_required")


async def test_a_json_rpc_error_with_our_id_is_the_upstreams_own_word_whatever_the_status() -> None:
    def refusing(got: Got) -> bytes:
        error = {"jsonrpc": "2.0", "id": got.id, "error": {"code": -32021, "message": "m" * 9000, "data": {"x": 1}}}
        return http(json.dumps(error).encode(), status="400 Bad Request")

    async with against(saying(refusing)) as (gate, _):
        assert await gate.ask() == Failed(-32021, "m" * 2048, {"x": 1})


@pytest.mark.parametrize("status", [401, 403, 404, 405, 429])
async def test_a_status_that_says_nothing_ran_is_a_known_failure(status: int) -> None:
    async with against(saying(http(b"no", "text/plain", f"{status} No"))) as (gate, _):
        assert await gate.ask() == Failed(-32603, f"the upstream refused the request (HTTP {status})")


@pytest.mark.parametrize("status", [202, 204, 301, 307, 400, 409, 500, 502, 503])
async def test_any_other_status_leaves_the_effect_unknown(status: int) -> None:
    async with against(saying(http(b"", "text/plain", f"{status} X"))) as (gate, _):
        client = Client()
        with pytest.raises(UpstreamBroke):
            await gate.ask(client=client)
        assert client.begun == 1


async def test_begun_is_called_once_before_anything_is_sent_and_may_refuse() -> None:
    class Refused(Exception):
        pass

    def refuse() -> None:
        raise Refused

    async with against(echo) as (gate, opponent):
        await gate.ask()
        with pytest.raises(Refused):
            await gate.upstreams.request(gate.name, gate.upstream, forward(), begun=refuse, emit=Client().emit)
        await gate.ask()
    assert len(opponent.calls()) == 2


async def test_the_era_is_found_out_once_for_many_and_ids_are_never_used_twice() -> None:
    async with against(echo) as (gate, opponent):
        answers = await asyncio.gather(*(gate.ask(forward(identity=who(f"u{n}"))) for n in range(40)))
    assert len(answers) == 40
    assert len(opponent.calls("server/discover")) == 1
    assert len({got.id for got in opponent.got}) == 41


async def test_n1_each_of_many_at_once_gets_its_own_answer() -> None:
    async with against(echo, connections=8) as (gate, _):

        async def one(number: int) -> None:
            found = await gate.ask(forward(params={"arguments": {"n": number}, "name": "echo"}))
            assert isinstance(found, Reply)
            assert found.result["got"]["arguments"] == {"n": number}  # type: ignore[index,call-overload]

        await asyncio.gather(*(one(number) for number in range(100)))


async def test_a_large_request_goes_out_whole() -> None:
    async with against(echo) as (gate, opponent):
        asked = forward(params={"arguments": {"x": "y" * (3 << 20)}, "name": "echo"}, result_bytes=4 << 20)
        assert isinstance(await gate.ask(asked), Reply)
    assert len(opponent.calls()[0].raw) > 3 << 20


async def test_connections_are_kept_and_used_again() -> None:
    async with against(echo) as (gate, opponent):
        for _ in range(5):
            await gate.ask()
    assert opponent.connections == 1


async def test_an_upstream_sees_no_capability_that_the_catalog_does_not_let_it_ask_for() -> None:
    declared: dict[str, Any] = {
        "elicitation": {"form": {}},
        "sampling": {},
        "extensions": {"io.modelcontextprotocol/tasks": {}},
    }
    async with against(echo) as (gate, opponent):
        only = gate.upstream.model_copy(update={"capabilities": ("elicitation",)})
        await replace(gate, upstream=only).ask(forward(envelope=envelope(capabilities=declared)))
    (got,) = opponent.calls()
    told = got.message["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"]
    assert told == {"elicitation": {"form": {}}}


def counted(got: Got) -> bytes:
    meta = got.message["params"]["_meta"]
    notices = [
        {"method": "notifications/progress", "params": {"progressToken": meta["progressToken"], "progress": BIG}},
        {"method": "notifications/message", "params": {"level": "error", "data": {"id": BIG}}},
    ]
    return b"".join(chunk(event({"jsonrpc": "2.0", **notice})) for notice in notices)


@pytest.mark.parametrize("number", [2**53, BIG, -(2**63), 2**64 - 1])
async def test_an_integer_of_64_bits_in_a_result_keeps_every_digit(number: int) -> None:
    async with against(saying(lambda got: answer(got, {"structuredContent": {"id": number}}))) as (gate, _):
        found = await gate.ask()
    assert isinstance(found, Reply)
    assert found.result == {"structuredContent": {"id": number}}


async def test_an_integer_of_64_bits_in_a_notification_keeps_every_digit() -> None:
    def end(got: Got) -> bytes:
        return chunk(event({"jsonrpc": "2.0", "id": got.id, "result": {"content": []}})) + chunk(b"")

    asked, client = forward(envelope=envelope(progress_token="t", log_level="info")), Client()
    async with against(saying(stream_head(), counted, end)) as (gate, _):
        await gate.ask(asked, client)
    assert client.heard == [
        ("notifications/progress", {"progressToken": "t", "progress": BIG}),
        ("notifications/message", {"level": "error", "data": {"id": BIG}}),
    ]


async def test_an_error_beside_an_integer_of_64_bits_is_the_upstreams_own_word() -> None:
    def refusing(got: Got) -> bytes:
        error = {"code": -32602, "message": "no", "data": {"id": BIG}}
        return http(json.dumps({"jsonrpc": "2.0", "id": got.id, "error": error}).encode(), status="400 Bad Request")

    async with against(saying(refusing)) as (gate, _):
        assert await gate.ask() == Failed(-32602, "no", {"id": BIG})
