"""Two identities have one id only if they are the same."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sallyport.pdp import identity

PARTS = st.lists(st.text(st.characters(codec="utf-8")), min_size=2, max_size=3)


@given(PARTS, PARTS)
@example(["a", 'b","c'], ["a", "b", "c"])
@example(["a", 'b","c'], ['a","b', "c"])
@example(["a\\", '"b'], ["a", '\\"b'])
def test_different_parts_make_different_ids(one: list[str], other: list[str]) -> None:
    assert (identity.encode(*one) == identity.encode(*other)) is (one == other)
    assert identity.is_identity(identity.encode(*one), len(one))


@pytest.mark.parametrize(
    "text", ["alice", "", "[]", '["a"]', '["a", "b"]', '["a","b","c"]', '["a",1]', '{"a":"b"}', '["\\u0061","b"]']
)
def test_what_encode_never_writes_is_no_identity(text: str) -> None:
    assert not identity.is_identity(text, 2)
