"""What one request may cost room 2: the work is counted, so that no clock is asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from sallyport.contract.limits import MAX_INPUT_BYTES
from sallyport.pep.model import CallTool, Era, Json
from sallyport.pep.refusal import Reason
from sallyport.pep.rpc import METHODS, Rejected, envelope, mirrors, parse
from sallyport.pep.rpc.envelope import MAX_KEY, MAX_KEYS, MAX_MARKS, Call
from sallyport.runtime import strict_json
from tests.support.messages import BOTH, META, legacy, modern

MANY = 3000
MARKS = "a" + "\u0315\u0300" * MAX_KEY  # putting combining marks in order takes the square of their number


@pytest.fixture
def folded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every text that is folded from here on."""
    seen: list[str] = []
    fold = envelope._fold

    def counted(text: str) -> str:
        seen.append(text)
        return fold(text)

    monkeypatch.setattr(envelope, "_fold", counted)
    return seen


def with_keys(where: str, keys: dict[str, Any]) -> dict[str, Any]:
    return {"name": "copy", **keys} if where == "params" else {"name": "copy", "_meta": {**META, **keys}}


@pytest.mark.parametrize("make", [legacy, modern])
@pytest.mark.parametrize("where", ["params", "_meta"])
def test_n24_too_many_keys_are_refused_before_one_is_folded(make: Any, where: str, folded: list[str]) -> None:
    found = parse(make("tools/call", with_keys(where, {f"k{i}": 0 for i in range(MANY)})), eras=BOTH, max_depth=64)
    assert isinstance(found, Rejected)
    assert (found.refusal.reason, found.request_id) == (Reason.INVALID_PARAMS, 1)
    assert found.refusal.public == f"{where} has more than {MAX_KEYS} members"
    assert folded == []


@pytest.mark.parametrize("where", ["params", "_meta"])
def test_n24_a_key_longer_than_any_is_refused_before_it_is_folded(where: str, folded: list[str]) -> None:
    found = parse(modern("tools/call", with_keys(where, {MARKS: 0})), eras=BOTH, max_depth=64)
    assert isinstance(found, Rejected)
    assert found.refusal.reason is Reason.INVALID_PARAMS
    assert found.refusal.public == f"{where} has a key of more than {MAX_KEY} characters"
    assert folded == []


@pytest.mark.parametrize("where", ["params", "_meta"])
def test_n24_each_key_is_folded_once_and_the_known_ones_once_for_all(where: str, folded: list[str]) -> None:
    keys = {f"k{i}": 0 for i in range(MAX_KEYS - 8)}
    asked = modern("tools/call", with_keys(where, keys))
    for _ in range(2):
        folded.clear()
        parse(asked, eras=BOTH, max_depth=64)
    assert sorted(folded) == sorted(keys)


def test_as_many_keys_as_may_be_are_taken() -> None:
    more = {f"com.example/k{i}".ljust(MAX_KEY, "x"): 0 for i in range(MAX_KEYS - len(META))}
    found = parse(modern("tools/call", with_keys("_meta", more)), eras=BOTH, max_depth=64)
    assert isinstance(found, CallTool)


def test_every_name_that_the_protocol_has_fits_within_the_bounds() -> None:
    assert all(len(row.keys) < MAX_KEYS and all(len(key) <= MAX_KEY for key in row.keys) for row in METHODS.values())


ELEMENTS = ("1", "1e1", "[]", "{}", '{"":0}', '""', '["\\"[,"]')


