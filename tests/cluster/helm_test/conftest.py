"""The release whose `helm test` is tested: RELEASE=NAMESPACE/NAME, or the one that this folder's parent installs."""

from __future__ import annotations

import os

import pytest

from tests.cluster import place
from tests.cluster.helm_test.release import Release
from tests.cluster.kube import Cluster


@pytest.fixture
def release(_release: Release) -> Release:
    """With nothing that a test put back still on its way."""
    _release.settle()
    return _release


@pytest.fixture(scope="session")
def _release(request: pytest.FixtureRequest, cluster: Cluster) -> Release:
    namespace, _, name = os.environ.get("RELEASE", "").partition("/")
    if not name:
        request.getfixturevalue("installed")
        namespace, name = place.GATE, place.RELEASE
    return Release.installed(cluster, namespace, name)
