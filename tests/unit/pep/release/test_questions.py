"""What an upstream may want of a client: what the client declared, in the shapes that MCP has."""

from __future__ import annotations

from typing import Any

import pytest

from sallyport.pep.model import Era, Json, Reply
from sallyport.pep.release.questions import MAX_STATE
from tests.unit.pep.release.support import CAPABLE, SHAPES, leaving, reply, shown, withheld

FORM: dict[str, Any] = {
    "message": "Who?",
    "requestedSchema": {
        "type": "object",
        "properties": {
            "name": {"type": "string", "title": "Name", "minLength": 1, "maxLength": 9, "default": "x"},
            "mail": {"type": "string", "format": "email"},
            "age": {"type": "integer", "minimum": 0, "maximum": 150, "default": 3},
            "ok": {"type": "boolean", "default": False},
            "pick": {"type": "string", "enum": ["a", "b"], "enumNames": ["A", "B"]},
            "one": {"type": "string", "oneOf": [{"const": "a", "title": "A"}]},
            "many": {"type": "array", "minItems": 1, "items": {"type": "string", "enum": ["a"]}, "default": ["a"]},
            "some": {"type": "array", "items": {"anyOf": [{"const": "a", "title": "A"}]}},
        },
        "required": ["name"],
    },
}
PAGE: dict[str, Any] = {"mode": "url", "message": "Go there", "url": "https://example.com:8443/a?b=c"}
SAMPLE: dict[str, Any] = {
    "messages": [{"role": "user", "content": {"type": "text", "text": "hi"}}, {"role": "assistant", "content": []}],
    "maxTokens": 100,
    "systemPrompt": "s",
    "temperature": 0.5,
    "includeContext": "none",
    "stopSequences": ["x"],
    "modelPreferences": {"hints": [{"name": "m"}], "costPriority": 0.1},
}


def wish(method: str, params: Any = None) -> dict[str, Json]:
    return {"inputRequests": {"key-1": {"method": method, **({} if params is None else {"params": params})}}}


def refused(result: Any, *obligations: str, method: str = "tools/call", **more: Any) -> str:
    found = shown(Reply(result, "input_required"), *obligations, method=method, **more)
    assert "leak" not in leaving(found)
    return withheld(found)


@pytest.mark.parametrize("method", ["tools/call", "prompts/get", "resources/read"])
@pytest.mark.parametrize(
    "result",
    [
        wish("elicitation/create", FORM),
        wish("elicitation/create", {**FORM, "mode": "form"}),
        wish("elicitation/create", PAGE),
        wish("elicitation/create", {**PAGE, "elicitationId": "1"}),
        wish("sampling/createMessage", SAMPLE),
        wish("roots/list"),
        {"requestState": "x" * MAX_STATE},
        {**wish("roots/list"), "requestState": "s"},
    ],
)
def test_what_the_client_declared_may_be_asked_of_it(method: str, result: dict[str, Json]) -> None:
    told = reply({**result, "vendor": "leak"}, method=method, kind="input_required")
    assert told.type == "input_required"
    assert {key: value for key, value in told.result.items() if key != "_meta"} == result


def test_members_that_mcp_doesnt_have_dont_leave() -> None:
    schema = {**FORM["requestedSchema"], "properties": {"a": {"type": "string", "pattern": "leak"}}, "leak": 1}
    for method, params in (
        ("elicitation/create", {**FORM, "requestedSchema": schema, "task": {"leak": 1}}),
        ("sampling/createMessage", {**SAMPLE, "metadata": {"leak": 1}}),
        ("roots/list", {"leak": 1}),
    ):
        assert "leak" not in leaving(reply(wish(method, params), method="tools/call", kind="input_required"))


@pytest.mark.parametrize(
    ("wanted", "capabilities"),
    [
        (wish("elicitation/create", FORM), {}),
        (wish("elicitation/create", FORM), {"elicitation": None}),
        (wish("elicitation/create", FORM), {"elicitation": {"url": {}}}),
        (wish("elicitation/create", PAGE), {"elicitation": {}}),
        (wish("elicitation/create", PAGE), {"elicitation": {"form": {}}}),
        (wish("sampling/createMessage", SAMPLE), {"elicitation": {}}),
        (wish("sampling/createMessage", {**SAMPLE, "includeContext": "allServers"}), {"sampling": {}}),
        (wish("roots/list"), {"sampling": {}}),
    ],
)
def test_n2_what_the_client_didnt_declare_isnt_asked_of_it(wanted: dict[str, Json], capabilities: Any) -> None:
    refused(wanted, capabilities=capabilities)


@pytest.mark.parametrize("method", ["tools/call", "prompts/get", "resources/read"])
@pytest.mark.parametrize("result", [{"requestState": "s"}, {"inputRequests": {}}, wish("roots/list")])
def test_a_client_of_the_era_that_cant_bring_anything_back_is_asked_for_nothing(
    method: str, result: dict[str, Json]
) -> None:
    refused(result, method=method, era=Era.LEGACY)


def test_an_empty_elicitation_capability_means_forms() -> None:
    more: dict[str, Any] = {"capabilities": {"elicitation": {}}}
    reply(wish("elicitation/create", FORM), method="tools/call", kind="input_required", **more)