@pytest.mark.parametrize("element", ELEMENTS)
def test_n24_more_elements_than_any_arguments_have_are_refused_before_they_are_parsed(
    element: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strict_json, "decoded", None)
    found = parse(_of(element, (1 << 20) // (len(element) + 1)), eras=BOTH, max_depth=64)
    assert isinstance(found, Rejected)
    assert found.refusal.reason is Reason.MALFORMED
    assert str(MAX_MARKS) in found.refusal.public


@pytest.mark.parametrize("element", [*ELEMENTS, f'"{"[,:{" * 250_000}"', '"' + '\\"[,' * 200_000 + '"'])
def test_as_many_elements_as_arguments_may_have_are_taken(element: str) -> None:
    found = parse(_of(element, MAX_INPUT_BYTES // (len(element) + 1) or 1), eras=BOTH, max_depth=64)
    assert isinstance(found, CallTool)


def _of(element: str, times: int) -> Any:
    asked = modern("tools/call", {"name": "copy", "arguments": {"a": "HERE"}})
    return replace(asked, body=asked.body.replace(b'"HERE"', f"[{','.join([element] * times)}]".encode()))


@pytest.mark.parametrize("token", [True, False, None, 1.5, {}, "x" * 257])
@pytest.mark.parametrize("make", [legacy, modern])
def test_n24_a_token_that_comes_back_in_every_notification_is_as_short_as_an_id(make: Any, token: Json) -> None:
    def read(given: Json) -> object:
        return parse(make("tools/list", {"_meta": {**META, "progressToken": given}}), eras=BOTH, max_depth=64)

    found = read(token)
    assert isinstance(found, Rejected)
    assert found.refusal.reason is Reason.INVALID_PARAMS
    assert not any(isinstance(read(taken), Rejected) for taken in ("", "x" * 256, 0, -7))


class Counted(list[Json]):
    """An array that knows how often somebody went through it."""

    times = 0

    def __iter__(self) -> Iterator[Json]:
        self.times += 1
        return super().__iter__()


@pytest.mark.parametrize("headers", [1, 50])
def test_n24_the_arguments_are_gone_through_once_however_many_headers_repeat_them(headers: int) -> None:
    array = Counted([7] * 100)
    call = Call(1, "tools/call", {"name": "copy", "arguments": {"a": array}})
    given = {"mcp-method": "tools/call", "mcp-name": "copy", **{f"mcp-param-{i}": "7" for i in range(headers)}}
    assert mirrors.check(call, given, Era.MODERN) is None
    assert 1 <= array.times <= 2  # for their size, and for what stands in them


def test_n24_arguments_over_the_cap_are_compared_with_no_header() -> None:
    params = {"name": "copy", "arguments": {"a": [1] * (MAX_INPUT_BYTES // 2 + 1)}}
    found = parse(modern("tools/call", params, mcp_param_a="1"), eras=BOTH, max_depth=64)
    assert isinstance(found, Rejected)
    assert found.refusal.reason is Reason.INVALID_PARAMS
    assert found.refusal.public == f"the arguments are larger than {MAX_INPUT_BYTES} bytes"
    # Without such a header it is room 4 that tells, and only whom the tool is visible to.
    assert isinstance(parse(modern("tools/call", params), eras=BOTH, max_depth=64), CallTool)


@pytest.mark.parametrize("responses", [{"q": 1}, {"q": [{}]}, {"q": None}, {"q": {}, "r": "x"}, []])
def test_what_a_task_is_told_is_an_object_of_objects(responses: Any) -> None:
    found = parse(modern("tasks/update", {"taskId": "t", "inputResponses": responses}), eras=BOTH, max_depth=64)
    assert isinstance(found, Rejected)
    assert found.refusal.reason is Reason.INVALID_PARAMS
    assert found.refusal.public == "inputResponses is no object of objects"


@pytest.mark.parametrize(
    "told",
    [
        "x" * MAX_INPUT_BYTES,
        [0.5] * (MAX_INPUT_BYTES // 4 + 1),
        "\u0001" * (MAX_INPUT_BYTES // 5),
        "\u00e9" * (MAX_INPUT_BYTES // 2),
    ],
    ids=["text", "floats", "escapes", "two bytes each"],
)
def test_n24_what_a_task_is_told_has_the_cap_that_arguments_have(told: Json) -> None:
    params = {"taskId": "t", "inputResponses": {"q": {"a": told}}}
    found = parse(modern("tasks/update", params), eras=BOTH, max_depth=64)
    assert isinstance(found, Rejected)
    assert found.refusal.reason is Reason.INVALID_PARAMS
    assert found.refusal.public == f"the arguments are larger than {MAX_INPUT_BYTES} bytes"


def test_what_a_task_is_told_up_to_the_cap_is_taken() -> None:
    frame = len(json.dumps({"inputResponses": {"q": {"a": ""}}}, separators=(",", ":")))
    for over in (0, 1):
        params = {"taskId": "t", "inputResponses": {"q": {"a": "x" * (MAX_INPUT_BYTES - frame + over)}}}
        found = parse(modern("tasks/update", params), eras=BOTH, max_depth=64)
        assert isinstance(found, Rejected) is bool(over)
