"""NOTES.txt, as text: what was installed, what is whose, what comes next, and loudly what is missing."""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.chart.live import cluster, living
from tests.chart.rendering import CHART, NAME, PARTS, PROFILES, ROOT, parse, profile_values, template

LEFT = "pods,deployments,services,configmaps,networkpolicies"

# Helm shows no notes without a cluster: here they stand in a ConfigMap of a copy of the chart.
_SHOWN = '{{ define "notes" }}%s{{ end }}\nkind: ConfigMap\nnotes: {{ include "notes" . | quote }}\n'


@cache
def _chart(folder: Path) -> Path:
    copy = Path(shutil.copytree(CHART, folder / "chart"))
    for each in (copy / "templates" / "tests").glob("*.yaml"):
        each.unlink()
    notes = copy / "templates" / "NOTES.txt"
    (copy / "templates" / "notes.yaml").write_text(_SHOWN % notes.read_text())
    notes.unlink()
    return copy


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("notes")


def _notes(folder: Path, profile: str, values: dict[str, Any] | None = None, **more: Any) -> str:
    done = template(profile, values, chart=_chart(folder), **more)
    assert done.returncode == 0, done.stderr
    return next(str(each["notes"]) for each in parse(done.stdout) if "notes" in each)


@pytest.mark.parametrize("profile", PROFILES)
def test_the_notes_tell_what_is_there_whose_it_is_and_what_comes_next(profile: str, folder: Path) -> None:
    notes = _notes(folder, profile)
    given = profile_values(profile)["policies"]["existing"]
    for part in PARTS:
        assert (given.get(part) or f"{NAME}-{part}") in notes
    for command in (
        "helm test gate -n gates",
        "kubectl -n gates get pods",
        "sallyport k8s status -n gates",
        "sallyport k8s push DIR -n gates",
    ):
        assert command in notes
    assert f"https://{NAME}.gates.svc:8443/mcp" in notes
    assert len(notes.splitlines()) < 50
    assert max(map(len, notes.splitlines())) < 140
    assert "\n\n\n" not in notes


def test_a_trial_is_told_that_its_record_and_files_die_with_the_pod(folder: Path) -> None:
    minimal = _notes(folder, "minimal")
    assert "WARNING: audit.persistence is off. The record of who did what dies with its pod." in minimal
    assert "WARNING: files.claim is empty." in minimal
    assert "WARNING" not in _notes(folder, "production")


def test_policies_that_were_left_out_are_named(folder: Path) -> None:
    assert "Left out at install, for they name tools that aren't served: agent_access.cedar, files.cedar." in _notes(
        folder, "production"
    )
    assert "Left out" not in _notes(folder, "minimal", {"policies": {"existing": {"policies": "own"}}})


def test_an_upstream_that_nothing_is_of_is_told_to_have_its_door_open_for_nothing(folder: Path) -> None:
    assert "WARNING: headless: upstreams that no tool, prompt or resource is of." in _notes(folder, "everything")
    listed = [each for each in profile_values("everything")["upstreams"] if each["name"] != "headless"]
    assert "no tool, prompt or resource" not in _notes(folder, "everything", {"upstreams": listed})


def test_what_is_of_upstreams_is_said_to_wait_until_it_is_seen_as_approved(folder: Path) -> None:
    notes = _notes(folder, "everything")
    assert "What is of upstreams (crm, weather, ledger, wiki) is served once each is seen" in notes
    assert "of upstreams" not in _notes(folder, "production")


def test_without_a_cluster_nothing_is_said_to_be_missing(folder: Path) -> None:
    assert "MISSING" not in _notes(
        folder, "everything"
    )  # `lookup` finds nothing there, neither the floor nor anything else


def test_the_floor_that_the_notes_look_for_is_the_one_that_is_shipped() -> None:
    text = (CHART / "templates" / "NOTES.txt").read_text()
    shipped = {
        each["metadata"]["name"]
        for path in (ROOT / "deploy" / "networkpolicies").glob("*.yaml")
        for each in parse(path.read_text())
    }
    assert shipped
    assert [name for name in shipped if f'"{name}"' not in text] == []


def test_a_door_that_an_interrupted_test_left_open_is_told_of_with_what_shuts_it(folder: Path) -> None:
    with cluster(living("NetworkPolicy", f"{NAME}-test-witness")) as url:
        notes = _notes(folder, "production", upgrade=True, cluster=url)
    assert f"DOORS OF AN INTERRUPTED `helm test` ARE OPEN: NetworkPolicy {NAME}-test-witness" in notes
    assert (
        f"for n in gates agents default; do\n#    kubectl -n $n delete {LEFT} -l sallyport.io/test={NAME}; done"
        in notes
    )
    with cluster() as url:
        assert "DOORS" not in _notes(folder, "production", upgrade=True, cluster=url)


def _workload(**names: str) -> Any:
    given = {part: names.get(part, f"{NAME}-{part}") for part in PARTS}
    annotations = {"sallyport.io/policy-configmaps": json.dumps(given)}
    return living("StatefulSet", NAME, spec={"template": {"metadata": {"annotations": annotations}}})


def test_an_upgrade_to_other_policy_configmaps_warns_that_a_rollback_mounts_the_old_ones(folder: Path) -> None:
    with cluster(_workload(roles="old-roles")) as url:
        notes = _notes(folder, "production", upgrade=True, cluster=url)
    assert f"#    roles: old-roles -> {NAME}-roles\n" in notes
    assert "helm rollback` mounts the old ones again" in notes
    assert "Empty or delete them" in notes
    assert "policies:" not in notes  # what is the same isn't told
    with cluster(_workload()) as url:
        assert "->" not in _notes(folder, "production", upgrade=True, cluster=url)
