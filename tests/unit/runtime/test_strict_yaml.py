"""The YAML subset: what is read, what is refused, and where it says the fault stands."""

from __future__ import annotations

import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sallyport.runtime.problems import ConfigError
from sallyport.runtime.strict_json import Json
from sallyport.runtime.strict_yaml import MAX_BYTES, parse


def _fault(data: bytes) -> str:
    with pytest.raises(ConfigError) as error:
        parse(data, "f.yaml")
    return str(error.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("on", "on"),
        ("NO", "NO"),
        ("2020-01-01", "2020-01-01"),
        ("2020-01-01T00:00:00Z", "2020-01-01T00:00:00Z"),
        ("010", "010"),
        ("0x1f", "0x1f"),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("12e45", "12e45"),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("'1'", "1"),
        ('"true"', "true"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("null", None),
        ("", None),
        ("-3", -3),
        ("0", 0),
        ("1.5", 1.5),
        ("[a, 1]", ["a", 1]),
        ("{b: {}}", {"b": {}}),
        ("|\n  two\n  lines\n", "two\nlines\n"),
        ('"\\U0001F600"', "\U0001f600"),
    ],
)
def test_a_scalar_means_what_it_looks_like(text: str, value: Json) -> None:
    document = parse(f"a: {text}\n".encode(), "f.yaml")
    assert document.value == {"a": value}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a: 1\nb: 2\na: 3\n", "f.yaml:3:1: duplicate key 'a', first on line 1"),
        (b'a: 1\n"\\x61": 3\n', "f.yaml:2:1: duplicate key 'a'"),
        (b"a: &x 1\n", "f.yaml:1:4: anchors are not allowed"),
        (b"a: *x\n", "f.yaml:1:4: aliases are not allowed"),
        (b"<<: {a: 1}\n", "f.yaml:1:1: merge keys are not allowed"),
        (b"a: !!str 1\n", "f.yaml:1:4: tags are not allowed"),
        (b"a: ! 1\n", "f.yaml:1:4: tags are not allowed"),
        (b"a: !!python/object/apply:os.system [x]\n", "f.yaml:1:4: tags are not allowed"),
        (b"1: a\n", "f.yaml:1:1: a key must be a string"),
        (b"true: a\n", "f.yaml:1:1: a key must be a string"),
        (b"~: a\n", "f.yaml:1:1: a key must be a string"),
        (b"? [a]\n: b\n", "f.yaml:1:3: a key must be a string"),
        (b"a: 99999999999999999999\n", "f.yaml:1:4: an integer beyond"),
        (b"a: 9007199254740992\n", "f.yaml:1:4: an integer beyond"),
        (b"a: 1\n---\nb: 2\n", "f.yaml:2:1: a second document"),
        (b"a: [1\n", "f.yaml:2:1: not YAML"),
        (b"a: \x00\n", "not YAML"),
        (b'a: "\\ud800"\n', "not YAML"),
        (b"a: \xff\n", "f.yaml: not UTF-8 at byte 3"),
        (b"\xef\xbb\xbfa: 1\n", "f.yaml: starts with a byte order mark"),
        (b"", "f.yaml: the file is empty"),
        (b"# only a comment\n", "f.yaml: the file is empty"),
        (b"[" * 33 + b"]" * 33, "nested deeper than 32"),
        (b"a" * (MAX_BYTES + 1), "larger than"),
        (b"- a\n" * 100_001, "more than 100000 nodes"),
    ],
)
def test_n5_what_could_be_read_in_two_ways_is_refused_with_its_place(data: bytes, message: str) -> None:
    assert message in _fault(data)


def test_every_fault_is_listed_at_once() -> None:
    assert _fault(b"a: &x 1\nb: !t 2\na: 3\n3: 4\n").splitlines() == [
        "f.yaml:1:4: anchors are not allowed; write the value out",
        "f.yaml:2:4: tags are not allowed",
        "f.yaml:3:1: duplicate key 'a', first on line 1",
        "f.yaml:4:1: a key must be a string; put it in quotes",
    ]


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 1_000_000,
        b"{a: " * 250_000,
        b"- " * 500_000,
        b"? " * 500_000,
        b"a: &x 1\n" * 100_000,
        b'"' * 1_000_000,
        b"['" * 500_000,
    ],
)
def test_a_hostile_file_is_refused_soon_and_in_few_words(data: bytes) -> None:
    began = time.process_time()
    assert len(_fault(data).splitlines()) <= 100
    assert time.process_time() - began < 3


def test_32_levels_are_read() -> None:
    assert parse(b"[" * 32 + b"]" * 32, "f.yaml").value


def test_positions_are_those_of_the_node_of_its_key_or_of_the_nearest_parent() -> None:
    document = parse(b"a:\n  - name: x\n    b: {c: 1}\n", "f.yaml")
    assert document.position(["a", 0, "name"]) == (2, 11)
    assert document.key_position(["a", 0, "name"]) == (2, 5)
    assert document.position(["a", 0, "b", "c"]) == (3, 12)
    assert document.position(["a", 0, "tag", "b", "c", "missing"]) == (3, 12)
    assert document.position([]) == (1, 1)
    assert document.key_position([]) == (1, 1)


@given(st.binary(max_size=100) | st.text("ab:-[]{}&*!|>'\"#?,% \n\t<1.~", max_size=60).map(str.encode))
def test_n5_any_bytes_are_a_document_or_a_config_error(data: bytes) -> None:
    with contextlib.suppress(ConfigError):
        assert parse(data, "f.yaml").name == "f.yaml"
