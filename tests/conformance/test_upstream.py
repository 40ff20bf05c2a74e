"""The upstream by itself: were it wrong, a run through the gate would say nothing."""

from __future__ import annotations

import pytest

from tests.conformance import suite
from tests.conformance.conftest import Alone


@pytest.mark.parametrize("revision", suite.REVISIONS)
async def test_the_upstream_passes_all_that_the_revision_requires(stateful: str, alone: Alone, revision: str) -> None:
    results = await alone(stateful, revision)
    assert results.failing == frozenset(), str(results)


@pytest.mark.parametrize("revision", suite.REVISIONS)
async def test_without_sessions_exactly_the_expected_scenarios_fail(
    stateless: str, alone: Alone, revision: str
) -> None:
    results = await alone(stateless, revision)
    assert results.failing == suite.expected_failures() & suite.required(revision), str(results)
