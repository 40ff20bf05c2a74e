"""Notifications on a stream: of two kinds, in their shapes, under the obligations of the answer."""

from __future__ import annotations

from typing import Any

import pytest

from sallyport.pep import release
from sallyport.pep.model import Json
from tests.unit.pep.release.support import SHAPES

PROGRESS, MESSAGE = "notifications/progress", "notifications/message"
STEP: dict[str, Json] = {"progressToken": "t", "progress": 0.5, "total": 1, "message": "leak@example.com"}
LOG: dict[str, Json] = {"level": "info", "logger": "l", "data": {"ssn": "leak", "rows": [{"ssn": "leak"}] * 3}}


def told(method: str, params: Any, *obligations: str) -> tuple[str, dict[str, Json]] | None:
    return release.notification(method, params, obligations)


@pytest.mark.parametrize(
    ("method", "params"),
    [(PROGRESS, STEP), (PROGRESS, {"progressToken": 7, "progress": 3}), (MESSAGE, LOG), (MESSAGE, {"level": "emergency", "data": "x"}),
     (MESSAGE, {"level": "debug", "data": False})],
)  # fmt: skip
def test_what_mcp_has_goes_on_without_what_it_doesnt_have(method: str, params: dict[str, Json]) -> None:
    assert told(method, {**params, "vendor": "leak", "_meta": {"a": 1}}) == (method, params)


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("notifications/cancelled", {}),
        ("notifications/tools/list_changed", {}),
        ("sampling/createMessage", {}),
        ("", {}),
        (PROGRESS, {}),
        (PROGRESS, {**STEP, "progressToken": True}),
        (PROGRESS, {**STEP, "progressToken": ["t"]}),
        (PROGRESS, {**STEP, "progress": "0.5"}),
        (PROGRESS, {**STEP, "progress": True}),
        (PROGRESS, {**STEP, "message": 1}),
        (PROGRESS, {**STEP, "message": "x" * (65 << 10)}),
        (PROGRESS, {**STEP, "message": "\ud800"}),
        (MESSAGE, {}),
        (MESSAGE, {**LOG, "level": "loud"}),
        (MESSAGE, {**LOG, "data": None}),
        (MESSAGE, {**LOG, "data": "x" * (65 << 10)}),
        (MESSAGE, {**LOG, "data": float("nan")}),
        (MESSAGE, {**LOG, "logger": "x" * 300}),
    ],
)
def test_what_mcp_doesnt_have_goes_nowhere(method: str, params: Any) -> None:
    assert told(method, params) is None


def test_an_obligation_that_nobody_knows_stops_every_notification() -> None:
    assert told(PROGRESS, STEP, "notify:security") is None
    assert told(MESSAGE, LOG, "mask:email", "approve") is None


def test_words_are_masked_wherever_they_stand() -> None:
    for params in (
        {"level": "info", "data": "leak@example.com"},
        {"level": "info", "data": {"a": ["leak@example.com"]}},
        {"level": "info", "data": '{"a":"leak\\u0040example.com"}'},
        {"level": "info", "data": 1, "logger": "leak@example.com"},
    ):
        found = told(MESSAGE, params, "mask:email")
        assert found is not None
        assert "leak" not in str(found)
    found = told(PROGRESS, STEP, "mask:email")
    assert found is not None
    assert found[1]["message"] == "masked@masked.invalid"


@pytest.mark.parametrize("obligation", SHAPES)
def test_under_an_obligation_on_fields_only_the_number_of_a_step_is_told(obligation: str) -> None:
    assert told(PROGRESS, STEP, obligation) == (PROGRESS, {"progressToken": "t", "progress": 0.5, "total": 1})
    assert told(MESSAGE, {"level": "info", "data": "leak"}, obligation) is None


def test_the_data_of_a_log_message_loses_its_fields_and_rows() -> None:
    log = {key: value for key, value in LOG.items() if key != "logger"}
    found = told(MESSAGE, log, "redact:/ssn; redact:/rows/*/ssn; max_rows:1")
    assert found == (MESSAGE, {"level": "info", "data": {"rows": [{}]}})
    assert told(MESSAGE, log, "redact:/other") is None
    assert told(MESSAGE, {**LOG, "logger": "leak"}, "redact:/ssn") is None


def test_an_integer_of_64_bits_goes_on_as_it_is() -> None:
    step, log = {"progressToken": 1, "progress": 2**63 - 1}, {"level": "info", "data": {"id": -(2**63)}}
    assert told(PROGRESS, step) == (PROGRESS, step)
    assert told(MESSAGE, log) == (MESSAGE, log)
