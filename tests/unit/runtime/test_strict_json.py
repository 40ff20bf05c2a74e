"""The strict parser against a corpus, against hypothesis, and against bodies made to be slow."""

from __future__ import annotations

import contextlib
import json
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sallyport.runtime import canonical_json
from sallyport.runtime.strict_json import MAX_INTEGER, Json, JsonRefused, outside_strings, parse
from tests.support.attacks.documents import documents
from tests.support.attacks.lists import DOCUMENTS, both

_HUGE = 10_000_000
of_each_list = pytest.mark.parametrize("source", both(DOCUMENTS))


def _goes_beyond_i_json(data: bytes) -> bool:
    """Valid by RFC 8259, but two parsers may read it as two things: duplicate keys, big integers, lone surrogates."""
    duplicates: list[bool] = []

    def note(pairs: list[tuple[str, object]]) -> dict[str, object]:
        duplicates.append(len(dict(pairs)) != len(pairs))
        return dict(pairs)

    value = json.loads(data, object_pairs_hook=note)
    numbers = [
        literal
        for literal in re.findall(r"(?<![\d.])-?\d+(?![\d.eE])", data.decode())
        if abs(int(literal)) > MAX_INTEGER
    ]
    return any(duplicates) or bool(numbers) or bool(re.search("[\ud800-\udfff]", json.dumps(value, ensure_ascii=False)))


@of_each_list
def test_n14_no_malformed_text_of_the_lists_is_accepted(source: str) -> None:
    accepted = []
    texts = documents("n", source)
    for name, data in texts.items():
        try:
            parse(data)
        except JsonRefused:
            continue
        accepted.append(name)
    assert len(texts) > 150
    assert not accepted


@of_each_list
def test_every_valid_text_of_the_lists_is_read_as_the_standard_library_does_unless_it_is_ambiguous(source: str) -> None:
    wrong = []
    texts = documents("y", source)
    for name, data in texts.items():
        try:
            right = parse(data) == json.loads(data) and not _goes_beyond_i_json(data)
        except JsonRefused:
            right = _goes_beyond_i_json(data)
        if not right:
            wrong.append(name)
    assert len(texts) > 80
    assert not wrong


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b'"\xc0\xaf"',
        b"NaN",
        b"[Infinity]",
        b"-Infinity",
        b"1e400",
        b"-1e400",
        b"9007199254740992",
        b"-9007199254740992",
        b"9007199254740992.0",
        b"1e17",
        b"-1E20",
        b"9" * 5000,
        b'"\\ud800"',
        b'"\\udc00\\ud800"',
        b'"\\uD83D \\uDE00"',
        b'{"\\ud800": 1}',
        b'["\\\\\\ud800"]',
        b'{"a":1,"a":1}',
        b'{"a":1,"\\u0061":2}',
        b'{"x":[{"a":1,"b":2,"a":3}]}',
        b"{} {}",
        b"[1] x",
        b"",
        b" ",
        b"\x00",
        b"'a'",
        b"[1,]",
        b"01",
        b"+1",
        b".5",
        b"1.",
        b"0x1",
        b'"\t"',
        b'"\\x41"',
        b"// c\n1",
        b"\x0c1",
        "\u00a01".encode(),
        "\u0661".encode(),
        b"{1:2}",
        b"tru",
        b"[" * 1_000_000,
        b'{"a":' * 100_000,
        b"[" * 65 + b"]" * 65,
        b'{"a":' * 65 + b"1" + b"}" * 65,
    ],
)
def test_n14_what_parsers_disagree_about_is_refused(data: bytes) -> None:
    with pytest.raises(JsonRefused):
        parse(data)


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"9007199254740991", MAX_INTEGER),
        (b"-9007199254740991", -MAX_INTEGER),
        (b"-0", 0),
        (b"1.0", 1.0),
        (b"1e2", 100.0),
        (b"1e21", 1e21),
        (b"9007199254740991.0", float(MAX_INTEGER)),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b'"\\\\ud800"', "\\ud800"),
        (b'"\\u0000"', "\0"),
        (b" \t\r\n[ ] ", []),
        (b'"[[[[[' + b"[" * 100 + b'"', "[[[[[" + "[" * 100),
        (b'["' + b'\\"[' * 100 + b'"]', ['"[' * 100]),
        (b'{"a":1,"A":2}', {"a": 1, "A": 2}),
    ],
)
def test_what_is_unambiguous_is_accepted(data: bytes, value: Json) -> None:
    parsed = parse(data)
    assert parsed == value
    assert type(parsed) is type(value)


def test_depth_counts_from_one_and_brackets_in_strings_do_not_count() -> None:
    assert parse(b"[" * 64 + b"]" * 64)
    assert parse(b'{"a":' * 63 + b'["]]}}[["]' + b"}" * 63)
    assert parse(b"[" + b"[]," * 1000 + b"[]]", max_depth=2)
    with pytest.raises(JsonRefused, match="deeper than 2"):
        parse(b"[[[]]]", max_depth=2)


