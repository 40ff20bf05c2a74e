"""The session's facts reach a policy as what they are, or the question is refused."""

from __future__ import annotations

from typing import Any

import pytest

from sallyport.pdp import context
from sallyport.pdp.model import Denied, ErrorCode, Query, Session
from tests.support import policy_dir as sample
from tests.support.policy_dir import snapshot


def session(**facts: Any) -> dict[str, Any]:
    action = snapshot().rules["status"].action
    built: dict[str, Any] = context.build(action, Query("status", session=Session(**facts)), sample.NOON)["session"]
    return built


@pytest.mark.parametrize("name", ["risk", "mfa_age"])
@pytest.mark.parametrize("value", [True, False, 5.0, 0.5, "5", -1, 2**64, [5]])
def test_a_fact_that_is_no_integer_in_range_is_refused(name: str, value: Any) -> None:
    with pytest.raises(Denied) as denied:
        session(**{name: value})
    assert denied.value.code is ErrorCode.INVALID_QUESTION


def test_facts_in_range_are_carried_and_unknown_ones_are_absent() -> None:
    assert session(risk=100, mfa_age=0) == {
        "now": "2026-11-20T12:00:00.123Z",
        "hour_utc": 12,
        "risk": 100,
        "mfa_age": "0s",
    }
