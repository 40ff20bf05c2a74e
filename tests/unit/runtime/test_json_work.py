"""What reading and writing JSON cost: the work is counted, so that no clock is asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sallyport.runtime import canonical_json, strict_json
from sallyport.runtime.canonical_json import encode, exceeds
from sallyport.runtime.strict_json import Json, JsonRefused, parse

MANY: Final = 3000


def count(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> list[Any]:
    """Every first argument that it is called with from here on."""
    seen: list[Any] = []
    real = getattr(module, name)

    def counted(value: Any, *more: Any) -> Any:
        seen.append(value)
        return real(value, *more)

    monkeypatch.setattr(module, name, counted)
    return seen


@pytest.mark.parametrize("number", [0.5, -3.141592653589793, 1e-4, 999_999_999_999.25])
def test_a_number_that_python_writes_as_ecmascript_does_is_not_taken_apart(
    monkeypatch: pytest.MonkeyPatch, number: float
) -> None:
    seen = count(monkeypatch, canonical_json, "_number")
    assert json.loads(encode([number] * MANY)) == [number] * MANY
    assert seen == []


@pytest.mark.parametrize("items", [[7] * MANY, ["a", None, True] * MANY])
def test_a_long_array_of_what_needs_no_look_is_not_looked_at_one_by_one(
    monkeypatch: pytest.MonkeyPatch, items: list[Json]
) -> None:
    seen = count(monkeypatch, canonical_json, "_is_plain")
    encode(items)
    assert len(seen) == 1


ANY: Final = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    lambda inner: (
        st.lists(inner, max_size=20)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=6), inner, max_size=5)
    ),
    max_leaves=60,
)


@given(ANY)
def test_the_fast_way_and_the_slow_way_of_writing_agree_on_every_value(value: Json) -> None:
    assert encode(value) == canonical_json._written(value).encode()


@given(ANY)
def test_no_value_is_told_to_exceed_what_it_takes(value: Json) -> None:
    assert not exceeds(value, len(encode(value)))


@pytest.mark.parametrize(
    "value", ["x" * MANY, [1] * MANY, [[]] * MANY, ["x"] * MANY, {"k" * MANY: 1}, {"a": ["xx"] * MANY}]
)
def test_what_is_clearly_larger_is_told_to_exceed(value: Json) -> None:
    assert exceeds(value, MANY - 1)


class Counted(list[Json]):
    """An array that knows how often somebody went through it."""

    times = 0

    def __iter__(self) -> Iterator[Json]:
        self.times += 1
        return super().__iter__()


def test_what_stands_behind_the_cap_is_not_looked_at() -> None:
    arrays = [Counted("x" * 10) for _ in range(MANY)]
    assert exceeds([*arrays], 2 * MANY)
    assert sum(array.times for array in arrays) <= MANY // 2


@pytest.mark.parametrize("literal", ["7", "123456789012345", "0.5", "-12.345678901234"])
def test_numbers_that_cannot_be_out_of_bounds_are_read_without_a_look(
    monkeypatch: pytest.MonkeyPatch, literal: str
) -> None:
    monkeypatch.setattr(strict_json, "_DECODER", None)  # the one that looks at each number
    text = f"[{','.join([literal] * MANY)}]".encode()
    assert parse(text) == json.loads(text)


ODD: Final = (
    "9007199254740992",
    "-9007199254740992",
    "9007199254740993.5",
    "1e16",
    "1E400",
    "0.1e18",
    "99999999999999999999",
    "NaN",
    "-Infinity",
    "01",
    "1.",
    ".5",
)


@pytest.mark.parametrize("literal", ODD)
@pytest.mark.parametrize("filling", [0, MANY])
def test_n14_a_number_out_of_bounds_is_refused_in_a_short_text_and_in_a_long_one(literal: str, filling: int) -> None:
    text = f"[{'1,' * filling}{literal},0.5]".encode()
    with pytest.raises(JsonRefused):
        parse(text)


NUMBER: Final = st.from_regex(r"-?(0|[1-9][0-9]{0,18})(\.[0-9]{1,18})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)


@given(st.lists(NUMBER | st.text(max_size=20).map(json.dumps), min_size=1, max_size=4))
def test_n14_both_ways_of_reading_take_the_same_numbers_for_the_same(literals: list[str]) -> None:
    def read(text: str) -> str:
        try:
            return repr(parse(text.encode())[:-1])  # type: ignore[index]
        except JsonRefused as error:
            return str(error)

    short, long = (f'[{",".join(literals)},"{" " * filling}"]' for filling in (0, strict_json._LONG))
    assert read(short) == read(long)
