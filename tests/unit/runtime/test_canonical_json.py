"""RFC 8785: its own vectors, and properties."""

from __future__ import annotations

import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sallyport.runtime import canonical_json
from sallyport.runtime.canonical_json import encode
from sallyport.runtime.strict_json import MAX_INTEGER, Json, parse

_APPENDIX_B = [
    ("0000000000000000", "0"),
    ("8000000000000000", "0"),
    ("0000000000000001", "5e-324"),
    ("8000000000000001", "-5e-324"),
    ("7fefffffffffffff", "1.7976931348623157e+308"),
    ("ffefffffffffffff", "-1.7976931348623157e+308"),
    ("4340000000000000", "9007199254740992"),
    ("c340000000000000", "-9007199254740992"),
    ("4430000000000000", "295147905179352830000"),
    ("44b52d02c7e14af5", "9.999999999999997e+22"),
    ("44b52d02c7e14af6", "1e+23"),
    ("44b52d02c7e14af7", "1.0000000000000001e+23"),
    ("444b1ae4d6e2ef4e", "999999999999999700000"),
    ("444b1ae4d6e2ef4f", "999999999999999900000"),
    ("444b1ae4d6e2ef50", "1e+21"),
    ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
    ("3eb0c6f7a0b5ed8d", "0.000001"),
    ("41b3de4355555553", "333333333.3333332"),
    ("41b3de4355555554", "333333333.33333325"),
    ("41b3de4355555555", "333333333.3333333"),
    ("41b3de4355555556", "333333333.3333334"),
    ("41b3de4355555557", "333333333.33333343"),
    ("becbf647612f3696", "-0.0000033333333333333333"),
    ("43143ff3c1cb0959", "1424953923781206.2"),
]


@pytest.mark.parametrize(("bits", "text"), _APPENDIX_B)
def test_numbers_have_the_form_that_ecmascript_gives_them(bits: str, text: str) -> None:
    (number,) = struct.unpack(">d", bytes.fromhex(bits))
    assert encode(number) == text.encode()


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1.0, "1"),
        (-1.5, "-1.5"),
        (100.0, "100"),
        (1e20, "100000000000000000000"),
        (0.1, "0.1"),
        (1e-7, "1e-7"),
        (123e-9, "1.23e-7"),
    ],
)
def test_numbers_of_everyday_size(number: float, text: str) -> None:
    assert encode([number]) == f"[{text}]".encode()


def test_keys_sort_by_utf_16_code_units() -> None:
    keys: dict[str, Json] = {"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\U0001f600": 5, "\u0080": 6, "\u00f6": 7}
    order = ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]  # RFC 8785 §3.2.3
    assert list(json.loads(encode(keys))) == order
    assert list(json.loads(encode({**keys, "x": 1.5}))) == ["\r", "1", "x", *order[2:]]


def test_strings_are_escaped_as_rfc_8785_3_2_2_2_says() -> None:
    assert (
        encode('\u20ac$\x0f\nA\'B"\\\\"/\x7f\b\t\f\r\x00')
        == '"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/\x7f\\b\\t\\f\\r\\u0000"'.encode()
    )


def test_the_rfcs_own_example() -> None:
    source = (
        b'{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],"literals":[null,true,false]}'
    )
    expected = b'{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27]}'
    assert encode(parse(source)) == expected


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        [-float("inf")],
        MAX_INTEGER + 1,
        {"a": -MAX_INTEGER - 1},
        "\ud800",
        {"\udfff": 1},
        ["\ud800", 1.5],
        {"\ud800": 1.5},
        {1: 2},
        {None: 1.5},
        {True: 1},
        (1, 2),
        b"x",
        object(),
        {"a": {1}},
    ],
)
def test_n14_what_json_cannot_carry_is_a_value_error(value: object) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 — the type is the promise
        encode(value)  # type: ignore[arg-type]
    assert type(error.value) is ValueError


def test_n14_a_value_that_holds_itself_is_a_value_error() -> None:
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(ValueError, match="too deep"):
        encode(loop)  # type: ignore[arg-type]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_survives(number: float) -> None:
    text = encode(number)
    assert float(text) == number
    assert b"e+0" not in text
    assert not text.endswith(b".0")


_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@given(st.dictionaries(_TEXT, st.integers(-MAX_INTEGER, MAX_INTEGER) | _TEXT, max_size=8))
def test_the_fast_way_and_the_slow_way_agree(value: dict[str, int | str]) -> None:
    slow = canonical_json._written(dict(value)).encode()
    assert encode(dict(value)) == slow
    keys = list(json.loads(slow))
    assert keys == sorted(keys, key=lambda key: key.encode("utf-16-be"))
