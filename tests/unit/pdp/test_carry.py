"""Values on their way into Cedar."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sallyport.pdp.carry import MAX_ELEMENTS, MAX_STRING, NotCarriedError, carry
from sallyport.pdp.types import BOOL, DECIMAL, LONG, STRING, CedarType, Field, Record, SetOf

RECORD = Record({"a": Field(STRING, required=True), "b": Field(LONG, required=False)}, frozenset({"c"}), open=True)


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (STRING, "é\n\0", "é\n\0"),
        (STRING, "x" * MAX_STRING, "x" * MAX_STRING),
        (LONG, -(2**63), -(2**63)),
        (LONG, 2**63 - 1, 2**63 - 1),
        (LONG, 1.0, 1),
        (BOOL, False, False),
        (DECIMAL, 1, "1.0000"),
        (DECIMAL, -0.5, "-0.5000"),
        (DECIMAL, 0.1, "0.1000"),
        (DECIMAL, 1e-4, "0.0001"),
        (SetOf(LONG), [1, 2, 1], [1, 2, 1]),
        (RECORD, {"a": "x", "c": {"__entity": 1}, "d": None}, {"a": "x"}),
    ],
)
def test_the_typed_part_of_a_value_is_carried_exactly(kind: CedarType, value: Any, expected: Any) -> None:
    assert carry(kind, value) == expected


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (STRING, 1),
        (STRING, None),
        (STRING, {"__extn": {"fn": "ip", "arg": "::1"}}),
        (STRING, {"__entity": {"type": "Role", "id": "admin"}}),
        (STRING, "x" * (MAX_STRING + 1)),
        (STRING, "\ud800"),
        (LONG, True),
        (LONG, "1"),
        (LONG, 1.5),
        (LONG, 2**63),
        (LONG, -(2**63) - 1),
        (LONG, math.inf),
        (LONG, math.nan),
        (LONG, 1e19),
        (BOOL, 1),
        (DECIMAL, True),
        (DECIMAL, "1.0"),
        (DECIMAL, 0.00001),
        (DECIMAL, 922337203685478),
        (DECIMAL, 10**400),
        (DECIMAL, math.inf),
        (DECIMAL, math.nan),
        (SetOf(LONG), {"0": 1}),
        (SetOf(LONG), [1, "2"]),
        (SetOf(LONG), [1] * (MAX_ELEMENTS + 1)),
        (RECORD, []),
        (RECORD, {"b": 1}),
        (RECORD, {"a": "x", "b": None}),
    ],
)
def test_what_has_no_exact_form_is_not_carried(kind: CedarType, value: Any) -> None:
    with pytest.raises(NotCarriedError):
        carry(kind, value)


@given(st.integers(min_value=-(2**63), max_value=2**63 - 1))
def test_each_decimal_of_four_places_survives(units: int) -> None:
    value = units / 10_000
    try:
        text = carry(DECIMAL, value)
    except NotCarriedError:
        return  # the double isn't a number of four places
    assert float(text) == value
