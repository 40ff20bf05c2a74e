"""`sallyport k8s push` and `status` against the installed release, with an operator's rights and without."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from sallyport.cli.k8s.cluster import Cluster as Adapter
from sallyport.cli.k8s.gate import ANNOTATION, config_maps, find
from sallyport.cli.k8s.trouble import Changed
from sallyport.runtime import mounted_dir
from tests.cluster import in_force, kube, place
from tests.cluster.conftest import Place
from tests.cluster.in_force import ARRIVED
from tests.cluster.kube import Cluster
from tests.cluster.reading import revision

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "k8s-commands.md"
WHERE = ("-n", place.GATE, "--release", place.RELEASE)
LABELS = tuple(f"app.kubernetes.io/{name}" for name in ("name", "instance", "component"))


@dataclass(frozen=True)
class Policies:
    """The set that serves, as files to change; whatever a test pushes, the set is put back afterwards."""

    directory: Path
    names: dict[str, str]  # part -> ConfigMap

    def append(self, name: str, text: str) -> None:
        path = self.directory / name
        path.write_text(path.read_text() + text)


@pytest.fixture
def policies(gate: Place, tmp_path: Path) -> Iterator[Policies]:
    adapter = Adapter.connect(None, None)
    names = dict(config_maps(find(adapter, place.GATE, place.RELEASE)))
    before = {name: adapter.config_map(place.GATE, name) for name in names.values()}
    directory = tmp_path / "policies"
    directory.mkdir()
    for part in ("policies", "roles", "agents", "resources"):
        for name, data in before[names[part]].files.items():
            (directory / name).write_bytes(data)
    yield Policies(directory, names)
    changed = [one for one in before.values() if adapter.config_map(place.GATE, one.name).files != one.files]
    for one in changed:
        adapter.replace_files(place.GATE, adapter.config_map(place.GATE, one.name), one.files)
    gate.cluster.ready(place.GATE, place.SELECTOR, 3)
    in_force.settle(gate.cluster)
    good()


def run(*arguments: str, config: Path | None = None) -> subprocess.CompletedProcess[str]:
    chosen = () if config is None else ("--kubeconfig", str(config))
    command = [sys.executable, "-m", "sallyport.cli", "k8s", *arguments, *WHERE, *chosen]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=ARRIVED + 120)
    assert "Traceback" not in ran.stderr
    return ran


def push(policies: Policies, *options: str, config: Path | None = None) -> subprocess.CompletedProcess[str]:
    return run("push", str(policies.directory), "--timeout", str(ARRIVED), *options, config=config)


def status() -> tuple[int, dict[str, Any]]:
    ran = run("status", "--json")
    return ran.returncode, json.loads(ran.stdout)


def good() -> dict[str, Any]:
    """What it says once every pod has answered in the seconds that each of them is given."""

    def well() -> dict[str, Any] | None:
        code, document = status()
        return document if code == 0 else None

    return kube.until("status finds nothing wrong", well)


def versions(policies: Policies) -> dict[str, str]:
    adapter = Adapter.connect(None, None)
    return {name: adapter.config_map(place.GATE, name).version for name in policies.names.values()}


def restarts(cluster: Cluster) -> dict[str, int]:
    pods = cluster.pods(place.GATE, place.SELECTOR)
    return {pod.metadata.uid: sum(kube.container(pod, name).restart_count for name in ("pep", "pdp")) for pod in pods}


def mounted(policies: Policies) -> str:
    """The revision that the pods must come to."""
    catalog = Adapter.connect(None, None).config_map(place.GATE, policies.names["catalog"]).files
    return mounted_dir.revision({**mounted_dir.read(policies.directory).files, **catalog})


def test_status_says_of_every_pod_which_set_it_serves(policies: Policies, gate: Place) -> None:
    document = good()
    assert (document["good"], document["revision"]) == (True, mounted(policies))
    pods = gate.cluster.pods(place.GATE, place.SELECTOR)
    assert [pod["name"] for pod in document["pods"]] == [pod.metadata.name for pod in pods]
    assert {(pod["revision"], pod["ready"], pod["refused"]) for pod in document["pods"]} == {
        (mounted(policies), True, False)
    }
    assert all(pod["errors"] == [] for pod in document["pods"])


def test_status_checks_the_peps_certificate_where_a_ca_is_given(gate: Place) -> None:
    right = ("--ca", str(gate.directory / "ca/ca.crt"))
    kube.until("every pod answers", lambda: run("status", *right).returncode == 0)
    other = gate.directory.parent / "other.crt"
    other.write_bytes(_another_ca())
    refused = run("status", "--ca", str(other))
    assert refused.returncode == 1
    assert "CERTIFICATE_VERIFY_FAILED" in refused.stdout


def test_a_pushed_set_serves_in_every_pod_without_a_restart(policies: Policies, gate: Place) -> None:
    before = restarts(gate.cluster)
    policies.append("org_isolation.cedar", "// x\n")
    pushed = push(policies)
    assert pushed.returncode == 0, pushed.stderr
    document = good()
    assert document["revision"] == mounted(policies)
    assert restarts(gate.cluster) == before
    assert document["events"][-1]["reason"] == "PolicyPushed"
    assert mounted(policies)[:12] in document["events"][-1]["message"]
    workload = gate.cluster.pods(place.GATE, place.SELECTOR)[0].metadata.owner_references[0].kind
    kind = "statefulset" if workload == "StatefulSet" else "deployment"
    told = kube.kubectl("describe", kind, "-n", place.GATE, "-l", f"app.kubernetes.io/instance={place.RELEASE}")
    assert "PolicyPushed" in told.stdout


def test_several_config_maps_are_pushed_as_one(policies: Policies) -> None:
    policies.append("org_isolation.cedar", "// x\n")
    policies.append("roles.yaml", "# x\n")
    policies.append("agents.yaml", "# x\n")
    before = versions(policies)
    pushed = push(policies)
    assert pushed.returncode == 0, pushed.stderr
    changed = {name for name, version in versions(policies).items() if version != before[name]}
    assert changed == {policies.names[part] for part in ("policies", "roles", "agents")}
    assert good()["revision"] == mounted(policies)


def test_what_was_pulled_is_what_the_pods_serve_and_pushes_back_as_it_is(gate: Place, tmp_path: Path) -> None:
    pulled = run("pull", str(tmp_path / "set"))
    assert pulled.returncode == 0, pulled.stderr
    served = revision(gate.cluster, str(gate.cluster.pods(place.GATE, place.SELECTOR)[0].metadata.name))
    assert served[:12] in pulled.stdout
    again = run("push", str(tmp_path / "set"))
    assert again.returncode == 0, again.stderr
    assert "the release holds this very set" in again.stdout


def test_the_same_set_again_writes_nothing(policies: Policies) -> None:
    before = versions(policies)
    pushed = push(policies)
    assert pushed.returncode == 0, pushed.stderr
    assert "this very set" in pushed.stdout
    assert versions(policies) == before


def test_a_dry_run_changes_nothing(policies: Policies) -> None:
    before = versions(policies)
    policies.append("org_isolation.cedar", "// x\n")
    dry = push(policies, "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert "~ org_isolation.cedar" in dry.stdout
    assert versions(policies) == before


def test_p1_a_broken_set_is_refused_before_anything_is_applied(policies: Policies) -> None:
    before = versions(policies)
    policies.append("org_isolation.cedar", "permit (\n")
    refused = push(policies)
    assert refused.returncode == 2
    assert re.search(r"org_isolation\.cedar:\d+:\d+: not a Cedar policy", refused.stderr)
    assert versions(policies) == before
    assert status()[1]["events"][-1]["reason"] == "PolicyRefused"


def test_a_set_whose_own_tests_fail_is_refused(policies: Policies) -> None:
    before = versions(policies)
    (policies.directory / "agent_access.cedar").unlink(missing_ok=True)
    (policies.directory / "agent_ceiling.cedar").write_text('@id("none") forbid (principal, action, resource);\n')
    refused = push(policies)
    assert refused.returncode == 2
    assert "its own tests don't pass" in refused.stderr
    assert versions(policies) == before


def test_another_catalog_is_the_releases_to_change(policies: Policies) -> None:
    (policies.directory / "catalog.yaml").write_text("tools: []\n")
    refused = push(policies)
    assert refused.returncode == 2
    assert "helm upgrade" in refused.stderr


def test_p1_what_was_broken_past_us_is_told_pod_by_pod_and_mended_by_a_push(policies: Policies) -> None:
    """As after a `kubectl edit`: every pod refuses it, the last good set serves, and status says why."""
    good = mounted(policies)
    patch = json.dumps({"data": {"broken.cedar": "permit (\n"}})
    kube.kubectl("patch", "configmap", policies.names["policies"], "-n", place.GATE, "--type=merge", "-p", patch)

    def refused_by_all() -> dict[str, Any] | None:
        code, document = status()
        return document if code == 1 and all(pod["refused"] for pod in document["pods"]) else None

    document = kube.until("every pod refuses the set", refused_by_all, ARRIVED)
    assert {pod["revision"] for pod in document["pods"]} == {good}
    assert all(pod["ready"] for pod in document["pods"])
    assert all("broken.cedar:" in "".join(pod["errors"]) for pod in document["pods"])
    for _ in range(2):
        told = json.loads(run("status", "--record", "--json").stdout)["events"]
    seen = [event["reason"] for event in told if "seen: " in event["message"] and "broken.cedar:" in event["message"]]
    assert seen == ["PolicyRefused"], "one Event, however often it is looked at"
    mended = push(policies)
    assert mended.returncode == 0, mended.stderr
    assert "- broken.cedar" in mended.stdout


def test_a_bare_apply_is_in_the_events_once_status_has_recorded_it(policies: Policies) -> None:
    before = good()["revision"]
    file = policies.directory / "org_isolation.cedar"
    data = json.dumps({"data": {file.name: f"{file.read_text()}// applied past us\n"}})
    kube.kubectl("patch", "configmap", policies.names["policies"], "-n", place.GATE, "--type=merge", "-p", data)

    def served() -> str:
        code, document = status()
        return "" if code or document["revision"] == before else str(document["revision"])

    applied = kube.until("every pod serves it", served, ARRIVED)
    for _ in range(2):
        told = json.loads(run("status", "--record", "--json").stdout)["events"]
    about_it = [event["reason"] for event in told if applied[:12] in event["message"]]
    assert about_it == ["PolicyServed"], "one Event, however often it is looked at"


def test_nobodys_change_is_overwritten_unseen(policies: Policies) -> None:
    adapter = Adapter.connect(None, None)
    read = adapter.config_map(place.GATE, policies.names["roles"])
    kube.kubectl("annotate", "configmap", read.name, "-n", place.GATE, "--overwrite", f"touched=v{read.version}")
    with pytest.raises(Changed, match="somebody else changed"):
        adapter.replace_files(place.GATE, read, {**read.files, "roles.yaml": b"roles: {}\n"})
    assert adapter.config_map(place.GATE, read.name).files == read.files


def stuck_pod(gate: Place) -> Any:
    """One of the gate's by its labels and annotations, whose image isn't there."""
    metadata = gate.cluster.pods(place.GATE, place.SELECTOR)[0].metadata
    body: Any = place.pod(place.GATE, "stuck", {name: metadata.labels[name] for name in LABELS}, [])
    body["metadata"]["annotations"] = {ANNOTATION: metadata.annotations[ANNOTATION]}
    body["spec"]["containers"][0] |= {"image": "sallyport.test/no-such-image:1", "imagePullPolicy": "Never"}
    return body


def test_a_push_gives_up_in_time_and_says_which_pod_has_what_and_why(policies: Policies, gate: Place) -> None:
    policies.append("org_isolation.cedar", "// x\n")
    with kube.removed(gate.cluster, stuck_pod(gate)):
        kube.until("the image is missed", lambda: "ErrImageNeverPull" in run("status").stdout)
        pushed = push(policies, "--timeout", "5")
        assert pushed.returncode == 1
        assert "stuck serves no revision: main: ErrImageNeverPull" in pushed.stderr
        assert f"don't serve revision {mounted(policies)[:12]} after 5 s" in pushed.stderr


def test_a_pod_that_cannot_start_is_shown_with_its_reason(gate: Place) -> None:
    with kube.removed(gate.cluster, stuck_pod(gate)):
        kube.until("the image is missed", lambda: "ErrImageNeverPull" in run("status").stdout)
        code, document = status()
        (stuck,) = (pod for pod in document["pods"] if pod["name"] == "stuck")
        assert code == 1
        assert (stuck["ready"], stuck["revision"]) == (False, None)
        assert len(stuck["errors"]) == 1


@contextmanager
def operator(gate: Place, tmp_path: Path, rules: list[dict[str, Any]]) -> Iterator[Path]:
    """A kubeconfig of somebody with these rights in the gate's namespace."""
    name = f"push-operator-{uuid.uuid4().hex[:8]}"  # what is still known of another's rights mustn't count
    metadata = {"name": name, "namespace": place.GATE}
    rbac = "rbac.authorization.k8s.io/v1"
    account = {"kind": "ServiceAccount", "name": name, "namespace": place.GATE}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
    with kube.removed(
        gate.cluster,
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
        {"apiVersion": rbac, "kind": "Role", "metadata": metadata, "rules": rules},
        {"apiVersion": rbac, "kind": "RoleBinding", "metadata": metadata, "subjects": [account], "roleRef": reference},
    ):
        token = kube.kubectl("create", "token", name, "-n", place.GATE).stdout.strip()
        shown = kube.kubectl("config", "view", "--minify", "--raw", "--flatten", "-o", "json").stdout
        config = json.loads(shown)
        config["users"] = [{"name": config["contexts"][0]["context"]["user"], "user": {"token": token}}]
        path = tmp_path / "operator.kubeconfig"
        path.write_text(json.dumps(config))
        path.chmod(0o600)
        kube.until("the rights are in force", lambda: _has(path, rules[0]))
        yield path


