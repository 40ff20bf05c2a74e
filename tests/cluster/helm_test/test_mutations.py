"""The test of the test: `helm test` is green on what the chart installs, and red on each hole in it."""

from __future__ import annotations

import pytest

from tests.cluster import kube
from tests.cluster.helm_test.mutations import MUTATIONS, Mutation
from tests.cluster.helm_test.release import HERE, Release

pytestmark = pytest.mark.timeout(900)


def test_what_the_chart_installs_passes_in_every_place(release: Release) -> None:
    told = release.test()
    assert told.passed, told.text
    for role in HERE:
        assert told.says(rf"^{role}, in namespace {release.where(role)}: "), told.text
    assert len([line for line in told.text.splitlines() if line.startswith("PASSED")]) == len(HERE), told.text


def test_nothing_of_the_test_stays_when_it_passed(release: Release) -> None:
    assert release.test("bystander").passed
    kube.until("nothing is left", lambda: not _left(release))


def test_no_pod_that_knocks_can_become_ready_and_so_an_endpoint(release: Release) -> None:
    rendered = kube.helm("get", "hooks", release.name, "-n", release.namespace).stdout
    pods = [text for text in rendered.split("---\n") if "\nkind: Pod\n" in text]
    assert len(pods) == len(HERE)
    assert all("readinessGates: [{conditionType: sallyport.io/never}]" in text for text in pods)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.what.replace(" ", "_"))
def test_k3_it_fails_and_says_what_is_open_when(release: Release, mutation: Mutation) -> None:
    with mutation.breaks(release):
        told = release.test(mutation.seen_by)
    assert not told.passed, told.text
    assert told.says(mutation.said), told.text
    assert told.says("^FAILED$"), told.text


def _left(release: Release) -> list[str]:
    found = [
        kube.kubectl(
            "get", "pods,deployments,services,configmaps,networkpolicies", "-n", namespace, "-o", "name"
        ).stdout
        for namespace in {release.namespace, *map(release.where, HERE)}
    ]
    return [name for name in "".join(found).split() if f"{release.fullname}-test-" in name]