@pytest.mark.parametrize(
    "result",
    [
        {},
        {"inputRequests": None},
        {"inputRequests": []},
        {"requestState": 1},
        {"requestState": "x" * (MAX_STATE + 1)},
        {"requestState": "é" * MAX_STATE},
        {"inputRequests": {"": {"method": "roots/list"}}},
        {"inputRequests": {"x" * 129: {"method": "roots/list"}}},
        {"inputRequests": {"a\u202e": {"method": "roots/list"}}},
        {"inputRequests": {str(number): {"method": "roots/list"} for number in range(17)}},
        {"inputRequests": {"k": "roots/list"}},
        {"inputRequests": {"k": {}}},
        wish("tools/call", {"name": "leak"}),
        wish("ping"),
        wish("elicitation/create"),
        wish("elicitation/create", {"message": "leak"}),
        wish("elicitation/create", {**FORM, "mode": "leak"}),
        wish("elicitation/create", {**FORM, "mode": None}),
        wish("elicitation/create", {**FORM, "message": 1}),
        wish("elicitation/create", {**FORM, "requestedSchema": {"type": "array", "properties": {}}}),
        wish("elicitation/create", {**FORM, "requestedSchema": {"type": "object"}}),
        *(wish("elicitation/create", {"message": "m", "requestedSchema": {"type": "object", "properties": {"a": member}}})
          for member in ({"type": "object"}, {"type": "null"}, {}, {"type": "string", "format": "password"},
                         {"type": "string", "default": {"leak": 1}}, {"type": "string", "enum": [1]},
                         {"type": "array", "items": {"type": "object"}}, "leak")),
        wish("elicitation/create", {"message": "m", "requestedSchema": {"type": "object", "properties": {str(n): {"type": "string"} for n in range(65)}}}),
        *(wish("elicitation/create", {**PAGE, "url": url}) for url in (
            "http://example.com/", "https:///leak", "https://alice:leak@example.com/", "https://leak@example.com/",
            "https://example.com\\@leak.com/", "javascript:leak", "data:text/html,leak", "https://example.com:leak/",
            "https://ex\u0430mple.com/", "https://[leak/", "leak", "", "https://example.com/ x", None)),
        wish("sampling/createMessage"),
        wish("sampling/createMessage", {**SAMPLE, "maxTokens": "many"}),
        wish("sampling/createMessage", {**SAMPLE, "messages": [{"role": "system", "content": {"type": "text", "text": "leak"}}]}),
        wish("sampling/createMessage", {**SAMPLE, "messages": [{"role": "user", "content": {"type": "tool_use"}}]}),
        wish("sampling/createMessage", {**SAMPLE, "tools": [{"name": "leak"}]}),
        wish("sampling/createMessage", {**SAMPLE, "toolChoice": {"mode": "required"}}),
    ],
)  # fmt: skip
def test_what_mcp_doesnt_have_is_withheld(result: dict[str, Json]) -> None:
    refused(result)


@pytest.mark.parametrize("obligation", [*SHAPES, "mask:email"])
@pytest.mark.parametrize(
    "wanted",
    [
        wish("elicitation/create", {**FORM, "message": "leak@example.com"}),
        wish("elicitation/create", {**PAGE, "url": "https://example.com/?leak@example.com"}),
        wish("sampling/createMessage", {**SAMPLE, "systemPrompt": "leak@example.com"}),
        wish("elicitation/create", {**PAGE, "elicitationId": "leak@example.com"}),
        {"inputRequests": {"leak@example.com": {"method": "roots/list"}}},
    ],
)
def test_obligations_hold_for_questions_too(obligation: str, wanted: dict[str, Json]) -> None:
    found = shown(Reply(wanted, "input_required"), obligation, capabilities=CAPABLE)
    if obligation != "mask:email" and "key-1" not in str(wanted):
        return  # a key is neither a field nor a row
    assert "leak" not in leaving(found)


@pytest.mark.parametrize(
    "url",
    [
        *(
            "https://127.0.0.1/",
            "https://127.1/",
            "https://2130706433/",
            "https://0x7f000001/",
            "https://0x7f.0.0.0x1/",
        ),
        *(
            "https://0177.0.0.1/",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://good.com.0x7f/",
            "https://1.0x/",
        ),
        *("https://xn--pple-43d.com/", "https://a.XN--pple-43d.com/", "https://localhost/", "https://a.LOCALHOST:1/"),
        *("https://a%00b/", "https://%61/", "https://good.com%2f.evil.com/", "https://good.com\\@evil.com/"),
        *(
            "https://a..b/",
            "https://.a/",
            "https://a./",
            "https://-a.b/",
            "https://a-.b/",
            "https://a_b.c/",
            "https://{a}/",
        ),
        *("https://user@good.com/", "https://good.com:1@evil.com/", "https://@evil.com/", "https://good.com:99999/"),
        *(
            "https://good.com/%E2%80%AE",
            "https://good.com/?a=%E2%80%8B",
            "https://good.com/#%c2%85",
            "https://good.com/%0d%0a",
        ),
        *("https://good.com/%00", "https://good.com/%7f", "https://good.com/%ff", "https://good.com/%c0%8a"),
        *("https:good.com/", "https:/good.com/", "https:///good.com/", "https://", "https://" + "a." * 130 + "com/"),
    ],
)
def test_a_page_whose_address_does_not_say_where_it_is_is_withheld(url: str) -> None:
    withheld(shown(Reply(wish("elicitation/create", {**PAGE, "url": url}), "input_required")))


@pytest.mark.parametrize(
    "url",
    [
        *(
            "https://good.com",
            "https://good.com:443/a?b=c#d",
            "HTTPS://GOOD.com/",
            "https://sso/",
            "https://3com.com/a%20b",
        ),
        *("https://a.b-c.d1/caf%C3%A9?to=https%3A%2F%2Fx%2F", "https://0xcafe.example.com/", "https://good.com/a@b"),
    ],
)
def test_a_page_with_a_plain_address_may_be_shown(url: str) -> None:
    told = reply(wish("elicitation/create", {**PAGE, "url": url}), method="tools/call", kind="input_required")
    assert url in str(told.result)
