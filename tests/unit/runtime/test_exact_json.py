"""Definitions of others keep every digit, and what can't be kept is lost alone."""

from __future__ import annotations

import json
import math
import time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sallyport.runtime import canonical_json, exact_json, strict_json
from sallyport.runtime.strict_json import JsonRefused

WIDE = (9223372036854775807, 9223372036854775808, 18446744073709551615, -(2**63), 2**53, 2**53 + 1, 10**21 - 1)
_literals = st.integers(-(10**23), 10**23).map(str) | st.from_regex(
    r"\A-?(0|[1-9][0-9]{0,24})(\.[0-9]{1,24})?([eE][-+]?[0-9]{1,3})?\Z"
)


def form(literal: str) -> bytes | None:
    """None where it isn't carried."""
    try:
        return exact_json.encode(exact_json.parse(literal.encode()))
    except ValueError:
        return None


@pytest.mark.parametrize("number", WIDE)
def test_an_integer_of_64_bits_keeps_every_digit(number: int) -> None:
    assert exact_json.parse(str(number).encode()) == number
    assert exact_json.encode([number]) == f"[{number}]".encode()


@given(_literals, _literals)
def test_two_numbers_have_one_form_only_if_they_are_equal(one: str, other: str) -> None:
    forms = form(one), form(other)
    assert (forms[0] is None or forms[0] != forms[1]) or Decimal(one) == Decimal(other)


@given(_literals)
def test_the_form_of_a_number_has_its_very_value_and_is_that_of_the_double_where_it_is_one(literal: str) -> None:
    found = form(literal)
    if found is not None:
        assert Decimal(found.decode()) == Decimal(literal)
    double = float(literal)
    if math.isfinite(double) and Decimal(literal) == Decimal(repr(double)):
        assert found == canonical_json.encode(double)


@given(st.recursive(st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(), st.lists))
def test_what_the_strict_parser_takes_has_the_form_that_it_always_had(value: Any) -> None:
    try:
        before = canonical_json.encode(strict_json.parse(json.dumps(value).encode()))
    except ValueError:
        return
    assert exact_json.encode(exact_json.parse(json.dumps(value).encode())) == before


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"a":0.1000000000000000055511151231257827}', "digits"),
        ('{"a":[1e400]}', "range"),
        ('{"a":1e-400}', "digits"),
        ('{"a":1e99999999999999999999}', "range"),
        ('{"a":1e-99999999999999999999}', "range"),
        ('{"a":340282366920938463463374607431768211455}', "digits"),
        ('{"a":%s}' % ("9" * 5000), "range"),
        ('{"a":{"b":1,"b":1}}', "given twice"),
        ('{"a":"\\ud800"}', "lone surrogate"),
    ],
)
def test_what_cannot_be_carried_is_lost_in_its_place_and_says_why(text: str, why: str) -> None:
    found = exact_json.parse(f'{{"good":[1],"bad":{text}}}'.encode())
    assert isinstance(found, dict)
    assert exact_json.encode(found["good"]) == b"[1]"
    with pytest.raises(ValueError, match=why):
        exact_json.encode(found["bad"])


def test_a_key_given_twice_stands_for_nothing_that_could_be_taken_for_a_value() -> None:
    found: Any = exact_json.parse(b'{"name":"a","name":"b","other":1}')
    assert found["other"] == 1
    assert not isinstance(found["name"], str)
    assert found["name"] != found["name"]


def test_a_key_given_twice_among_many_is_found_in_one_pass() -> None:
    keys = ",".join(f'"{number:x}":0' for number in range(40_000))
    began = time.process_time()
    found: Any = exact_json.parse(f'{{{keys},"0":0}}'.encode())
    assert time.process_time() - began < 2.0
    assert [key for key, value in found.items() if value != 0] == ["0"]


@pytest.mark.parametrize("text", ["NaN", "-Infinity", "{", '"\xff'.encode("latin-1"), "[" * 65 + "]" * 65, "1 2", ""])
def test_what_is_no_json_at_all_is_refused_as_everywhere(text: str | bytes) -> None:
    with pytest.raises(JsonRefused):
        exact_json.parse(text if isinstance(text, bytes) else text.encode())


def test_zero_is_zero_however_it_is_written() -> None:
    assert {form(zero) for zero in ("0", "-0", "0.0", "-0.000", "0e99999999999", "0E-9")} == {b"0"}


LARGE = st.integers(-(10**21) + 1, 10**21 - 1)


@given(
    st.recursive(
        LARGE | st.floats(-1e15, 1e15) | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_what_is_taken_whole_holds_every_integer_and_can_be_encoded_again(value: Any) -> None:
    whole = exact_json.whole(json.dumps(value).encode())
    assert whole == value
    assert exact_json.whole(exact_json.encode(whole)) == value


@pytest.mark.parametrize(
    ("literal", "value"), [("1e17", 10**17), ("9223372036854775807.0", 2**63 - 1), ("1.0", 1.0), ("1e300", 1e300)]
)
def test_an_integral_number_written_as_a_float_is_as_exact(literal: str, value: float) -> None:
    found = exact_json.whole(literal.encode())
    assert (found, type(found)) == (value, type(value))


def test_a_fraction_with_more_digits_than_a_double_holds_is_the_double_next_to_it() -> None:
    assert exact_json.whole(b"3.33333333333333333333") == 10 / 3


@pytest.mark.parametrize(
    "text",
    [str(10**21), str(-(10**21)), "1" * 5000, "1e400", "9007199254740993.5", '{"a":1,"a":1}', '"\\ud800"', "NaN", "[1"],
)
def test_what_parsers_disagree_about_refuses_the_whole(text: str) -> None:
    with pytest.raises(JsonRefused):
        exact_json.whole(text.encode())
