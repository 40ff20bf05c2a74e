"""Handles open for the one they were sealed to, for what they were sealed for, in their time; for nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sallyport.pep.handles import MAX_HANDLE, MAX_PAYLOAD, Handles

KEY, OTHER = b"k" * 32, b"o" * 32
BOUND = ("crm", "main", "alice", "coding-bot", "acme")
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@given(st.text(max_size=20), st.lists(st.text(max_size=20), max_size=6), st.binary(max_size=300))
def test_n2_what_is_sealed_opens_for_the_same_kind_and_binding(kind: str, bound: list[str], payload: bytes) -> None:
    handle = Handles(KEY).seal(kind, bound, payload, ttl=60)
    assert set(handle) <= set(ALPHABET)
    assert Handles(KEY).open(kind, bound, handle) == payload


def test_n2_a_handle_with_any_bit_of_any_character_flipped_is_none() -> None:
    handles = Handles(KEY)
    for length in range(3):  # each way that base64 can end
        handle = handles.seal("state", BOUND, b"x" * length, ttl=60)
        for place, character in enumerate(handle):
            for bit in range(6):
                turned = ALPHABET[ALPHABET.index(character) ^ (1 << bit)]
                assert handles.open("state", BOUND, handle[:place] + turned + handle[place + 1 :]) is None


@pytest.mark.parametrize(
    ("kind", "bound"),
    [
        ("task", BOUND),
        ("", BOUND),
        ("state", BOUND[:-1]),
        ("state", (*BOUND, "")),
        ("state", ("wiki", *BOUND[1:])),
        ("state", ("crm", "main", "mallory", *BOUND[3:])),
        ("state", ("crmmain", "", *BOUND[2:])),
        ("state", ("crm", "mainalice", *BOUND[3:])),
        ("state", ('crm","main', *BOUND[2:])),
        ("state", ()),
        ("state", ("\ud800",)),
        ("\ud800", BOUND),
    ],
)
def test_n2_another_kind_or_binding_is_none(kind: str, bound: tuple[str, ...]) -> None:
    handles = Handles(KEY)
    assert handles.open(kind, bound, handles.seal("state", BOUND, b"payload", ttl=60)) is None


def test_n2_no_boundary_between_the_parts_of_a_binding_can_shift() -> None:
    handles = Handles(KEY)
    handle = handles.seal("state", ["ab", "c"], b"payload", ttl=60)
    for shifted in (["a", "bc"], ["abc"], ["ab", "c", ""], ["", "ab", "c"]):
        assert handles.open("state", shifted, handle) is None
    assert handles.open("stateab", ["c"], handle) is None


def test_a_handle_lives_as_long_as_it_was_told() -> None:
    clock = Clock()
    handles = Handles(KEY, wall=clock)
    handle = handles.seal("state", BOUND, b"payload", ttl=60)
    clock.now += 59.9
    assert handles.open("state", BOUND, handle) == b"payload"
    clock.now += 0.2
    assert handles.open("state", BOUND, handle) is None


@pytest.mark.parametrize("cut", [1, 2, 8, 40])
def test_a_truncated_or_lengthened_handle_is_none(cut: int) -> None:
    handles = Handles(KEY)
    handle = handles.seal("state", BOUND, b"payload", ttl=60)
    for spoilt in (handle[:-cut], handle[cut:], handle + "A" * cut, "A" * cut + handle, handle[: cut - 1]):
        assert handles.open("state", BOUND, spoilt) is None


def test_a_handle_has_one_spelling() -> None:
    handles = Handles(KEY)
    handle = handles.seal("state", BOUND, b"\xff\xfe" * 40, ttl=60)
    spellings = (handle + "=", handle + "==", f" {handle}", handle + "\n", handle[:9] + "!" + handle[9:])
    for spelt in (*spellings, handle.replace("-", "+").replace("_", "/") + "+"):
        assert handles.open("state", BOUND, spelt) is None


@given(st.text(max_size=400))
def test_text_that_was_never_a_handle_is_none_and_raises_nothing(text: str) -> None:
    assert Handles(KEY).open("state", BOUND, text) is None


@given(st.binary(max_size=200))
def test_bytes_that_were_never_sealed_are_none(raw: bytes) -> None:
    from sallyport.pep.handles import _spell

    assert Handles(KEY).open("state", BOUND, _spell(b"\x01" + raw)) is None


def test_n2_a_handle_under_a_foreign_key_is_none() -> None:
    assert Handles(KEY).open("state", BOUND, Handles(OTHER).seal("state", BOUND, b"payload", ttl=60)) is None


def test_keys_rotate_and_the_older_one_only_opens() -> None:
    old = Handles(OTHER).seal("state", BOUND, b"payload", ttl=60)
    rotated = Handles(KEY, OTHER)
    assert rotated.open("state", BOUND, old) == b"payload"
    fresh = rotated.seal("state", BOUND, b"payload", ttl=60)
    assert Handles(OTHER).open("state", BOUND, fresh) is None
    assert Handles(KEY).open("state", BOUND, fresh) == b"payload"


def test_a_handle_of_another_format_is_none() -> None:
    handles = Handles(KEY)
    handle = handles.seal("state", BOUND, b"payload", ttl=60)
    assert handles.open("state", BOUND, "B" + handle[1:]) is None


def test_two_handles_of_the_same_are_unlike() -> None:
    handles = Handles(KEY)
    assert len({handles.seal("state", BOUND, b"payload", ttl=60) for _ in range(100)}) == 100


def test_the_longest_payload_fits_and_a_longer_one_is_refused_on_both_sides() -> None:
    handles = Handles(KEY)
    handle = handles.seal("state", BOUND, b"x" * MAX_PAYLOAD, ttl=60)
    assert len(handle) <= MAX_HANDLE
    assert handles.open("state", BOUND, handle) == b"x" * MAX_PAYLOAD
    assert handles.open("state", BOUND, handle + "A" * 40) is None
    with pytest.raises(ValueError, match="more than a handle holds"):
        handles.seal("state", BOUND, b"x" * (MAX_PAYLOAD + 1), ttl=60)


@pytest.mark.parametrize("ttl", [0, -1, float("inf"), float("nan")])
def test_a_handle_that_never_ends_isnt_made(ttl: float) -> None:
    with pytest.raises(ValueError, match="not for ever"):
        Handles(KEY).seal("state", BOUND, b"", ttl=ttl)


@pytest.mark.parametrize("key", [b"", b"k" * 16, b"k" * 33])
def test_a_key_of_another_length_is_refused(key: bytes) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Handles(key)
    with pytest.raises(ValueError, match="32 bytes"):
        Handles(KEY, key)
