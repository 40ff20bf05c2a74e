"""Each reader takes what its method has, and refuses every other shape with a rule and without the caller's words."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sallyport.pep import model
from sallyport.pep.model import Era
from sallyport.pep.refusal import SHAPES, Reason
from sallyport.pep.rpc import METHODS, Rejected, parse
from sallyport.pep.rpc.readers import HANDLE_LENGTH, MAX_URIS, NAME_LENGTH, TEXT_LENGTH, URI_LENGTH
from tests.support.messages import BOTH, META, legacy, modern
from tests.unit.pep.rpc.test_table import NOTIFICATIONS, PARAMS

CANARY: Final = "c4n4ry-51d0aa"


def read(method: str, params: Any, era: Era | None = None) -> model.Message | Rejected:
    era = era or next(iter(sorted(METHODS[method].eras)))
    make = modern if era is Era.MODERN else legacy
    return parse(make(method, params, None if method in NOTIFICATIONS else 1), eras=BOTH, max_depth=64)


def refused(method: str, params: dict[str, Any]) -> None:
    for era in METHODS[method].eras:
        found = read(method, params, era)
        assert isinstance(found, Rejected), found
        # The header can't repeat what isn't a string.
        assert found.refusal.reason in {Reason.INVALID_PARAMS, Reason.HEADER_MISMATCH}, found
        assert CANARY not in found.refusal.public + found.refusal.detail


REF: Final = {"type": "ref/prompt", "name": "p"}
ARGUMENT: Final = {"name": "a", "value": ""}
WRONG: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("prompts/get", {}),
    ("prompts/get", {"name": ""}),
    ("prompts/get", {"name": "x" * (NAME_LENGTH + 1)}),
    ("prompts/get", {"name": 7}),
    ("prompts/get", {"name": "p", "arguments": {"a": 1}}),
    ("prompts/get", {"name": "p", "arguments": {"a": {CANARY: 1}}}),
    ("prompts/get", {"name": "p", "arguments": {"a": "x" * (TEXT_LENGTH + 1)}}),
    ("prompts/get", {"name": "p", "arguments": [CANARY]}),
    ("prompts/get", {"name": "p", CANARY: 1}),
    ("resources/read", {}),
    ("resources/read", {"uri": ""}),
    ("resources/read", {"uri": "a:" + "x" * URI_LENGTH}),
    ("resources/read", {"uri": [CANARY]}),
    ("resources/read", {"uri": "a:b", "arguments": {}}),
    ("resources/subscribe", {}),
    ("resources/subscribe", {"uri": None}),
    ("resources/unsubscribe", {"uri": 1}),
    ("completion/complete", {}),
    ("completion/complete", {"ref": REF}),
    ("completion/complete", {"argument": ARGUMENT}),
    ("completion/complete", {"ref": REF, "argument": {"name": "a"}}),
    ("completion/complete", {"ref": REF, "argument": {**ARGUMENT, CANARY: ""}}),
    ("completion/complete", {"ref": REF, "argument": {"name": "a", "value": 1}}),
    ("completion/complete", {"ref": REF, "argument": {"name": "a", "value": "x" * (TEXT_LENGTH + 1)}}),
    ("completion/complete", {"ref": {**REF, "uri": "a:b"}, "argument": ARGUMENT}),
    ("completion/complete", {"ref": {**REF, CANARY: ""}, "argument": ARGUMENT}),
    ("completion/complete", {"ref": {"type": "ref/tool", "name": "p"}, "argument": ARGUMENT}),
    ("completion/complete", {"ref": {"type": "ref/resource", "name": "p"}, "argument": ARGUMENT}),
    ("completion/complete", {"ref": {"type": "ref/prompt", "name": ""}, "argument": ARGUMENT}),
    ("completion/complete", {"ref": {"type": ["ref/prompt"], "name": "p"}, "argument": ARGUMENT}),
    ("completion/complete", {"ref": "ref/prompt", "argument": ARGUMENT}),
    ("completion/complete", {"ref": REF, "argument": ARGUMENT, "context": []}),
    ("completion/complete", {"ref": REF, "argument": ARGUMENT, "context": {"arguments": {"a": 1}}}),
    ("completion/complete", {"ref": REF, "argument": ARGUMENT, "context": {CANARY: {}}}),
    ("logging/setLevel", {}),
    ("logging/setLevel", {"level": "INFO"}),
    ("logging/setLevel", {"level": ["info"]}),
    ("subscriptions/listen", {}),
    ("subscriptions/listen", {"notifications": []}),
    ("subscriptions/listen", {"notifications": {"toolsListChanged": 1}}),
    ("subscriptions/listen", {"notifications": {"toolsListChanged": "true"}}),
    ("subscriptions/listen", {"notifications": {"resourceSubscriptions": "a:b"}}),
    ("subscriptions/listen", {"notifications": {"resourceSubscriptions": [1]}}),
    ("subscriptions/listen", {"notifications": {"resourceSubscriptions": [""]}}),
    ("subscriptions/listen", {"notifications": {"resourceSubscriptions": ["a:b"] * (MAX_URIS + 1)}}),
    ("tasks/get", {}),
    ("tasks/get", {"taskId": ""}),
    ("tasks/get", {"taskId": 7}),
    ("tasks/get", {"taskId": "t", "inputResponses": {}}),
    ("tasks/update", {"taskId": "t", "inputResponses": []}),
    ("tasks/cancel", {"taskId": "x" * (HANDLE_LENGTH + 1)}),
    *((method, {"cursor": 1}) for method in ("tools/list", "prompts/list", "resources/list")),
    *((method, {"cursor": "x" * (HANDLE_LENGTH + 1)}) for method in ("tools/list", "resources/templates/list")),
)


@pytest.mark.parametrize(("method", "params"), WRONG)
def test_a_wrong_shape_is_refused_and_not_repeated(method: str, params: dict[str, Any]) -> None:
    refused(method, params)


@pytest.mark.parametrize("method", ["tools/call", "prompts/get", "resources/read"])
@pytest.mark.parametrize(
    "retry",
    [
        {"inputResponses": []},
        {"inputResponses": {"a": CANARY}},
        {"inputResponses": {"a": [CANARY]}},
        {"requestState": 1},
        {"requestState": {"a": CANARY}},
        {"requestState": "x" * (HANDLE_LENGTH + 1)},
    ],
)
def test_a_retry_of_a_wrong_shape_is_refused(method: str, retry: dict[str, Any]) -> None:
    found = read(method, {**PARAMS[method], **retry}, Era.MODERN)
    assert isinstance(found, Rejected)
    assert found.refusal.reason is Reason.INVALID_PARAMS


def test_a_retry_is_read_as_it_came_and_there_is_none_without_it() -> None:
    found = read(
        "tools/call", {**PARAMS["tools/call"], "requestState": "s", "inputResponses": {"a": {"b": 1}}}, Era.MODERN
    )
    assert isinstance(found, model.CallTool)
    assert found.retry == model.Retry({"a": {"b": 1}}, "s")
    plain = read("tools/call", PARAMS["tools/call"], Era.MODERN)
    assert isinstance(plain, model.CallTool)
    assert plain.retry is None


def test_what_a_listener_wants_is_read_each_uri_once() -> None:
    wanted = {"toolsListChanged": True, "promptsListChanged": False, "resourceSubscriptions": ["a:b", "c:d", "a:b"]}
    found = read("subscriptions/listen", {"notifications": {**wanted, "taskIds": ["x"]}})
    assert isinstance(found, model.Listen)
    assert (found.tools, found.prompts, found.resources, found.uris) == (True, False, False, ("a:b", "c:d"))


def test_templates_and_resources_are_told_apart() -> None:
    listed, templates = read("resources/list", {}), read("resources/templates/list", {})
    assert isinstance(listed, model.ListResources)
    assert isinstance(templates, model.ListResources)
    assert (listed.templates, templates.templates) == (False, True)


def test_a_legacy_clients_capabilities_are_none_that_are_known() -> None:
    meta = {**META, "io.modelcontextprotocol/clientCapabilities": {"roots": {}}}
    modern_one, legacy_one = (
        read("tools/call", {**PARAMS["tools/call"], "_meta": meta}, era) for era in (Era.MODERN, Era.LEGACY)
    )
    assert not isinstance(modern_one, Rejected)
    assert not isinstance(legacy_one, Rejected)
    assert (modern_one.envelope.capabilities, legacy_one.envelope.capabilities) == ({"roots": {}}, {})


ANY_JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(-1e9, 1e9) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "uri", "type", "value", "arguments", "a"]), inner, max_size=4)
    ),
    max_leaves=10,
)
NEAR: Final = st.sampled_from([value for params in PARAMS.values() for value in params.values()])


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_n14_no_json_value_in_the_place_of_a_parameter_makes_it_raise(data: st.DataObject) -> None:
    method = data.draw(st.sampled_from(sorted(METHODS)))
    row = METHODS[method]
    params = data.draw(st.dictionaries(st.sampled_from(sorted(row.keys | {"_meta", "x"})), ANY_JSON | NEAR, max_size=5))
    json.dumps(params)
    for era in row.eras:
        given_ = {**PARAMS.get(method, {}), **params}
        meta = given_.get("_meta")
        if isinstance(meta, dict):
            given_["_meta"] = {**META, **meta}
        try:
            found = read(method, given_, era)
        except UnicodeEncodeError:  # the test's own header can't carry it
            return
        assert not isinstance(found, Rejected) or SHAPES[found.refusal.reason].status < 500
