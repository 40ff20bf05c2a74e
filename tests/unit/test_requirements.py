"""Claims and tests point at each other, in both directions."""

from __future__ import annotations

import re
from pathlib import Path

from tests.requirements import REQUIREMENTS

_TESTS = Path(__file__).resolve().parents[1]
_NAMED = re.compile(r"def test_([npk]\d+)_")


def _claimed() -> set[str]:
    texts = (path.read_text() for path in _TESTS.rglob("test_*.py"))
    return {found.upper() for text in texts for found in _NAMED.findall(text)}


def test_every_claim_that_is_not_deferred_has_a_test() -> None:
    missing = {claim.id for claim in REQUIREMENTS if not claim.deferred} - _claimed()
    assert not missing


def test_every_test_that_names_a_claim_names_one_that_exists() -> None:
    assert _claimed() <= {claim.id for claim in REQUIREMENTS}


def test_claims_have_distinct_ids() -> None:
    ids = [claim.id for claim in REQUIREMENTS]
    assert len(ids) == len(set(ids))