@given(st.lists(st.sampled_from(["\\", '"', "[", "]", "{", "}", "a", "\\u005b"]), max_size=12).map("".join), st.text())
def test_what_stands_outside_strings_is_all_of_it_and_nothing_else(one: str, other: str) -> None:
    data = f"[{json.dumps(one)},[{json.dumps(other)}],{{{json.dumps(one + other)}:1}}]".encode()
    assert outside_strings(data) == b"[,[],{:1}]"


def test_an_unterminated_string_runs_to_the_end_and_a_long_one_through_all_pieces() -> None:
    assert outside_strings(b'[1,"[[[\\"[') == b"[1,"
    assert outside_strings(b'["' + b"[" * 200_000 + b'",7]') == b"[,7]"
    assert outside_strings(b'["",' + b'"[]",' * 100_000 + b"7]") == b"[," + b"," * 100_000 + b"7]"


@given(
    st.lists(
        st.sampled_from(["\\ud83d", "\\uDE00", "\\uD83D", "\\ude00", "\\\\", "\\n", "u", "x", "\\u0041"]), max_size=9
    )
)
def test_a_surrogate_escape_is_taken_only_as_half_of_a_pair(parts: list[str]) -> None:
    data = f'{{"a":["{"".join(parts)}"]}}'
    alone = bool(re.search("[\ud800-\udfff]", str(json.loads(data)["a"][0])))
    with pytest.raises(JsonRefused, match="lone surrogate") if alone else contextlib.nullcontext():
        parse(data.encode())


def test_n14_a_caller_that_allows_more_depth_than_the_stack_has_still_gets_a_refusal() -> None:
    with pytest.raises(JsonRefused):
        parse(b"[" * 100_000 + b"]" * 100_000, max_depth=200_000)


def test_n7_a_refusal_holds_none_of_the_input() -> None:
    for data in (
        b'{"canary":canary}',
        b'{"canary":1,"canary":2}',
        b'"canary',
        b'["\\ucanary"]',
        b'"canary\xff"',
        b'"canary\\ud800"',
    ):
        with pytest.raises(JsonRefused) as refusal:
            parse(data)
        assert "canary" not in str(refusal.value)
        assert refusal.value.__cause__ is None


@pytest.mark.parametrize(
    "data",
    [
        b"{" + b",".join(b'"%d":1' % number for number in range(1_000_000)) + b"}",
        b'"' + b"a" * _HUGE + b'"',
        b'"' + b'\\"' * (_HUGE // 2) + b'"',
        b"[" * 70 + b'"' + b'\\"' * (_HUGE // 2),
        b"[" * 70 + b'"' + b'\\"' * (_HUGE // 2) + b"\\",
        b"[" * 70 + b'"' * _HUGE,
        b"[" * _HUGE,
        b"[" + b"[]," * 300_000 + b"[]]",
        b"9" * _HUGE,
        b"0." + b"9" * _HUGE,
        b" " * _HUGE,
    ],
    ids=[
        "keys",
        "text",
        "escapes",
        "open-text",
        "open-escape",
        "quotes",
        "open",
        "flat",
        "digits",
        "fraction",
        "space",
    ],
)
def test_n14_a_body_made_to_be_slow_takes_bounded_time(data: bytes) -> None:
    began = time.process_time()
    with contextlib.suppress(JsonRefused):
        parse(data)
    assert time.process_time() - began < 8  # linear: a quadratic reading of ten megabytes takes hours


_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_FLOAT = st.floats(allow_nan=False, allow_infinity=False).filter(lambda x: not MAX_INTEGER < abs(x) < 1e21)
_NUMBER = st.integers(-MAX_INTEGER, MAX_INTEGER) | _FLOAT
_JSON = st.recursive(
    st.none() | st.booleans() | _NUMBER | _TEXT,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(_TEXT, inner, max_size=5),
    max_leaves=20,
)


@given(_JSON)
def test_n11_a_canonical_text_reads_as_the_value_it_was_made_from_and_is_written_the_same_again(value: Json) -> None:
    text = canonical_json.encode(value)
    assert parse(text) == value
    assert canonical_json.encode(parse(text)) == text


@given(st.binary(max_size=200))
def test_n14_any_bytes_are_read_as_the_standard_library_does_or_refused(data: bytes) -> None:
    try:
        value = parse(data)
    except JsonRefused:
        return
    assert value == json.loads(data)


@settings(max_examples=300)
@given(st.text(alphabet='[]{}",:\\u19d8ae.- \n', max_size=60).map(str.encode))
def test_n14_any_text_of_json_characters_is_read_as_the_standard_library_does_or_refused(data: bytes) -> None:
    try:
        value = parse(data, max_depth=4)
    except JsonRefused:
        return
    assert value == json.loads(data)
