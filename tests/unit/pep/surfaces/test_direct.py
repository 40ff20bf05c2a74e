"""Prompts, resources, completions: judged by themselves, done as judged, and no oracle for whom they are denied."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import pytest
from mcp_types import methods

from sallyport.authz.v1 import authz_pb2 as pb
from sallyport.contract.limits import MAX_INPUT_BYTES
from sallyport.pep.decision import PdpClient
from sallyport.pep.model import Era
from tests.support.surfaces import META, Surfaces, trusting

DENIED: Final = (200, -32010, "denied by policy", frozenset({"decision_id"}))
PERMITTED: Final[tuple[tuple[str, dict[str, Any], dict[str, Any]], ...]] = (
    ("prompts/get", {"name": "greet", "arguments": {"who": "x"}}, {"name": "greet", "arguments": {"who": "x"}}),
    ("resources/read", {"uri": "test://plain"}, {"uri": "test://plain"}),
    ("resources/read", {"uri": "test://folder/a/b"}, {"uri": "test://folder/a/b"}),
    ("resources/read", {"uri": "test://item/7"}, {"uri": "test://item/7"}),
    (
        "completion/complete",
        {"ref": {"type": "ref/prompt", "name": "greet"}, "argument": {"name": "who", "value": "a"}},
        {"ref": {"type": "ref/prompt", "name": "greet"}, "argument": {"name": "who", "value": "a"}},
    ),
    (
        "completion/complete",
        {
            "ref": {"type": "ref/prompt", "name": "greet"},
            "argument": {"name": "who", "value": "a"},
            "context": {"arguments": {"how": "b"}},
        },
        {
            "ref": {"type": "ref/prompt", "name": "greet"},
            "argument": {"name": "who", "value": "a"},
            "context": {"arguments": {"how": "b"}},
        },
    ),
    (
        "completion/complete",
        {
            "ref": {"type": "ref/resource", "uri": "test://folder/{+path}/{name*,n:3}"},
            "argument": {"name": "path", "value": "a"},
            "context": {"arguments": {"name": "b", "n": "c"}},
        },
        {
            "ref": {"type": "ref/resource", "uri": "test://folder/{+path}/{name*,n:3}"},
            "argument": {"name": "path", "value": "a"},
            "context": {"arguments": {"name": "b", "n": "c"}},
        },
    ),
    (
        "completion/complete",
        {
            "ref": {"type": "ref/resource", "uri": "test://item/{id}"},
            "argument": {"name": "id", "value": "a"},
            "context": {"arguments": {"id": "c"}},
        },
        {
            "ref": {"type": "ref/resource", "uri": "test://item/{id}"},
            "argument": {"name": "id", "value": "a"},
            "context": {"arguments": {"id": "c"}},
        },
    ),
)
ITEM: Final = {"type": "ref/resource", "uri": "test://item/{id}"}
GREET: Final = {"type": "ref/prompt", "name": "greet"}
# Completions of what isn't there to be completed, of things that are.
MADE_UP: Final[tuple[dict[str, Any], ...]] = (
    {"ref": GREET, "argument": {"name": "no", "value": ""}},
    {"ref": GREET, "argument": {"name": "who", "value": ""}, "context": {"arguments": {"no": "a"}}},
    {"ref": ITEM, "argument": {"name": "no", "value": ""}},
    {"ref": ITEM, "argument": {"name": "", "value": ""}},
    {"ref": ITEM, "argument": {"name": "{id}", "value": ""}},
    {"ref": ITEM, "argument": {"name": "id", "value": ""}, "context": {"arguments": {"no": "a"}}},
    {"ref": {**ITEM, "uri": "test://item/7"}, "argument": {"name": "id", "value": ""}},
    {"ref": {**ITEM, "uri": "test://item/{x}"}, "argument": {"name": "x", "value": ""}},
    {"ref": {**ITEM, "uri": "test://item/{x}"}, "argument": {"name": "id", "value": ""}},
    {"ref": {**ITEM, "uri": "test://plain"}, "argument": {"name": "a", "value": ""}},
    {"ref": {**ITEM, "uri": "test://folder/a"}, "argument": {"name": "a", "value": ""}},
    {"ref": {**ITEM, "uri": "test://folder/{a}"}, "argument": {"name": "b", "value": ""}},
)
# What somebody may, with something wrong about it; and the same of what isn't there or is forbidden.
UNFIT: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("prompts/get", {"name": "greet", "arguments": {}}),
    ("prompts/get", {"name": "greet", "arguments": {"who": "x", "more": "y"}}),
    ("prompts/get", {"name": "hidden", "arguments": {"who": "x"}}),
    ("prompts/get", {"name": "hidden", "arguments": {}}),
    ("prompts/get", {"name": "no_such", "arguments": {}}),
    ("prompts/get", {"name": "greet", "arguments": {"who": "x"}, "requestState": "forged"}),
    ("resources/read", {"uri": "test://hidden"}),
    ("resources/read", {"uri": "test://nowhere"}),
    ("resources/read", {"uri": "test://folder/../hidden"}),
    ("resources/read", {"uri": "test://plain", "requestState": "forged"}),
    ("resources/read", {"uri": "file:///etc/passwd"}),
    ("resources/read", {"uri": "no uri at all"}),
    ("completion/complete", {"ref": {"type": "ref/prompt", "name": "hidden"}, "argument": {"name": "a", "value": "b"}}),
    ("completion/complete", {"ref": {"type": "ref/prompt", "name": "no"}, "argument": {"name": "a", "value": "b"}}),
    ("completion/complete", {"ref": {"type": "ref/resource", "uri": "x:y"}, "argument": {"name": "a", "value": "b"}}),
    *(("completion/complete", params) for params in MADE_UP),
)


@pytest.mark.parametrize(("method", "params", "there"), PERMITTED)
async def test_n11_what_is_permitted_reaches_its_upstream_as_it_was_judged(
    made: Surfaces, method: str, params: dict[str, Any], there: dict[str, Any]
) -> None:
    told = await made.ask(method, params)
    methods.validate_server_result(method, Era.MODERN.value, told.result)
    (got,) = made.got
    sent = {key: value for key, value in got.message["params"].items() if key != "_meta"}
    assert (got.method, sent) == (method, there)
    named = {"prompts/get": "name", "resources/read": "uri"}
    assert got.headers.get("mcp-name") == (there[named[method]] if method in named else None)
    intent = next(one for one in made.gate.records() if one.get("decision_id") == decision(told.result))
    assert (intent["kind"], intent["method"]) == ("intent", method)
    assert len(intent["resources"]) == 1


def decision(result: dict[str, Any]) -> str:
    return str(result["_meta"]["sallyport.io/decision_id"])


@pytest.mark.parametrize(("method", "params"), UNFIT)
async def test_n9_who_may_not_gets_one_answer_whatever_is_wrong(
    made: Surfaces, method: str, params: dict[str, Any]
) -> None:
    told = await made.ask(method, params, roles=("guest",))
    assert told.shape == DENIED
    assert not made.got
    (record,) = [one for one in made.gate.records() if one.get("decision_id") == told.error["data"]["decision_id"]]
    assert len(record["resources"]) == 1, "the record doesn't say what was asked for"


ALIKE: Final[tuple[tuple[tuple[str, dict[str, Any]], ...], ...]] = (
    (
        ("prompts/get", {"name": "hidden", "arguments": {"who": "x"}}),
        ("prompts/get", {"name": "hidden", "arguments": {}}),
        ("prompts/get", {"name": "no_such", "arguments": {"who": "x"}}),
    ),
    (("resources/read", {"uri": "test://hidden"}), ("resources/read", {"uri": "test://nowhere"})),
    (("tools/call", {"name": "hidden"}), ("tools/call", {"name": "no_such"})),
)


@pytest.mark.parametrize("alike", ALIKE, ids=[one[0][0] for one in ALIKE])
async def test_n9_what_is_denied_and_what_is_not_there_cost_the_same_questions_and_the_same_record(
    made: Surfaces, monkeypatch: pytest.MonkeyPatch, alike: tuple[tuple[str, dict[str, Any]], ...]
) -> None:
    truly, asked = PdpClient.ask, list[int]()

    async def counted(self: PdpClient, question: pb.Question, **how: Any) -> pb.Answer:
        asked.append(len(question.evaluations))
        return await truly(self, question, **how)

    monkeypatch.setattr(PdpClient, "ask", counted)
    seen = set()
    for method, params in alike:
        asked.clear()
        told = await made.ask(method, params)
        assert told.shape == DENIED
        (record,) = [one for one in made.gate.records() if one.get("decision_id") == told.error["data"]["decision_id"]]
        seen.add((tuple(asked), frozenset(record)))
    ((questions, _),) = seen
    assert questions == (1,)


@pytest.mark.parametrize(("method", "params", "there"), PERMITTED)
async def test_who_may_not_is_denied_what_another_may(
    made: Surfaces, method: str, params: dict[str, Any], there: dict[str, Any]
) -> None:
    assert (await made.ask(method, params, roles=("guest",))).shape == DENIED
    assert not made.got


@pytest.mark.parametrize(
    ("method", "params"),
    [("prompts/get", {"name": "greet", "arguments": {"who": "x"}}), ("resources/read", {"uri": "test://plain"})],
)
async def test_answers_over_the_cap_are_wrong_params_of_what_is_no_tool(
    made: Surfaces, method: str, params: dict[str, Any]
) -> None:
    told = await made.ask(method, params | {"inputResponses": {"q": {"a": "x" * MAX_INPUT_BYTES}}})
    assert (told.answer.status, told.error["code"]) == (400, -32602)
    assert "larger than" in told.error["message"]
    assert not made.got


@pytest.mark.parametrize(
    ("params", "status", "code"),
    [
        ({"name": "greet", "arguments": {}}, 400, -32602),
        ({"name": "greet", "arguments": {"who": "x", "more": "y"}}, 400, -32602),
        ({"name": "hidden", "arguments": {}}, 200, -32010),
        ({"name": "no_such", "arguments": {}}, 200, -32010),
    ],
)
async def test_who_may_is_told_what_is_wrong_and_of_nothing_else(
    made: Surfaces, params: dict[str, Any], status: int, code: int
) -> None:
    told = await made.ask("prompts/get", params)
    assert (told.answer.status, told.error["code"]) == (status, code)
    assert not made.got


@pytest.mark.parametrize("params", MADE_UP)
async def test_of_what_a_prompt_or_template_does_not_have_no_upstream_is_asked(
    made: Surfaces, params: dict[str, Any]
) -> None:
    told = await made.ask("completion/complete", params)
    assert (told.answer.status, told.error["code"]) == (400, -32602)
    assert not made.got


async def test_n9_the_prompts_listed_are_the_prompts_that_can_be_got(made: Surfaces) -> None:
    for roles in (("everything",), ("guest",), ("developer",)):
        listed = (await made.ask("prompts/list", roles=roles)).body
        shown = {prompt["name"] for prompt in listed.get("result", {"prompts": []})["prompts"]}
        got = set()
        for name in ("greet", "hidden", "elsewhere", "read_file"):
            arguments = {} if name == "read_file" else {"who": "x"}
            told = await made.ask("prompts/get", {"name": name, "arguments": arguments}, roles=roles)
            got |= {name} if "result" in told.body else set()
        assert shown == got, roles
        assert shown == (set() if roles == ("guest",) else {"greet", "elsewhere", "read_file"})


async def test_n21_a_prompt_in_quarantine_is_neither_listed_nor_got(made: Surfaces) -> None:
    held = replace(made, gate=trusting(made.gate, {"prompt:greet": "its definition changed"}))
    shown = {prompt["name"] for prompt in (await held.ask("prompts/list")).result["prompts"]}
    told = await held.ask("prompts/get", {"name": "greet", "arguments": {"who": "x"}})
    assert (shown, told.shape, told.reason()) == ({"elsewhere", "read_file"}, DENIED, "quarantined")
    assert not made.got
    assert (await held.ask("tools/call", {"name": "echo"})).result, "what only shares its upstream is served"


async def test_n21_a_tool_in_quarantine_is_neither_listed_nor_called(made: Surfaces) -> None:
    held = replace(made, gate=trusting(made.gate, {"echo": "its definition changed"}))
    shown = {tool["name"] for tool in (await held.ask("tools/list")).result["tools"]}
    assert "echo" not in shown
    told = await held.ask("tools/call", {"name": "echo"})
    assert (told.shape, told.reason()) == (DENIED, "quarantined")
    assert (await held.ask("tools/call", {"name": "echo"}, roles=("guest",))).shape == DENIED
    assert not made.got


async def test_n21_a_tool_that_is_seen_to_be_another_while_its_way_is_opened_is_not_called(made: Surfaces) -> None:
    looks: list[str] = []

    def quarantined(digest: str) -> Mapping[str, str]:
        looks.append(digest)
        return {"echo": "its definition changed"} if len(looks) > 1 else {}

    held = replace(made, gate=made.gate.with_hands(quarantined=quarantined))
    told = await held.ask("tools/call", {"name": "echo"})
    assert (told.shape, told.reason()) == (DENIED, "quarantined")
    assert not [got for got in made.got if got.method == "tools/call"]


HEADERS: Final[tuple[tuple[dict[str, Any], dict[bytes, bytes], bool], ...]] = (
    ({"region": "eu"}, {b"mcp-param-region": b"eu"}, True),
    ({"region": "eu"}, {}, False),
    ({"region": "eu"}, {b"mcp-param-region": b"us"}, False),
    ({"region": "eu"}, {b"mcp-param-region": b"EU"}, False),
    ({"region": "eu"}, {b"mcp-param-region": b"=?base64?ZXU=?="}, True),
    ({"region": "eu"}, {b"mcp-param-region": b"=?base64?ZXU?="}, False),
    ({}, {}, True),
    ({}, {b"mcp-param-region": b"eu"}, False),
    ({"region": "\u00e9"}, {b"mcp-param-region": b"=?base64?w6k=?="}, True),
    ({"region": " a "}, {b"mcp-param-region": b"=?base64?IGEg?="}, True),
)


@pytest.mark.parametrize(("arguments", "headers", "agrees"), HEADERS)
async def test_n13_an_argument_that_its_schema_wants_in_a_header_stands_there(
    made: Surfaces, arguments: dict[str, Any], headers: dict[bytes, bytes], *, agrees: bool
) -> None:
    request = made.request("tools/call", {"name": "placed", "arguments": arguments})
    told = await made.send(replace(request, headers=(*request.headers, *headers.items())))
    if agrees:
        assert told.result
        sent = made.got[-1].headers.get("mcp-param-region")
        assert sent == (
            headers[b"mcp-param-region"].decode()
            if headers and arguments["region"] != "eu"
            else arguments.get("region")
        )
    else:
        assert (told.answer.status, told.error["code"]) == (400, -32020)
        assert not made.got


CROSSED: Final[tuple[tuple[dict[str, Any], dict[bytes, bytes], bool], ...]] = (
    ({"area": "eu", "region": "us"}, {b"mcp-param-region": b"eu"}, True),
    ({"area": "eu", "region": "us"}, {b"mcp-param-region": b"us"}, False),
    ({"area": "eu", "region": "us"}, {}, False),
    ({"region": "us"}, {}, True),
    ({"region": "us"}, {b"mcp-param-region": b"us"}, False),
    # What no schema declares says nothing else than the body either: by its name, or else by its value.
    ({"area": "eu", "region": "us"}, {b"mcp-param-region": b"eu", b"mcp-param-area": b"eu"}, True),
    ({"area": "eu", "region": "us"}, {b"mcp-param-region": b"eu", b"mcp-param-area": b"us"}, False),
    ({"area": "eu", "region": "us"}, {b"mcp-param-region": b"eu", b"mcp-param-x": b"us"}, True),
    ({"area": "eu", "region": "us"}, {b"mcp-param-region": b"eu", b"mcp-param-x": b"mars"}, False),
)


@pytest.mark.parametrize(("arguments", "headers", "agrees"), CROSSED)
async def test_n13_a_header_is_held_against_the_argument_that_declares_it_whatever_others_are_called(
    made: Surfaces, arguments: dict[str, Any], headers: dict[bytes, bytes], *, agrees: bool
) -> None:
    request = made.request("tools/call", {"name": "crossed", "arguments": arguments})
    told = await made.send(replace(request, headers=(*request.headers, *headers.items())))
    if agrees:
        assert told.result
        assert made.got[-1].headers.get("mcp-param-region") == arguments.get("area")
    else:
        assert (told.answer.status, told.error["code"]) == (400, -32020)
        assert not made.got


async def test_n9_whom_a_tool_is_hidden_from_learns_nothing_of_its_headers(made: Surfaces) -> None:
    shapes = set()
    for name in ("crossed", "no_such"):
        request = made.request("tools/call", {"name": name, "arguments": {"area": "eu", "region": "us"}}, roles=())
        told = await made.send(replace(request, headers=(*request.headers, (b"mcp-param-region", b"us"))))
        shapes.add(told.shape)
    assert shapes == {DENIED}


async def test_a_legacy_client_that_knows_no_such_header_may_leave_it_out(made: Surfaces) -> None:
    request = made.request("tools/call", {"name": "placed", "arguments": {"region": "eu"}})
    message = json.loads(request.body)
    del message["params"]["_meta"]
    dropped = {b"mcp-protocol-version", b"mcp-method", b"mcp-name"}
    headers = tuple(pair for pair in request.headers if pair[0] not in dropped)
    told = await made.send(replace(request, headers=headers, body=json.dumps(message).encode()))
    assert told.result
    assert made.got[-1].headers["mcp-param-region"] == "eu"


async def test_a_prompt_that_is_called_like_a_hosted_tool_is_looked_up_by_nobody(made: Surfaces) -> None:
    told = await made.ask("prompts/get", {"name": "read_file", "arguments": {"path": "bob/private.txt"}})
    assert told.result["messages"]
    assert made.got[-1].message["params"]["name"] == "read_file"


async def test_nothing_that_no_method_has_reaches_an_upstream(made: Surfaces) -> None:
    for method in ("resources/subscribe", "resources/unsubscribe", "logging/setLevel", "tasks/list", "x/y"):
        request = made.request(method)
        assert (await made.send(request)).error["code"] == -32601
    assert not made.got


async def test_an_upstream_that_asks_a_client_for_what_it_can_not_give_has_done_nothing(made: Surfaces) -> None:
    bare = {"_meta": {**META, "io.modelcontextprotocol/clientCapabilities": {}}}
    told = await made.ask("tools/call", {"name": "ask", "arguments": {"text": "a"}, **bare})
    assert told.error["code"] == -32603
    assert "asks for input" in told.error["message"]
    assert "effect" not in told.error["data"]
