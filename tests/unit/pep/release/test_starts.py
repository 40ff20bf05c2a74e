"""Where masks look: a pattern that is tried only where it could begin finds what it finds when it is tried everywhere."""

from __future__ import annotations

import re
import time
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sallyport.pep.release.masks import PATTERNS, Masks
from sallyport.pep.release.pattern import folded
from sallyport.pep.release.together import Together

# Of what matches begin with, are made of, and end at; what stands on the edge of two; and letters that re folds.
_PIECES = (
    "1|12|123|1234|12345|000|666|0|9|AA|AB|ab|A|a|b|f|C| |  |\t|.|-|/|(|)|+|,|;|:|::|=|@|\uff20|\ufe6b|%40|%|&|#|&#64;|\"|'|_|\\"
    "|[|]|10.0.0.1|1.2.3.4.5|[::1]|2001:db8::1|fe80::|::ffff:|1:2:3:4:5:6:7:8|1:2:3:4:5:6:|12:34:56|std::map|peer:"
    "|2026-11-21|T10:00:00Z|2026-11-21T10:00:00.123|550e8400-e29b-41d4-a716-446655440000|e29b-|446655440000-"
    "|4111111111111111|4111-1111-1111-1111|3782-822463-10005|DE89370400440532013000|DE89 3704 0044 0532 0130 00|de89|NO93 8601 1117 947"
    "|123-45-6789|123456789|1700000000|+49 (0)30 / 1234-5678|(030) 555 5555|AB123456C|AB 12 34 56 C|GB12"
    "|password|passwd|pwd|secret|token|api_key|apikey|access-key|private_key|credentials|bearer |Authorization: Basic "
    "|pa\u017f\u017fword|to\u212aen|ap\u0131_key|\u0130|=x|:x|=\"|='|hunter2|abcdefghij|-----BEGIN PRIVATE KEY-----|-----END "
    "|AKIA|ABCDEFGHIJKLMNOP|ghp_|github_pat_|glpat-|xoxb-|AIza|ya29.|sk_live_|rk_test_|sk-|hf_|npm_|pypi-|eyJ|eyJhbGci.|0123456789abcdef0123"
    '|://|user:p@|alice|example.com|alice@example.com|"alice smith"@x|"a"%40x|\u0661\u0662|\uff11|\u00a0|\u202f|\u2013|\u00e9|\u4e2d'
)
PIECES = _PIECES.split("|")
TEXTS = st.lists(st.sampled_from([*PIECES, "\n", "\r\n", "|"]) | st.characters(codec="utf-8"), max_size=24).map("".join)
RUNS = st.builds(lambda piece, count, end: piece * count + end, st.sampled_from(PIECES), st.integers(1, 40), TEXTS)


@pytest.mark.parametrize("kind", sorted(PATTERNS))
@given(strings=st.lists(TEXTS | RUNS, min_size=1, max_size=4))
@settings(max_examples=200, deadline=None)
def test_looking_only_where_it_could_begin_finds_all_in_one_text_and_in_several(kind: str, strings: list[str]) -> None:
    pattern = PATTERNS[kind]
    assert list(pattern.hide(Together(strings)).strings) == [pattern.hide_in(each) for each in strings]


def test_every_letter_that_a_word_may_be_written_with_is_folded_to_it_and_none_moves() -> None:
    letters = [chr(code) for code in range(0x110000)]
    for letter in re.findall("(?i:[a-z])", "".join(letters)):
        assert re.fullmatch(folded(letter), letter, re.IGNORECASE)
        assert folded(letter).isascii(), letter
    assert all(len(folded(letter)) == 1 for letter in letters)


@pytest.mark.parametrize("unseen", ["\u00ad", "\u200b", "\u2060", "\ufeff", "\U000e0041", "\u0600"])
def test_whatever_nobody_sees_is_taken_out_before_anything_is_looked_for(unseen: str) -> None:
    assert unicodedata.category(unseen) == "Cf"
    assert Masks(("email",)).text(f"{unseen}al{unseen}ice@example.com \u00e9") == "masked@masked.invalid \u00e9"


@pytest.mark.parametrize("kind", sorted(PATTERNS))
def test_a_text_of_nothing_but_beginnings_costs_by_its_length(kind: str) -> None:
    """Eight times the text: eight times the work, and sixty-four times where each beginning looks through all others."""
    seeds = (
        "%40",
        "a%40",
        '"@',
        '"a"@',
        "a@",
        "@",
        "::1",
        "::",
        ":1",
        "a::1 ",
        "1.1.",
        "1.1 ",
        "sk-",
        "://",
        "pass",
        "AKIA",
        "eyJ",
    )
    more = (
        "1 1 ",
        "(1",
        "1",
        "+",
        "AA11 ",
        "aa1",
        "AB 12 34 56 ",
        "0123abcd-0123-0123-",
        "_-A",
        "ghp_",
        ":1:1:1:1:1:1",
        'pwd="',
    )
    for seed in (*seeds, *more):
        small, large = (min(_spent(kind, seed, size) for _ in range(2)) for size in (4 << 10, 32 << 10))
        assert large < 30 * max(small, 0.001), seed


def _spent(kind: str, seed: str, size: int) -> float:
    given = Together([(seed * (size // len(seed) + 1))[:size]])
    started = time.process_time()
    PATTERNS[kind].hide(given)
    return time.process_time() - started