def _has(config: Path, rule: dict[str, Any]) -> bool:
    """Whether the API server knows of a rule; it takes a whole Role at once, a little after it was made."""
    resource, _, part = rule["resources"][0].partition("/")
    asked = ("auth", "can-i", rule["verbs"][0], resource, f"--subresource={part}", "-n", place.GATE)
    return kube.kubectl("--kubeconfig", str(config), *asked, expect=None).returncode == 0


def documented(policies: Policies) -> list[dict[str, Any]]:
    """The Role of docs/k8s-commands.md, with this release's ConfigMaps."""
    text = DOCUMENT.read_text().split("```yaml\n")[1].split("```")[0]
    for part, name in policies.names.items():
        text = text.replace(f"sallyport-{part}", name)
    rules: list[dict[str, Any]] = yaml.safe_load(text)["rules"]
    return rules


def test_the_documented_rights_are_enough_to_push_and_to_see(policies: Policies, gate: Place, tmp_path: Path) -> None:
    policies.append("org_isolation.cedar", "// x\n")
    with operator(gate, tmp_path, documented(policies)) as config:
        pushed = push(policies, config=config)
        assert pushed.returncode == 0, pushed.stderr
        assert "warning: no Event" not in pushed.stderr

        def seen() -> bool:
            told = run("status", config=config)
            return told.returncode == 0 and "PolicyPushed" in told.stdout

        kube.until("status shows all pods well, and the push", seen)


