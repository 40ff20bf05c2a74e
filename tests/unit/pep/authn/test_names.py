"""Names of people and agents: compared exactly, so what a reader can't see is refused."""

from __future__ import annotations

import pytest

from sallyport.pep.authn import evidence

UNSEEN = "\u034f\u115f\u17b4\u180e\u200b\u202e\u3164\ufe0f\uffa0\ufeff\U000e0101\x00\x1f\x7f\u2028"


@pytest.mark.parametrize("character", UNSEEN, ids=ascii)
def test_a_name_with_an_invisible_character_is_nobodys(character: str) -> None:
    with pytest.raises(evidence.Rejected, match="invisible"):
        evidence.name(f"al{character}ice", "sub")


@pytest.mark.parametrize("name", ["alice", "Jürgen", "李小龍", "o'neil@example.org", "अमित"])
def test_a_visible_name_is_taken_as_it_is(name: str) -> None:
    assert evidence.name(name, "sub") == name
