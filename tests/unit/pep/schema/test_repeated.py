"""Arguments that a tool's schema wants repeated in headers: only what the client itself gave, and integers by number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest

from sallyport.pep.model import CallTool, CheckedCall, Era, Json
from sallyport.pep.refusal import Reason, Refusal
from sallyport.pep.schema import check
from tests.unit.pep.schema.support import envelope, loaded

SCHEMA: Final = {
    "properties": {
        "region": {"type": "string", "default": "eu", "x-mcp-header": "Region"},
        "deep": {
            "type": "object",
            "default": {},
            "properties": {"count": {"type": "integer", "default": 42, "x-mcp-header": "Count"}},
        },
        "other": {},
    }
}
HELD: Final = loaded(SCHEMA)


def called(arguments: dict[str, Json], headers: Mapping[str, str], era: Era = Era.MODERN) -> CheckedCall | Refusal:
    return check(CallTool(envelope("tools/call", era), "copy", arguments, None, headers), HELD)


def agrees(arguments: dict[str, Json], headers: Mapping[str, str], era: Era = Era.MODERN) -> bool:
    found = called(arguments, headers, era)
    assert isinstance(found, CheckedCall) or found.reason is Reason.HEADER_MISMATCH
    return isinstance(found, CheckedCall)


def test_a_default_that_was_filled_in_needs_no_header() -> None:
    found = called({}, {})
    assert isinstance(found, CheckedCall)
    assert found.arguments == {"region": "eu", "deep": {"count": 42}}


@pytest.mark.parametrize("era", Era)
def test_n13_a_header_for_a_default_that_the_body_does_not_have_is_refused(era: Era) -> None:
    assert not agrees({}, {"region": "eu"}, era)
    assert not agrees({"deep": {}}, {"count": "42"}, era)


def test_n13_what_the_client_gave_is_repeated_even_where_it_is_the_default() -> None:
    assert not agrees({"region": "eu"}, {})
    assert not agrees({"deep": {"count": 42}}, {})
    assert agrees({"region": "eu"}, {"region": "eu"})
    assert agrees({"region": "eu"}, {}, Era.LEGACY)


@pytest.mark.parametrize("given", [42, 42.0])
@pytest.mark.parametrize(
    ("header", "same"),
    [("42", True), ("42.0", True), ("42.000", True), ("=?base64?NDI=?=", True)]
    + [
        (text, False)
        for text in ("43", "42.5", "-42", "+42", "042", "4.2e1", "42.", " 42", "0x2a", "42,0", "\u0664\u0662", "")
    ],
)
@pytest.mark.parametrize("era", Era)
def test_n13_an_integer_is_repeated_by_its_number_in_a_spelling_that_the_protocol_has(
    given: Json, header: str, era: Era, *, same: bool
) -> None:
    assert agrees({"deep": {"count": given}}, {"count": header}, era) is same


@pytest.mark.parametrize("header", ["1.0", "01", "1e0"])
def test_n13_text_is_repeated_letter_by_letter(header: str) -> None:
    assert not agrees({"region": "1"}, {"region": header})
    assert agrees({"region": header}, {"region": header})


class Counted(list[Json]):
    """An array that knows how often somebody went through it."""

    times = 0

    def __iter__(self) -> Iterator[Json]:
        self.times += 1
        return super().__iter__()


def gone_through(headers: int) -> int:
    array = Counted([7] * 100)
    assert agrees({"other": array}, {f"x{i}": "7" for i in range(headers)})
    return array.times


def test_n24_headers_that_nothing_declares_cost_one_walk_however_many_they_are() -> None:
    assert gone_through(50) == gone_through(1)


class Keys(dict[str, Any]):
    """Arguments that know how often somebody looked at all their keys."""

    times = 0

    def items(self) -> Any:
        self.times += 1
        return super().items()


def test_n24_names_of_headers_are_looked_for_among_the_arguments_once() -> None:
    def looked_at(headers: int) -> int:
        arguments = Keys({f"a{i}": 7 for i in range(50)})
        assert agrees(arguments, {f"a{i}": "7" for i in range(headers)})
        return arguments.times

    assert looked_at(50) == looked_at(1)
