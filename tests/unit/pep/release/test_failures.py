"""An upstream's errors: known codes, one visible line, data of known shapes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sallyport.pep.model import Failed, Json
from sallyport.pep.release.failures import GENERIC, MAX_MESSAGE
from tests.unit.pep.release.support import SHAPES, leaving, shown

NEEDED: dict[str, Json] = {"requiredCapabilities": {"elicitation": {"form": {}}, "extensions": {"a/b": {}}}}


MARK: dict[str, Json] = {"sallyport.io/untrusted": True, "sallyport.io/upstream": "crm"}


def failed(code: int, message: str = "told", data: Json = None, *obligations: str) -> Failed:
    """Without its mark, which every one of them has."""
    found = shown(Failed(code, message, data), *obligations)
    assert isinstance(found, Failed)
    assert isinstance(found.data, dict)
    assert {key: found.data.get(key) for key in MARK} == MARK
    rest: dict[str, Json] = {key: value for key, value in found.data.items() if key not in MARK}
    return replace(found, data=rest or None)


@pytest.mark.parametrize(("code", "left"), [(-32601, -32601), (-32602, -32602), (-32603, -32603), (-32002, -32602)])
def test_codes_that_clients_act_upon_leave(code: int, left: int) -> None:
    assert failed(code) == Failed(left, "told")


@pytest.mark.parametrize("code", [-32700, -32600, -32000, -32001, -32010, -32020, -32022, -32042, -32800, 0, 1, 401])
def test_of_any_other_error_no_word_leaves(code: int) -> None:
    assert failed(code, "leak", {"uri": "leak://x"}) == GENERIC


def test_a_missing_capability_says_which() -> None:
    assert failed(-32021, "m", {**NEEDED, "leak": 1}) == Failed(-32021, "m", NEEDED)


@pytest.mark.parametrize(
    "data",
    [None, {}, [], {"requiredCapabilities": ["leak"]}, {"requiredCapabilities": {"a": "leak"}},
     {"requiredCapabilities": {"a\u202e": {}}}, {"requiredCapabilities": {"x" * 129: {}}},
     {"requiredCapabilities": {str(n): {} for n in range(17)}}],
)  # fmt: skip
def test_a_missing_capability_without_its_name_is_just_an_error(data: Json) -> None:
    assert failed(-32021, "leak", data) == GENERIC


def test_of_other_data_only_a_uri_leaves() -> None:
    assert failed(-32602, "m", {"uri": "crm://a", "stack": "leak"}) == Failed(-32602, "m", {"uri": "crm://a"})
    others: list[Json] = ["leak", ["leak"], {"uri": "javascript:leak"}, {"uri": 1}, NEEDED]
    for data in others:
        assert not failed(-32602, "m", data).data
        assert "leak" not in leaving(failed(-32602, "m", data))


def test_a_message_is_one_line_that_a_reader_sees_all_of() -> None:
    message = "no\r\nsuch\x1b[31m \u202eelif\u200b\u2028\ue000\U000e0041x"
    assert failed(-32602, message).message == "no such [31m elif x"
    assert failed(-32602, "").message == failed(-32602, "\n\u200b").message == GENERIC.message
    assert len(failed(-32602, "x" * 10_000).message) == MAX_MESSAGE


@pytest.mark.parametrize("obligation", SHAPES)
def test_obligations_hold_for_errors_too(obligation: str) -> None:
    assert failed(-32602, "leak", None, obligation) == Failed(-32602, GENERIC.message)
    masked = failed(-32602, "no leak@example.com", {"uri": "crm://leak@example.com"}, "mask:email")
    assert "leak" not in leaving(masked)


def test_no_cut_leaves_half_an_address() -> None:
    for length in (MAX_MESSAGE, 64 << 10):
        for before in range(length - 20, length):
            filler = "x" * before if length == MAX_MESSAGE else " " * before
            assert "leak" not in failed(-32602, f"{filler} leak@example.com", None, "mask:email").message


@pytest.mark.parametrize("forged", [False, None, {"a": 1}])
def test_an_upstream_cannot_write_the_mark_of_its_own_error(forged: Json) -> None:
    for code, more in ((-32602, {"uri": "crm://a"}), (-32021, NEEDED)):
        found = shown(Failed(code, "m", {**more, "sallyport.io/untrusted": forged, "sallyport.io/upstream": "other"}))
        assert isinstance(found, Failed)
        assert found.data == {**more, **MARK}
