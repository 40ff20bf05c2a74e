"""Room 2: what is one message, in which era, and what is none."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sallyport.pep import model
from sallyport.pep.model import Era
from sallyport.pep.refusal import SHAPES, Reason
from sallyport.pep.rpc import METHODS, Rejected, parse
from tests.support.attacks.documents import documents
from tests.support.attacks.lists import DOCUMENTS, both
from tests.support.messages import BOTH, META, encoded, legacy, modern, request

of_each_list = pytest.mark.parametrize("source", both(DOCUMENTS))
CALL = {"name": "read_file", "arguments": {"path": "alice/a.txt"}}
INITIALIZE = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}}
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def read(
    message: model.Request, eras: frozenset[Era] = BOTH, origins: frozenset[str] = frozenset()
) -> model.Message | Rejected:
    return parse(message, eras=eras, max_depth=64, origins=origins)


def reason(message: model.Request, **how: Any) -> Reason | None:
    result = read(message, **how)
    return result.refusal.reason if isinstance(result, Rejected) else None


def status(result: model.Message | Rejected) -> int:
    assert isinstance(result, Rejected)
    return SHAPES[result.refusal.reason].status


@pytest.mark.parametrize("make", [legacy, modern])
def test_a_call_is_read_in_either_era(make: Any) -> None:
    message = read(make("tools/call", CALL, "a"))
    assert isinstance(message, model.CallTool)
    assert (message.name, message.arguments) == ("read_file", {"path": "alice/a.txt"})
    assert message.envelope.id == "a"
    assert message.envelope.version == message.envelope.era.value


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (legacy("initialize", INITIALIZE), model.Initialize),
        (legacy("ping"), model.Ping),
        (legacy("ping", {}), model.Ping),
        (legacy("notifications/initialized", None, None), model.Notification),
        (legacy("notifications/cancelled", {"requestId": 3, "reason": "x"}, None), model.Cancel),
        (legacy("notifications/progress", {"progressToken": 1, "progress": 0.5}, None), model.Notification),
        (legacy("notifications/roots/list_changed", {}, None), model.Notification),
        (legacy("tools/list", {"cursor": "x"}), model.ListTools),
        (legacy("tools/call", {**CALL, "task": {"ttl": 1}}), model.CallTool),
        (modern("server/discover"), model.Discover),
        (modern("tools/list"), model.ListTools),
        (modern("notifications/cancelled", {"requestId": "a"}, None), model.Cancel),
    ],
)
def test_each_method_of_the_table_has_its_message(message: model.Request, kind: type) -> None:
    assert isinstance(read(message), kind)


@pytest.mark.parametrize(
    "message",
    [
        legacy("server/discover"),
        legacy("subscriptions/listen", {"notifications": {}}),
        legacy("tasks/get", {"taskId": "1"}),
        legacy("tasks/list", {}),
        legacy("sampling/createMessage", {}),
        legacy("elicitation/create", {}),
        legacy("roots/list", {}),
        legacy("tools/Call", CALL),
        legacy("tools/call ", CALL),
        legacy("logging/SetLevel", {"level": "debug"}),
        legacy("notifications/unknown", None, None),
        modern("initialize", INITIALIZE),
        modern("ping"),
        modern("notifications/initialized", None, None),
        modern("logging/setLevel", {"level": "debug"}),
        modern("resources/subscribe", {"uri": "a:b"}),
        modern("resources/unsubscribe", {"uri": "a:b"}),
        modern("tasks/list"),
        modern("tasks/result", {"taskId": "1"}),
    ],
)
def test_what_is_not_in_the_table_of_its_era_is_refused(message: model.Request) -> None:
    assert reason(message) is Reason.UNKNOWN_METHOD


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]',
        b'"ping"',
        b"null",
        b'{"jsonrpc":"2.0","id":1,"result":{}}',
        b'{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":""}}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}',
        b'{"jsonrpc":"2.0","id":null,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":null,"method":"notifications/initialized"}',
        b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":1.0,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":true,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":{},"method":"ping"}',
        b'{"jsonrpc":"2.0","id":"' + b"a" * 257 + b'","method":"ping"}',
        b'{"jsonrpc":"1.0","id":1,"method":"ping"}',
        b'{"id":1,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":1}',
        b'{"jsonrpc":"2.0","id":1,"method":1}',
        b'{"jsonrpc":"2.0","id":1,"method":""}',
        b'{"jsonrpc":"2.0","method":"ping"}',
        b'{"jsonrpc":"2.0","id":1,"method":"notifications/initialized"}',
        b'{"jsonrpc":"2.0","id":9007199254740992,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":NaN}}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":"\\ud800"}}',
        b'\xef\xbb\xbf{"jsonrpc":"2.0","id":1,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":"\xff"}}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":' + b"[" * 65 + b"]" * 65 + b"}}",
        b"",
    ],
)
def test_n14_what_is_not_one_request_or_notification_is_a_4xx(body: bytes) -> None:
    assert status(read(request(body, {"mcp-protocol-version": "2025-11-25"}))) == 400


@pytest.mark.parametrize(
    "body",
    [
        b'{"jsonrpc":"2.0","id":1,"Method":"ping"}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call"}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/list","param\\u017f":{}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/list","\\u212a":{}}',
        b'{"JSONRPC":"2.0","id":1,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","extra":1}',
    ],
)
def test_n12_a_variant_of_an_envelope_key_is_refused(body: bytes) -> None:
    assert status(read(request(body))) == 400


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("Name", Reason.INVALID_REQUEST),
        ("NAME", Reason.INVALID_REQUEST),
        ("argument\u017f", Reason.INVALID_REQUEST),
        ("Arguments", Reason.INVALID_REQUEST),
        ("_Meta", Reason.INVALID_REQUEST),
        ("__meta", Reason.INVALID_REQUEST),
        ("_meta ", Reason.INVALID_REQUEST),
        ("name\u0000", Reason.INVALID_REQUEST),
        ("\uff4eame", Reason.INVALID_REQUEST),
        ("n\u0430me", Reason.INVALID_PARAMS),
        ("cursor", Reason.INVALID_PARAMS),
        ("x", Reason.INVALID_PARAMS),
    ],
)
@pytest.mark.parametrize("make", [legacy, modern])
def test_n12_a_variant_of_a_parameter_key_is_refused(make: Any, key: str, expected: Reason) -> None:
    assert reason(make("tools/call", {**CALL, key: {}})) is expected


@pytest.mark.parametrize("key", ["inputResponses", "requestState"])
def test_a_retry_is_none_in_the_legacy_era(key: str) -> None:
    assert reason(legacy("tools/call", {**CALL, key: {}})) is Reason.INVALID_PARAMS


@pytest.mark.parametrize("key", ["RequestState", "input_responses", "input\u017fResponses", "requestState "])
def test_n12_a_variant_of_what_a_retry_brings_is_refused(key: str) -> None:
    for method, params in (("tools/call", CALL), ("prompts/get", {"name": "p"}), ("resources/read", {"uri": "a:b"})):
        assert reason(modern(method, {**params, key: {}})) in {Reason.INVALID_REQUEST, Reason.INVALID_PARAMS}
    assert reason(modern("tools/call", {**CALL, "RequestState": {}})) is Reason.INVALID_REQUEST


@pytest.mark.parametrize("key", ["Ta\u017fk", "tas\u212a"])
def test_n12_a_variant_of_a_key_that_one_era_ignores_is_refused_there(key: str) -> None:
    assert reason(legacy("tools/call", {**CALL, key: {}})) is Reason.INVALID_REQUEST
    assert reason(modern("tools/call", {**CALL, "task": {}})) is Reason.INVALID_PARAMS


def test_n12_a_duplicate_parameter_key_is_refused() -> None:
    body = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","name":"b"}}'
    assert reason(request(body)) is Reason.MALFORMED


def test_n12_a_variant_of_a_meta_key_is_refused() -> None:
    meta = {**META, "io.modelcontextprotocol/ProtocolVersion": "2025-11-25"}
    assert reason(modern("tools/list", {"_meta": meta})) is Reason.INVALID_REQUEST


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"name": ""},
        {"name": 1},
        {"name": "a" * 129},
        {"name": "a", "arguments": None},
        {"name": "a", "arguments": []},
        {"name": "a", "_meta": []},
    ],
)
def test_wrong_parameters_are_refused_with_the_id(params: dict[str, Any]) -> None:
    result = read(legacy("tools/call", params, 7))
    assert isinstance(result, Rejected)
    assert (result.refusal.reason, result.request_id, result.method) == (Reason.INVALID_PARAMS, 7, "tools/call")


@pytest.mark.parametrize("params", [[], "x", 1, None])
def test_parameters_that_are_no_object_are_refused(params: Any) -> None:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": params}).encode()
    assert reason(request(body)) is Reason.INVALID_PARAMS


@pytest.mark.parametrize("meta", [{}, {"x": 1}, {k: v for k, v in META.items() if "apab" not in k}, {**META, "a": 1}])
def test_the_modern_era_requires_its_meta(meta: dict[str, Any]) -> None:
    expected = None if "a" in meta else Reason.INVALID_PARAMS
    assert reason(modern("tools/list", {"_meta": meta})) is expected


@pytest.mark.parametrize(
    ("value", "taken"),
    [(TRACE, TRACE), (TRACE.upper(), ""), ("ff" + TRACE[2:], ""), (TRACE + "-x", ""), ("00-" + "0" * 32, ""), (7, "")],
)
def test_a_trace_context_is_taken_only_if_it_is_well_formed(value: Any, taken: str) -> None:
    message = read(legacy("tools/list", {"_meta": {"traceparent": value}}))
    assert isinstance(message, model.ListTools)
    assert message.envelope.traceparent == taken


def test_the_modern_meta_is_required_in_an_unknown_method_too() -> None:
    body = encoded("resources/lost", {})
    headers = {"mcp-protocol-version": "2026-07-28", "mcp-method": "resources/lost"}
    assert reason(request(body, headers)) is Reason.INVALID_PARAMS


@of_each_list
def test_n14_a_text_of_the_lists_as_a_whole_body_is_refused_cleanly(source: str) -> None:
    for name, text in {**documents("y", source), **documents("n", source)}.items():
        assert status(read(request(text))) == 400, name  # none is a message


@of_each_list
def test_n14_a_text_of_the_lists_as_an_argument_is_refused_where_it_must_be(source: str) -> None:
    value = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"x":%b}}}'
    for name, text in documents("n", source).items():
        assert status(read(request(value % text))) == 400, name
    for name, text in documents("y", source).items():
        result = read(request(value % text))
        if "duplicated" not in name:
            assert isinstance(result, model.CallTool) or status(result) == 400, name


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of(st.binary(max_size=200), st.builds(lambda t: t.encode("utf-8", "surrogatepass"), st.text())))
def test_n14_no_bytes_make_it_raise(body: bytes) -> None:
    assert isinstance(read(request(body)), Rejected)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.fixed_dictionaries(
        {"jsonrpc": st.just("2.0")},
        optional={
            "id": _JSON,
            "method": st.sampled_from([*METHODS, "x"]) | st.text(),
            "params": st.dictionaries(st.sampled_from(["name", "arguments", "_meta", "cursor"]), _JSON) | _JSON,
        },
    ),
    st.lists(
        st.tuples(
            st.sampled_from(["mcp-method", "mcp-name", "mcp-param-x", "mcp-protocol-version", "origin", "connection"]),
            st.text(alphabet=st.characters(max_codepoint=255), max_size=40) | st.sampled_from(["2026-07-28"]),
        ),
        max_size=3,
    ),
)
def test_n14_no_message_and_headers_make_it_raise(body: dict[str, Any], headers: list[tuple[str, str]]) -> None:
    result = read(request(json.dumps(body).encode(), headers))
    assert not isinstance(result, Rejected) or SHAPES[result.refusal.reason].status < 500
