"""The suite through the gate: nothing that the upstream does is lost, and nothing passes that the policies don't permit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import pytest

from tests.conformance import suite
from tests.conformance.conftest import Alone
from tests.conformance.guarded import Guarded, gate
from tests.support import guarded

# What needs a permission of the principal's role: exactly these fail without it.
NEEDS: Final = {
    "prompts:get": {
        "completion-complete",  # it is asked about a prompt
        "prompts-get-simple",
        "prompts-get-with-args",
        "prompts-get-embedded-resource",
        "prompts-get-with-image",
        "input-required-result-non-tool-request",
    },
    "completion:complete": {"completion-complete"},
    "system:manage": {"logging-set-level", "tools-call-with-logging"},  # which sets the level first
}


@pytest.fixture(scope="session")
async def through(stateful: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Guarded]:
    directory = tmp_path_factory.mktemp("conformance") / "laptop"
    async with gate(directory, stateful, [(permission,) for permission in NEEDS]) as made:
        yield made


@pytest.mark.parametrize("revision", suite.REVISIONS)
async def test_exactly_the_expected_scenarios_fail_through_the_gate(
    through: Guarded, stateful: str, alone: Alone, revision: str
) -> None:
    results = await through.run(revision)
    expected = suite.expected_failures() & suite.required(revision)
    assert results.failing == (await alone(stateful, revision)).failing | expected, str(results)


@pytest.mark.parametrize("revision", suite.REVISIONS)
async def test_at_least_as_many_checks_pass_through_the_gate_as_are_documented(through: Guarded, revision: str) -> None:
    results = await through.run(revision)
    (passed, failed), (least, most) = results.counts, suite.documented(revision)
    assert passed >= least, str(results)
    assert failed <= most, str(results)


async def test_each_expected_failure_fails_and_nothing_else_does_also_of_what_is_not_required(through: Guarded) -> None:
    """A scenario that passes by now is to be taken from the file."""
    failed: set[str] = set()
    for revision in suite.REVISIONS:
        results = await through.run(revision)
        assert results.failed == suite.expected_failures() & results.scenarios.keys(), str(results)
        failed |= results.failed
    assert failed == suite.expected_failures()


@pytest.mark.parametrize("revision", suite.REVISIONS)
async def test_every_check_that_the_upstream_passes_without_sessions_passes_through_the_gate(
    through: Guarded, stateless: str, alone: Alone, revision: str
) -> None:
    results = await through.run(revision)
    assert (await alone(stateless, revision)).passed - results.passed == frozenset(), str(results)


@pytest.mark.parametrize("revision", suite.REVISIONS)
@pytest.mark.parametrize("permission", NEEDS)
async def test_without_one_permission_exactly_those_scenarios_fail_that_need_it(
    through: Guarded, alone: Alone, stateful: str, revision: str, permission: str
) -> None:
    results = await through.run(revision, lacks=(permission,))
    usual = (await alone(stateful, revision)).failing | suite.expected_failures()
    assert results.failing == (usual | NEEDS[permission]) & suite.required(revision), str(results)


@pytest.mark.parametrize("revision", suite.REVISIONS)
async def test_where_a_policy_forbids_one_tool_only_its_scenario_fails(
    through: Guarded, stateful: str, alone: Alone, revision: str
) -> None:
    results = await through.run(revision, user=guarded.BLIND)
    usual = (await alone(stateful, revision)).failing | suite.expected_failures()
    assert results.failing == (usual | {"tools-call-image"}) & suite.required(revision), str(results)
