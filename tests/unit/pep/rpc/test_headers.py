"""Headers: which are ambiguous, which contradict the body, and that no choice of era gets around that."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from sallyport.pep import model
from sallyport.pep.model import Era
from sallyport.pep.refusal import Reason
from sallyport.pep.rpc import Rejected, parse
from tests.support.messages import BOTH, META, encoded, legacy, modern, request

CALL = {"name": "read_file", "arguments": {"path": "alice/a", "n": 7, "deep": {"flag": True}, "region": "eu"}}
OLD = {"mcp-protocol-version": "2025-11-25"}
BODY = encoded("tools/call", CALL)
ANCIENT = ["2024-11-05", "2025-03-26", "2025-06-18"]


def read(message: model.Request, eras: frozenset[Era] = BOTH, origins: Any = ()) -> model.Message | Rejected:
    return parse(message, eras=eras, max_depth=64, origins=frozenset(origins))


def reason(message: model.Request, **how: Any) -> Reason | None:
    result = read(message, **how)
    return result.refusal.reason if isinstance(result, Rejected) else None


@pytest.mark.parametrize(
    "headers",
    [
        [("authorization", "Bearer a"), ("Authorization", "Bearer b")],
        [("authorization", "Bearer a, Bearer b")],
        [("x-user-id", "alice"), ("x-user-id", "bob")],
        [("x-user-id", "alice,bob")],
        [("x_user_id", "alice")],
        [("x-user_id", "alice")],
        [("x_agent_id", "a")],
        [("mcp_method", "tools/call")],
        [("mcp-protocol_version", "2025-11-25")],
        [("content-type", "application/json"), ("content-type", "application/json")],
        [("content_type", "text/plain")],
        [("connection", "close, Authorization"), ("authorization", "Bearer a")],
        [("connection", "mcp-protocol-version"), ("mcp-protocol-version", "2025-11-25")],
        [("host", "a"), ("host", "b")],
        [("mcp-protocol-version", "2025-11-25"), ("mcp-protocol-version", "2026-07-28")],
        [("mcp-protocol-version", "2025-11-25"), ("mcp-protocol-version", "2025-11-25")],
        [("mcp-protocol-version", "2025-11-25,2026-07-28")],
        [("mcp-method", "tools/call"), ("mcp-method", "tools/call")],
        [("mcp-param-path", "alice/a"), ("mcp-param-path", "bob/b")],
        [("mcp-name", "read\xe9file")],
        [("x-user-id", "ali\xa0ce")],
        [("cookie", "a=1"), ("cookie", "b=2")],
        [("forwarded", "for=1"), ("forwarded", "for=2")],
    ],
)
def test_n8_an_ambiguous_security_header_is_a_400(headers: list[tuple[str, str]]) -> None:
    result = read(request(BODY, headers))
    assert isinstance(result, Rejected)
    assert result.refusal.reason in {Reason.INVALID_REQUEST, Reason.HEADER_MISMATCH}
    assert result.request_id == 1


@pytest.mark.parametrize("name", ["x-trace_id", "traceparent", "user-agent", "accept-language"])
def test_n8_a_header_that_nobody_believes_may_be_what_it_likes(name: str) -> None:
    assert reason(request(BODY, [(name, "a, b"), (name, "c")])) is None


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("application/json", None),
        ("application/json; charset=utf-8", None),
        ('Application/JSON;charset="UTF-8"', None),
        ("application/json; charset=utf-16", Reason.UNSUPPORTED_MEDIA_TYPE),
        ("application/jsonp", Reason.UNSUPPORTED_MEDIA_TYPE),
        ("text/plain", Reason.UNSUPPORTED_MEDIA_TYPE),
        ("", Reason.UNSUPPORTED_MEDIA_TYPE),
    ],
)
def test_only_json_in_utf_8_is_taken(content_type: str, expected: Reason | None) -> None:
    assert reason(request(BODY, {"content-type": content_type})) is expected


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("application/json, text/event-stream", None),
        ("text/event-stream, application/json;q=0.5", None),
        ("*/*", None),
        ("application/*", None),
        ("text/event-stream", Reason.NOT_ACCEPTABLE),
        ("application/json;q=0", Reason.NOT_ACCEPTABLE),
        ("text/html", Reason.NOT_ACCEPTABLE),
    ],
)
def test_an_answer_in_json_has_to_be_acceptable(accept: str, expected: Reason | None) -> None:
    assert reason(request(BODY, {"accept": accept})) is expected


@pytest.mark.parametrize("origin", ["http://evil.test", "null", "https://good.test.evil.test", "https://GOOD.test", ""])
def test_an_origin_that_is_not_in_the_list_is_refused(origin: str) -> None:
    message = request(BODY, {"origin": origin})
    assert reason(message) is Reason.FORBIDDEN_ORIGIN
    assert reason(message, origins=["https://good.test"]) is Reason.FORBIDDEN_ORIGIN


def test_a_listed_origin_and_none_at_all_are_taken() -> None:
    assert reason(request(BODY, {"origin": "https://good.test"}), origins=["https://good.test"]) is None
    assert reason(request(BODY), origins=["https://good.test"]) is None


def encode(text: str) -> str:
    return f"=?base64?{base64.b64encode(text.encode()).decode()}?="


@pytest.mark.parametrize("make", [legacy, modern])
@pytest.mark.parametrize(
    "headers",
    [
        {"mcp_method": "tools/list"},
        {"mcp_method": "Tools/Call"},
        {"mcp_method": ""},
        {"mcp_name": "write_file"},
        {"mcp_name": "READ_FILE"},
        {"mcp_name": encode("write_file")},
        {"mcp_name": "=?base64?cmVhZF9maWxl=?="},
        {"mcp_name": "=?base64?!?="},
        {"mcp_param_path": "bob/b"},
        {"mcp_param_path": "alice"},
        {"mcp_param_tenant": "globex"},
        {"mcp_param_path": "=?base64?/w==?="},
        {"mcp_param_n": "8"},
        {"mcp_param_n": "07"},
        {"mcp_param_n": "+7"},
        {"mcp_param_n": "7e0"},
        {"mcp_param_n": "7.5"},
    ],
)
def test_n13_a_header_that_contradicts_the_body_is_refused_in_either_era(make: Any, headers: dict[str, str]) -> None:
    result = read(make("tools/call", CALL, **headers))
    assert isinstance(result, Rejected)
    assert (result.refusal.reason, result.request_id) == (Reason.HEADER_MISMATCH, 1)


@pytest.mark.parametrize("make", [legacy, modern])
@pytest.mark.parametrize(
    "headers",
    [
        {"mcp_method": "tools/call", "mcp_name": "read_file"},
        {"mcp_name": encode("read_file")},
        {"mcp_param_path": "alice/a", "mcp_param_n": "7", "mcp_param_area": "eu", "mcp_param_flag": "true"},
        {"mcp_param_path": encode("alice/a")},
        {"mcp_param_n": "7.0"},  # an integer is its number; which one it must be, room 4 says
        {"mcp_session_id": "ignored"},
    ],
)
def test_a_header_that_agrees_with_the_body_is_taken_in_either_era(make: Any, headers: dict[str, str]) -> None:
    assert reason(make("tools/call", CALL, **headers)) is None


@pytest.mark.parametrize("missing", ["mcp-method", "mcp-name"])
def test_n13_the_modern_era_requires_the_mirrored_headers(missing: str) -> None:
    message = modern("tools/call", CALL)
    left = tuple(pair for pair in message.headers if pair[0] != missing.encode())
    changed = model.Request(message.peer, message.method, left, message.body)
    assert reason(changed) is Reason.HEADER_MISMATCH


def test_n13_a_name_header_on_a_method_without_a_name_is_refused() -> None:
    assert reason(legacy("tools/list", {}, mcp_name="read_file")) is Reason.HEADER_MISMATCH


MODERN_BODY = encoded("tools/call", {**CALL, "_meta": META})
MIRRORS = {"mcp-method": "tools/call", "mcp-name": "read_file"}
NEW = {"mcp-protocol-version": "2026-07-28"}


@pytest.mark.parametrize(
    ("body", "headers", "eras", "expected"),
    [
        (BODY, {}, BOTH, Era.LEGACY),
        (BODY, OLD, BOTH, Era.LEGACY),
        (MODERN_BODY, OLD, BOTH, Era.LEGACY),
        (MODERN_BODY, {**NEW, **MIRRORS}, BOTH, Era.MODERN),
        (MODERN_BODY, {}, BOTH, Reason.HEADER_MISMATCH),
        (MODERN_BODY, MIRRORS, BOTH, Reason.HEADER_MISMATCH),
        (MODERN_BODY, NEW, BOTH, Reason.HEADER_MISMATCH),
        (MODERN_BODY, {**OLD, "mcp-method": "tools/list"}, BOTH, Reason.HEADER_MISMATCH),
        (BODY, {"mcp-method": "tools/list"}, BOTH, Reason.HEADER_MISMATCH),
        (BODY, {**NEW, **MIRRORS}, BOTH, Reason.INVALID_PARAMS),
        (MODERN_BODY.replace(b"2026-07-28", b"2025-11-25"), {**NEW, **MIRRORS}, BOTH, Reason.HEADER_MISMATCH),
        (BODY, {}, frozenset({Era.MODERN}), Reason.UNSUPPORTED_VERSION),
        (BODY, OLD, frozenset({Era.MODERN}), Reason.UNSUPPORTED_VERSION),
        (MODERN_BODY, {**NEW, **MIRRORS}, frozenset({Era.LEGACY}), Reason.UNSUPPORTED_VERSION),
        (BODY, {"mcp-protocol-version": "2099-01-01"}, BOTH, Reason.UNSUPPORTED_VERSION),
        (BODY, {"mcp-protocol-version": ""}, BOTH, Reason.UNSUPPORTED_VERSION),
        *[(BODY, {"mcp-protocol-version": old}, BOTH, Reason.UNSUPPORTED_VERSION) for old in ANCIENT],
    ],
)
def test_n13_no_downgrade_dodges_a_check(body: bytes, headers: dict[str, str], eras: Any, expected: Any) -> None:
    result = read(request(body, headers), eras=eras)
    assert (result.refusal.reason if isinstance(result, Rejected) else result.envelope.era) is expected


def initialize(version: str, **headers: str) -> model.Request:
    params = {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}}
    return legacy("initialize", params, **headers)


@pytest.mark.parametrize("version", [*ANCIENT, "2025-11-25", "2026-07-28", "1.0"])
def test_every_handshake_is_answered_in_the_newest_legacy_revision(version: str) -> None:
    message = read(initialize(version))
    assert isinstance(message, model.Initialize)
    assert (message.envelope.version, message.requested_version) == ("2025-11-25", version)


def test_n13_a_handshake_whose_header_names_another_version_is_refused() -> None:
    assert reason(initialize("2025-06-18", mcp_protocol_version="2025-06-18")) is None
    assert reason(initialize("2025-06-18", mcp_protocol_version="2025-11-25")) is Reason.HEADER_MISMATCH
    assert reason(initialize("2025-11-25", mcp_protocol_version="2026-07-28")) is not None


def test_a_handshake_is_refused_where_legacy_is_off() -> None:
    assert reason(initialize("2025-11-25"), eras=frozenset({Era.MODERN})) is Reason.UNSUPPORTED_VERSION


def test_an_unsupported_version_is_told_what_is_spoken_and_nothing_odd_is_echoed() -> None:
    result = read(request(BODY, {"mcp-protocol-version": "<script>"}))
    assert isinstance(result, Rejected)
    assert result.refusal.data == {"supported": ["2025-11-25", "2026-07-28"], "requested": ""}


@pytest.mark.parametrize("make", [legacy, modern])
@pytest.mark.parametrize("header", ["mcp_evil", "mcp_tool_name", "mcp_param_"])
def test_n13_an_mcp_header_that_nothing_in_the_body_can_match_is_a_mismatch(make: Any, header: str) -> None:
    call = {"name": "read_file", "arguments": {"path": "x"}}
    assert reason(make("tools/call", call)) is None
    assert reason(make("tools/call", call, **{header: "x"})) is Reason.HEADER_MISMATCH


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity, gzip", "GZIP"])
def test_a_body_that_says_it_is_encoded_is_refused(encoding: str) -> None:
    refused = reason(modern("tools/list", content_encoding=encoding))
    assert refused in {Reason.UNSUPPORTED_MEDIA_TYPE, Reason.INVALID_REQUEST}
    assert reason(modern("tools/list", content_encoding="identity")) is None
