"""Policies change live, in every replica, under load; a broken set never serves, and nothing brings a revoked permit back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.cluster import in_force, kube, place
from tests.cluster.conftest import Place
from tests.cluster.in_force import ARRIVED, agreed, pods
from tests.cluster.load import load
from tests.cluster.reading import metrics, readiness, started

POLICIES = f"{place.RELEASE}-policies"
# Not what the set's own tests ask about: production requires them to pass.
SEVEN = ("database_query", {"table": "orders", "limit": 7})
NO_SEVEN = """@id("test.no_seven")
forbid (principal, action == Action::"database_query", resource)
when { context.input has limit && context.input.limit == 7 };
"""
BROKEN = "permit (principal, action, resource"


@contextmanager
def policy(gate: Place, name: str, text: str) -> Iterator[None]:
    """One more policy, as `kubectl apply` of a changed ConfigMap adds it; afterwards it is gone again."""
    _patch(gate, {name: text})
    try:
        yield
    finally:
        _patch(gate, {name: None})
        in_force.settle(gate.cluster)


def _patch(gate: Place, data: dict[str, str | None]) -> None:
    gate.cluster.core.patch_namespaced_config_map(POLICIES, place.GATE, {"data": data})


def told(gate: Place, pod: str) -> str:
    """What the PDP's own record says of policy sets."""
    show = ("/app/bin/python3.13", "-I", "-m", "sallyport.audit", "show", "/var/lib/sallyport/audit")
    return gate.cluster.exec(place.GATE, pod, *show, "--kind", "policy", "--format", "json", container="pdp").out


def _refuses(gate: Place, pod: str) -> bool:
    """By its metric, and with the file's name in its readiness."""
    refused = metrics(gate.cluster, pod).get("sallyport_pdp_last_reload_success") == 0
    return refused and "broken.cedar" in readiness(gate.cluster, pod).get("policies", "")


def test_k5_a_change_is_in_force_in_every_replica_without_a_failed_call_or_a_restart(gate: Place) -> None:
    before, running = agreed(gate), started(gate)
    with load(gate.cluster, place.AGENTS[0], SEVEN, expect=("permitted", "denied")) as calls:
        with policy(gate, "no_seven.cedar", NO_SEVEN):
            in_force.settle(gate.cluster)
            after = agreed(gate)
            kube.until("denials", lambda: calls.counts()["denied"] >= 20)
            assert after != before
            kube.until("every PDP's record tells of it", lambda: all(after in told(gate, pod) for pod in pods(gate)))
        calls.more()
        assert agreed(gate) == before  # the same bytes are the same revision
        assert calls.bad() == []
    assert started(gate) == running


def test_k5_a_broken_set_is_refused_by_each_replica_and_everything_says_so(gate: Place) -> None:
    before = agreed(gate)
    with load(gate.cluster, place.AGENTS[1]) as calls, policy(gate, "broken.cedar", BROKEN):
        kube.until("every replica refuses", lambda: all(_refuses(gate, pod) for pod in pods(gate)), ARRIVED)
        calls.more()
        assert agreed(gate) == before
        assert calls.bad() == []
    gate.cluster.ready(place.GATE, place.SELECTOR, 3)


def test_k4_an_upgrade_and_a_rollback_bring_no_revoked_permit_back(gate: Place) -> None:
    with policy(gate, "no_seven.cedar", NO_SEVEN):
        kept = gate.cluster.get("v1", "ConfigMap", POLICIES, place.GATE).data.to_dict()
        gate.install("--set", "pdp.deadlineMs=600")
        kube.helm("rollback", place.RELEASE, "1", "-n", place.GATE, "--wait", "--timeout", "300s")
        assert gate.cluster.get("v1", "ConfigMap", POLICIES, place.GATE).data.to_dict() == kept
        kube.helm("uninstall", place.RELEASE, "-n", place.GATE, "--wait")
        gate.install()
        assert gate.cluster.get("v1", "ConfigMap", POLICIES, place.GATE).data.to_dict() == kept


def test_an_edit_of_the_live_catalog_opens_no_network_door(gate: Place) -> None:
    rules = ("networking.k8s.io/v1", "NetworkPolicy", f"{place.RELEASE}-egress", place.GATE)
    before = json.dumps(gate.cluster.get(*rules).to_dict()["spec"], sort_keys=True)
    name = f"{place.RELEASE}-catalog"
    text = gate.cluster.core.read_namespaced_config_map(name, place.GATE).data["catalog.yaml"]
    extra = f"{text}\n  evil: {{url: https://unlisted.{place.CRM}.svc:8443/mcp}}\n"
    gate.cluster.core.patch_namespaced_config_map(name, place.GATE, {"data": {"catalog.yaml": extra}})
    try:
        assert json.dumps(gate.cluster.get(*rules).to_dict()["spec"], sort_keys=True) == before
        found = kube.probe(gate.cluster, place.GATE, "position", [f"unlisted.{place.CRM}.svc:8443"])
        assert not any(found.values())
    finally:
        gate.install()  # the release owns the catalog: an upgrade writes it
    assert gate.cluster.core.read_namespaced_config_map(name, place.GATE).data["catalog.yaml"] == text


@pytest.fixture(autouse=True)
def _whole(gate: Place) -> Iterator[None]:
    yield
    gate.cluster.ready(place.GATE, place.SELECTOR, 3)
