"""The session's facts reach a policy as what they are, or the question is refused."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from sallyport.pdp import context
from sallyport.pdp.decider import decide
from sallyport.pdp.model import Denied, Effect, ErrorCode, Purpose, Query, Session
from sallyport.pdp.schema import Action
from tests.support import policy_dir as sample
from tests.support.policy_dir import NOON, alice, snapshot


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


def test_the_resources_of_one_call_share_one_context(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its arguments are checked once, however many resources they name; another call's are its own."""
    built: list[Query] = []
    real = context.build

    def counting(action: Action, query: Query, now: datetime) -> dict[str, Any]:
        built.append(query)
        return real(action, query, now)

    monkeypatch.setattr(context, "build", counting)
    held, arguments = snapshot(), {"path": "alice/a"}
    session = Session()
    call = [Query("read_file", "File", f"alice/{n}", input=arguments, session=session) for n in range(64)]
    other = Query("read_file", "File", "alice/a", input=dict(arguments), session=session)
    verdicts = decide(held, alice(), [*call, other], Purpose.CALL, catalog_digest=held.catalog_digest, now=NOON)
    assert {verdict.effect for verdict in verdicts} == {Effect.PERMIT}
    assert built == [call[0], other]
