"""What is written is what is read, by our reader and by PyYAML, whatever the strings are."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sallyport.cli.catalog import yaml_text
from sallyport.cli.plain import plain
from sallyport.runtime import strict_yaml

HOSTILE = [
    "on", "Yes", "n", "0x1", "010", "1:30", "1e3", "1_000", ".5", "2026-01-01", "!!python/object", "*alias", "&a b", "<<",
    "~", "null", "", " ", " x", "x ", "a: b", ": #", "# x", "- x", "? x", "[a", "{b", "a, b", "|", ">-", "%x", "@x", "`x`",
    '"', "'", "\\", "a\nb", "a\n", "\na", "a\n\nb\n", "a\n b", "a \nb", "a\n\tb", "a\r\nb", "\x00", "\x1b[2J", "\x85",
    "\u2028", "\ufeff", "\u202e", "\U0001f600", "\U000e0041", "---", "...", "--- x", "=", "True", "NaN", ".inf", "a\n---\nb",
    "key: |", "a #b", "a\n# b\nc", "tools:\n  - name: x", "x" * 3000, "é", "日本", "it's", "f(x)", "a.b/c-d",
]  # fmt: skip
_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.sampled_from(HOSTILE) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(HOSTILE).filter(lambda key: len(key) < 500) | st.text(max_size=20), inner, max_size=4
        )
    ),
    max_leaves=12,
)


def _written(value: Any) -> str:
    return "\n".join(yaml_text.lines(value)) + "\n"


@pytest.mark.parametrize("text", HOSTILE)
def test_a_string_is_read_as_it_was_wherever_it_stands(text: str) -> None:
    for value in ({"k": text}, [text], {"k": [text, "x"]}, [{"a": text, "b": {"c": [{"d": text}]}}]):
        written = _written(value)
        assert strict_yaml.parse(written.encode(), "x").value == value
        assert yaml.safe_load(written) == value
        assert all(char.isprintable() or char == "\n" for char in written)
    if len(text) < 500:
        assert strict_yaml.parse(_written({text: 1}).encode(), "x").value == {text: 1}
        assert yaml.safe_load(_written({text: 1})) == {text: 1}
    assert yaml.safe_load(yaml_text.flow([text, {text[:9]: text}])) == [text, {text[:9]: text}]


@settings(max_examples=300, deadline=None)
@given(_values)
def test_any_value_is_read_as_it_was(value: Any) -> None:
    written = _written({"k": value})
    assert strict_yaml.parse(written.encode(), "x").value == {"k": value}
    assert yaml.safe_load(written) == {"k": value}
    assert plain(written.replace("\n", "")) == written.replace("\n", "")


@pytest.mark.parametrize("number", [0, -1, 2**53 - 1, 1.5, -0.25, 1e-7, 1.0, 123456.789, 1e15, 2.5e-10])
def test_a_number_is_read_as_it_was(number: float) -> None:
    text = yaml_text.checked(_written({"k": number}), {"k": number})
    assert strict_yaml.parse(text.encode(), "x").value == {"k": number}


@pytest.mark.parametrize("value", [1e300, float("inf"), float("nan"), {"x" * 2000: 1}])
def test_what_yaml_cant_say_is_refused(value: Any) -> None:
    with pytest.raises(yaml_text.NotWritable):
        yaml_text.checked(_written({"k": value}), {"k": value})


def test_what_is_too_deep_for_a_catalog_is_refused() -> None:
    value: Any = "x"
    for _ in range(40):
        value = {"k": value}
    with pytest.raises(yaml_text.NotWritable):
        yaml_text.checked(_written(value), value)
