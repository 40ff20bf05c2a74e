"""The pin changes with every field of a definition, and with nothing else."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sallyport.pep.upstream.pin import pin

DEFINITION: dict[str, Any] = {
    "name": "search",
    "title": "Search",
    "description": "Finds things.",
    "inputSchema": {"type": "object", "properties": {"q": {"type": "string", "enum": ["a", "b"]}}, "required": ["q"]},
    "outputSchema": {"type": "object"},
    "annotations": {"readOnlyHint": True, "title": None},
    "icons": [{"src": "https://x.example/i.png"}],
    "_meta": {"vendor": {"version": 1}},
    "aFieldOfTomorrow": 1.5,
}
_leaves = st.none() | st.booleans() | st.integers(-1000, 1000) | st.text(max_size=5)
_values = st.recursive(
    _leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=20,
)
_definitions = st.dictionaries(st.text(max_size=6), _values, min_size=1, max_size=6)


def _mutations(value: Any) -> Iterator[Any]:
    """Every value that differs from this one in exactly one place: changed, added or removed."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield {other: one for other, one in value.items() if other != key}
            yield {other + "x" if other == key else other: one for other, one in value.items()}
            for changed in _mutations(item):
                yield {**value, key: changed}
        yield {**value, "an added key": None}
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield value[:index] + value[index + 1 :]
            for changed in _mutations(item):
                yield [*value[:index], changed, *value[index + 1 :]]
        yield [*value, None]
    else:
        yield [value]
        yield f"{value!r}'"
        yield {False: 0, True: 1}[value] if isinstance(value, bool) else None if value is not None else False


def _turned(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _turned(value[key]) for key in reversed(value)}
    return [_turned(item) for item in value] if isinstance(value, list) else value


@settings(max_examples=30, deadline=None)
@given(_definitions)
def test_n21_any_change_in_one_place_at_any_depth_changes_the_pin(definition: dict[str, Any]) -> None:
    before = pin(definition)
    twins: dict[str, Any] = {}
    for changed in _mutations(definition):
        twins.setdefault(pin(changed), changed)
    # Renaming a key may meet another one that is there: then the whole may be what it was.
    assert before not in twins or json.dumps(twins[before], sort_keys=True) == json.dumps(definition, sort_keys=True)


def test_n21_each_field_of_a_whole_definition_is_held() -> None:
    mutations = list(_mutations(DEFINITION))
    assert len(mutations) > 60
    assert pin(DEFINITION) not in {pin(changed) for changed in mutations}


@given(_definitions)
def test_neither_the_order_of_keys_nor_white_space_changes_the_pin(definition: dict[str, Any]) -> None:
    assert pin(_turned(definition)) == pin(definition)
    assert pin(json.loads(json.dumps(definition, indent=3))) == pin(definition)
    assert pin(copy.deepcopy(definition)) == pin(definition)


def test_a_pin_is_the_sha_256_of_the_canonical_form() -> None:
    assert pin({"b": 1.0, "a": "é"}) == hashlib.sha256('{"a":"é","b":1}'.encode()).hexdigest()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**21, "\ud800"])
def test_what_has_no_canonical_form_has_no_pin(value: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 — the text is the encoder's
        pin({"name": value})


@pytest.mark.parametrize("number", [2**53, 2**63 - 1, 2**63, 2**64 - 1, -(2**63)])
def test_n21_every_digit_of_an_integer_beyond_a_double_changes_the_pin(number: int) -> None:
    held = {pin({"name": "count", "inputSchema": {"maximum": one}}) for one in (number - 1, number, number + 1)}
    assert len(held) == 3