@pytest.mark.parametrize("left_out", ["pods", "pods/portforward", "configmaps"])
def test_a_right_that_is_missing_is_named_with_its_rule(
    policies: Policies, gate: Place, tmp_path: Path, left_out: str
) -> None:
    before = versions(policies)
    policies.append("org_isolation.cedar", "// x\n")
    rules = [rule for rule in documented(policies) if rule["resources"] != [left_out]]
    with operator(gate, tmp_path, rules) as config:
        refused = push(policies, "--timeout", "20", config=config)
        assert refused.returncode == 3
        assert f'resources: ["{left_out}"]' in refused.stderr
        if left_out == "configmaps":
            assert versions(policies) == before


def test_who_may_not_write_events_may_push(policies: Policies, gate: Place, tmp_path: Path) -> None:
    policies.append("org_isolation.cedar", "// x\n")
    rules = [rule for rule in documented(policies) if rule["resources"] != ["events"]]
    with operator(gate, tmp_path, rules) as config:
        pushed = push(policies, config=config)
        assert pushed.returncode == 0, pushed.stderr
        assert "no Event was written" in pushed.stderr
        kube.until("status finds nothing wrong", lambda: run("status", config=config).returncode == 0)


def test_half_a_push_is_taken_back(policies: Policies, gate: Place, tmp_path: Path) -> None:
    """Somebody who may write the policies alone, and changes the roles too: P1, no pod ever sees the half of it."""
    adapter = Adapter.connect(None, None)
    before = {name: adapter.config_map(place.GATE, name).files for name in policies.names.values()}
    policies.append("org_isolation.cedar", "// x\n")
    policies.append("roles.yaml", "# x\n")
    maps = {"apiGroups": [""], "resources": ["configmaps"]}
    rules = [
        *(rule for rule in documented(policies) if rule["resources"] != ["configmaps"]),
        {**maps, "verbs": ["get"]},
        {**maps, "verbs": ["patch"], "resourceNames": [policies.names["policies"]]},
    ]
    with operator(gate, tmp_path, rules) as config:
        pushed = push(policies, config=config)
    assert pushed.returncode == 3
    assert f"took back ConfigMap {policies.names['policies']}" in pushed.stderr
    assert {name: adapter.config_map(place.GATE, name).files for name in policies.names.values()} == before


def _another_ca() -> bytes:
    from sallyport.cli import keys

    return keys.authority().pair().public
