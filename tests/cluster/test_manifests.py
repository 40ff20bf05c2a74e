"""A real API server on what the chart renders: strict validation, its own Pod Security, and `lookup`. Nothing is installed.

Kinds of others (cert-manager, Prometheus operator, Cilium) are left out where the cluster doesn't know them.
"""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.chart.rendering import CHART, MADE, NAME, PARTS, PROFILES, RELEASE, ROOT, Object, Pod, helm, parse, render
from tests.cluster import kube

_FOREIGN = {"cert-manager.io", "monitoring.coreos.com", "cilium.io"}
_MARK = {"app.kubernetes.io/part-of": "sallyport-tests"}


def _apply(namespace: str, *objects: Mapping[str, Any], dry: bool = True) -> subprocess.CompletedProcess[str]:
    """`kubectl apply` with strict validation; of a namespace, only whether it would be taken."""
    mode = ("--dry-run=server",) if dry else ()
    return subprocess.run(
        ["kubectl", "apply", *mode, "--validate=strict", "-n", namespace, "-f", "-"],
        input=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture
def namespace() -> Iterator[str]:
    """An empty namespace that enforces Pod Security `restricted`."""
    if not os.environ.get("KUBECONFIG"):
        pytest.fail("KUBECONFIG isn't set: run `make test-cluster`", pytrace=False)
    name = f"manifests-{uuid.uuid4().hex[:8]}"
    metadata = {"name": name, "labels": {**_MARK, **kube.RESTRICTED}}
    made = _apply("default", {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}, dry=False)
    assert made.returncode == 0, made.stderr
    # A controller makes it a little later, and without it no pod is admitted.
    account = ("get", "serviceaccount", "default", "-n", name)
    kube.until("its service account", lambda: kube.kubectl(*account, expect=None).returncode == 0)
    yield name
    kube.kubectl("delete", "namespace", name, "--wait=false")


def _here(each: Object, namespace: str) -> Object:
    """The same object in the test's namespace: those of `helm test` are spread over several."""
    return {**each, "metadata": {**each["metadata"], "namespace": namespace}}


def _known(objects: Iterator[Object]) -> list[Object]:
    return [each for each in objects if each["apiVersion"].partition("/")[0] not in _FOREIGN]


@pytest.mark.parametrize("profile", PROFILES)
def test_the_api_server_takes_every_object_with_strict_validation(profile: str, namespace: str) -> None:
    objects = _known(_here(each, namespace) for each in render(profile, MADE).everything)
    done = _apply(namespace, *objects)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(objects)
    assert "would violate PodSecurity" not in done.stderr
    assert "Warning" not in done.stderr, done.stderr


def test_strict_validation_is_on() -> None:
    gate = next(each for each in render("minimal").objects if each["kind"] == "Deployment")
    spec = {**gate["spec"], "podManagementPolicy": "Parallel"}  # a StatefulSet's
    done = _apply("default", _here({**gate, "spec": spec}, "default"))
    assert done.returncode != 0
    assert "unknown field" in done.stderr
    assert "podManagementPolicy" in done.stderr


def _as_pod(pod: Pod, namespace: str, number: int) -> Object:
    """A pod as its controller would make it."""
    mounted = {mount["name"] for container in pod.containers for mount in container.get("volumeMounts", [])}
    known = {volume["name"] for volume in pod.spec.get("volumes", [])}
    claims = [{"name": name, "emptyDir": {}} for name in sorted(mounted - known)]  # a StatefulSet's
    spec = {**pod.spec, "volumes": [*pod.spec.get("volumes", []), *claims], "serviceAccountName": "default"}
    metadata = {"name": f"pod-{number}", "namespace": namespace, "labels": pod.labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


@pytest.mark.parametrize("profile", PROFILES)
def test_every_pod_is_admitted_where_restricted_is_enforced(profile: str, namespace: str) -> None:
    pods = [_as_pod(pod, namespace, number) for number, pod in enumerate(render(profile).pods())]
    done = _apply(namespace, *pods)
    assert done.returncode == 0, done.stderr


def test_a_pod_that_is_not_restricted_is_refused_there(namespace: str) -> None:
    pod = _as_pod(render("minimal").gate, namespace, 0)
    pod["spec"] = {**pod["spec"], "hostNetwork": True}
    done = _apply(namespace, pod)
    assert "violates PodSecurity" in done.stderr


def _dry_install(namespace: str, profile: str = "minimal") -> str:
    values = str(CHART / "ci" / f"{profile}.yaml")
    command = [helm(), "install", RELEASE, str(CHART), "-n", namespace, "-f", values, "--dry-run=server"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_notes_warn_loudly_until_the_floor_is_there(namespace: str) -> None:
    assert f"THE FLOOR IS MISSING in namespace {namespace}" in _dry_install(namespace)
    kube.kubectl("apply", "-n", namespace, "-f", str(ROOT / "deploy" / "networkpolicies"))
    assert "FLOOR" not in _dry_install(namespace).partition("NOTES:")[2]


def test_an_install_leaves_alone_what_an_earlier_one_left_to_the_operators(namespace: str) -> None:
    kept = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"{NAME}-roles", "labels": _MARK}, "data": {}}
    assert f"name: {NAME}-roles\n" in _dry_install(namespace).partition("NOTES:")[0]
    assert _apply(namespace, kept, dry=False).returncode == 0
    made = _configmaps(_dry_install(namespace))
    assert {f"{NAME}-{part}" for part in PARTS} - made == {f"{NAME}-roles"}


def _configmaps(shown: str) -> set[str]:
    """The names in what `helm install` shows: hooks, manifest and notes under headings of their own."""
    parts = shown.partition("HOOKS:")[2].partition("NOTES:")[0].replace("MANIFEST:", "---")
    return {each["metadata"]["name"] for each in parse(parts) if each["kind"] == "ConfigMap"}
