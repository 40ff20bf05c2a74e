"""From the first install to the end of the release: what starts, stops, comes back, and what stays behind."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from kubernetes import watch

from tests.cluster import kube, place
from tests.cluster.conftest import ROOT, Place
from tests.cluster.load import load
from tests.cluster.record import claims, verify

POLICIES = f"{place.RELEASE}-policies"
KEPT = [f"{place.RELEASE}-{part}" for part in ("agents", "policies", "resources", "roles")]


@pytest.fixture(autouse=True)
def _whole_and_recorded(gate: Place) -> Iterator[None]:
    yield
    gate.cluster.ready(place.GATE, place.SELECTOR, 3)
    verify(gate)


def test_helm_test_is_green(gate: Place) -> None:
    ran = kube.helm("test", place.RELEASE, "-n", place.GATE, "--timeout", "600s", seconds=700)
    assert "Phase:          Succeeded" in ran.stdout


def test_a_pod_stops_its_pep_before_its_pdp(gate: Place) -> None:
    pod = str(gate.cluster.pods(place.GATE, place.SELECTOR)[0].metadata.name)
    seen: Any = None
    alone: Any = {"field_selector": f"metadata.name={pod}"}
    before = gate.cluster.core.list_namespaced_pod(place.GATE, **alone).metadata.resource_version
    gate.cluster.core.delete_namespaced_pod(pod, place.GATE)
    # From before its end, however late the watch begins: the next pod has the same name.
    alone |= {"resource_version": before, "timeout_seconds": 180}
    stream = watch.Watch().stream(gate.cluster.core.list_namespaced_pod, place.GATE, **alone)  # type: ignore[no-untyped-call]
    for event in stream:
        seen = event["object"]
        if event["type"] == "DELETED":
            break
    pep, pdp = (kube.container(seen, name).state.terminated for name in ("pep", "pdp"))
    assert pep.finished_at <= pdp.finished_at
    assert (pep.exit_code, pdp.exit_code) == (0, 0)


def test_a_pod_without_a_good_first_set_gets_no_traffic_and_is_not_restarted(gate: Place) -> None:
    pod = str(gate.cluster.pods(place.GATE, place.SELECTOR)[0].metadata.name)
    _patch(gate, {"broken.cedar": "permit ("})
    try:
        with load(gate.cluster, place.AGENTS[0]) as calls:
            gate.cluster.core.delete_namespaced_pod(pod, place.GATE)
            kube.until(f"{pod} runs again, and isn't ready", lambda: _runs_unready(gate, pod))
            calls.more(40)
            assert calls.bad() == []
            assert _address(gate, pod) not in _endpoints(gate)
            again = gate.cluster.core.read_namespaced_pod(pod, place.GATE)
            assert [kube.container(again, name).restart_count for name in ("pdp", "pep")] == [0, 0]
            _patch(gate, {"broken.cedar": None})
            gate.cluster.ready(place.GATE, place.SELECTOR, 3)
            kube.until("it is sent calls again", lambda: _address(gate, pod) in _endpoints(gate))
    finally:
        _patch(gate, {"broken.cedar": None})


def _patch(gate: Place, data: dict[str, str | None]) -> None:
    gate.cluster.core.patch_namespaced_config_map(POLICIES, place.GATE, {"data": data})


def _runs_unready(gate: Place, name: str) -> bool:
    pod = gate.cluster.core.read_namespaced_pod(name, place.GATE)
    running = all(kube.container(pod, each).state.running is not None for each in ("pdp", "pep"))
    return running and pod.metadata.deletion_timestamp is None and not kube.is_ready(pod)


def _address(gate: Place, name: str) -> str:
    return str(gate.cluster.core.read_namespaced_pod(name, place.GATE).status.pod_ip)


def _endpoints(gate: Place) -> set[str]:
    """Who is sent calls by the Service, by the slices that kube-proxy reads."""
    slices = gate.cluster.list(
        "discovery.k8s.io/v1", "EndpointSlice", place.GATE, f"kubernetes.io/service-name={place.RELEASE}"
    )
    ready = (end for each in slices for end in each.endpoints or () if end.conditions.ready)
    return {address for end in ready for address in end.addresses}


def test_an_upgrade_from_the_previous_commits_chart_and_back_fails_no_call(gate: Place, tmp_path: Path) -> None:
    before = previous_chart(tmp_path)
    with load(gate.cluster, place.AGENTS[0]) as one, load(gate.cluster, place.AGENTS[1]) as two:
        gate.install(chart=before)
        gate.install()
        kube.helm("rollback", place.RELEASE, "-n", place.GATE, "--wait", "--timeout", "300s")
        gate.install()
        for each in (one, two):
            each.more(40)
            assert each.bad() == []


def _git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True).stdout


def previous_chart(directory: Path) -> Path:
    """As it was before the last commit that changed it."""
    place_of_it = "deploy/helm/sallyport"
    changed = _git("log", "-1", "--format=%H", "--", place_of_it).decode().strip()
    packed = _git("archive", f"{changed}~1", place_of_it)
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(directory, filter="data")
    return directory / "deploy" / "helm" / "sallyport"


def test_an_uninstall_opens_nothing_and_leaves_record_and_policies(gate: Place) -> None:
    kept = {name: gate.cluster.get("v1", "ConfigMap", name, place.GATE).data.to_dict() for name in KEPT}
    records = claims(gate)
    kube.helm("uninstall", place.RELEASE, "-n", place.GATE, "--wait")
    try:
        away = [f"crm.{place.CRM}.svc:8443", f"postgres.{place.DATA}.svc:5432", "kubernetes.default.svc:443"]
        dns = "kube-dns.kube-system.svc:53"

        def alone(pod: str) -> bool:
            found = kube.probe(gate.cluster, place.GATE, pod, [*away, dns])
            # The position had ways out, which close once the nodes know; the neighbour never had any.
            assert pod == "position" or not any(found[each] for each in away), found
            return found == {**dict.fromkeys(away, False), dns: True}

        for pod in ("position", "neighbour"):
            kube.until(f"{pod} reaches the DNS alone", partial(alone, pod))
        bystander = gate.cluster.core.read_namespaced_pod("bystander", place.GATE).status.pod_ip
        for namespace in place.AGENTS:
            assert kube.probe(gate.cluster, namespace, "orchestrator", [f"{bystander}:9999"]) == {
                f"{bystander}:9999": False
            }
        assert {name: gate.cluster.get("v1", "ConfigMap", name, place.GATE).data.to_dict() for name in KEPT} == kept
        assert claims(gate) == records
    finally:
        gate.install()
