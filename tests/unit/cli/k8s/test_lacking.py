"""A ConfigMap that pods mount and that isn't there: what a push makes of it, and what every command says."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sallyport.cli.complaint import Complaint, Exit
from sallyport.cli.k8s import applying, lacking, policy_maps
from sallyport.cli.k8s.asking import Answer
from sallyport.cli.k8s.cluster import Cluster
from sallyport.cli.k8s.gate import ANNOTATION, PARTS, Gate
from sallyport.cli.k8s.objects import Pod
from sallyport.cli.k8s.policy_maps import MARKER
from sallyport.cli.k8s.standing import Standing
from sallyport.cli.k8s.trouble import Changed
from tests.unit.cli.k8s.api_server import NAMESPACE, Store, serve

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
NAMES = {part: f"gate-{part}" for part in PARTS}
FILES = {
    "a.cedar": b"a\n",
    "roles.yaml": b"r\n",
    "agents.yaml": b"g\n",
    "resources.yaml": b"s\n",
    "catalog.yaml": b"c\n",
}
SOURCES = policy_maps.sources(Path("my set"), [*FILES, "b.cedar"])


def pod(name: str, names: Mapping[str, str]) -> Pod:
    return Pod(name, True, 0, NOW, False, "", {ANNOTATION: json.dumps(names)}, None)


GATE = Gate(NAMESPACE, "gate", (pod("gate-0", NAMES), pod("gate-1", NAMES)))


@pytest.fixture
def store() -> Store:
    held = Store()
    for name, files in policy_maps.split(FILES, NAMES).items():
        held.put(name, {file: data.decode() for file, data in files.items()})
    return held


@pytest.fixture
def cluster(store: Store) -> Iterator[Cluster]:
    with serve(store) as connected:
        yield connected


def push(cluster: Cluster, files: Mapping[str, bytes]) -> None:
    stored = policy_maps.read(cluster, GATE)
    applying.write(cluster, GATE, stored, policy_maps.writes(stored, files), SOURCES)


def expected(files: Mapping[str, bytes]) -> dict[str, dict[str, str]]:
    parts = policy_maps.split(files, NAMES)
    return {name: {file: data.decode() for file, data in part.items()} for name, part in parts.items()}


@pytest.mark.parametrize("part", ["policies", "roles", "agents", "resources"])
def test_a_push_makes_the_one_that_is_missing_as_if_it_were_empty(store: Store, cluster: Cluster, part: str) -> None:
    del store.maps[NAMES[part]]
    push(cluster, FILES)
    assert store.files() == expected(FILES)


def test_a_push_makes_all_that_are_missing_and_changes_the_others(store: Store, cluster: Cluster) -> None:
    del store.maps["gate-policies"], store.maps["gate-roles"]
    after = {**FILES, "agents.yaml": b"other\n"}
    push(cluster, after)
    assert store.files() == expected(after)


def test_one_that_is_missing_is_made_even_where_it_holds_nothing(store: Store, cluster: Cluster) -> None:
    """No pod starts without it."""
    del store.maps["gate-roles"]
    push(cluster, {name: data for name, data in FILES.items() if name != "roles.yaml"})
    assert store.files()["gate-roles"] == {}


def test_where_create_is_forbidden_the_error_says_what_somebody_else_must_run(store: Store, cluster: Cluster) -> None:
    del store.maps["gate-roles"]
    store.forbidden = {("create", "*")}
    with pytest.raises(Complaint, match="doesn't let you create configmaps") as raised:
        push(cluster, FILES)
    assert raised.value.code == Exit.REFUSED
    assert "kubectl create configmap gate-roles -n ns '--from-file=my set/roles.yaml'" in raised.value.next_step
    assert '{apiGroups: [""], resources: ["configmaps"], verbs: ["create"]}' in raised.value.next_step


def test_the_policies_are_made_of_their_own_files_alone(store: Store, cluster: Cluster) -> None:
    del store.maps["gate-policies"]
    store.forbidden = {("create", "*")}
    with pytest.raises(Complaint) as raised:
        push(cluster, FILES)
    command = raised.value.next_step.partition(";")[0]
    assert command.endswith("-n ns '--from-file=my set/a.cedar' '--from-file=my set/b.cedar'")


def test_p1_where_more_changes_somebody_else_makes_it_empty_so_that_no_mixture_serves(
    store: Store, cluster: Cluster
) -> None:
    del store.maps["gate-roles"]
    before = store.files()
    store.forbidden = {("create", "*")}
    with pytest.raises(Complaint) as raised:
        push(cluster, {**FILES, "a.cedar": b"other\n"})
    assert "kubectl create configmap gate-roles -n ns; then push again" in raised.value.next_step
    assert store.files() == before


def test_p1_what_a_failed_push_made_is_deleted_again(store: Store, cluster: Cluster) -> None:
    del store.maps["gate-policies"], store.maps["gate-agents"]
    before = store.files()
    store.forbidden = {("patch", "gate-policies"), ("patch", "gate-roles")}
    with pytest.raises(Complaint, match="patch configmaps"):
        push(cluster, {**FILES, "roles.yaml": b"other\n"})
    assert store.files() == before


def test_what_may_not_be_deleted_leaves_the_file_that_no_pdp_takes(
    store: Store, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    del store.maps["gate-agents"]
    store.forbidden = {("patch", "gate-resources"), ("delete", "*")}
    with pytest.raises(Complaint):
        push(cluster, {**FILES, "resources.yaml": b"other\n"})
    assert MARKER in store.files()["gate-policies"]
    assert "cut off half-way" in capsys.readouterr().err


def test_one_that_somebody_else_made_meanwhile_stays_theirs(store: Store, cluster: Cluster) -> None:
    del store.maps["gate-roles"]
    stored = policy_maps.read(cluster, GATE)
    store.put("gate-roles", {"roles.yaml": "theirs\n"})
    with pytest.raises(Complaint, match="somebody else changed ConfigMap gate-roles"):
        applying.write(cluster, GATE, stored, policy_maps.writes(stored, FILES), SOURCES)
    assert store.files()["gate-roles"] == {"roles.yaml": "theirs\n"}


def test_only_what_still_is_as_it_was_read_is_deleted(store: Store, cluster: Cluster) -> None:
    read = cluster.config_map(NAMESPACE, "gate-roles")
    store.put("gate-roles", {"roles.yaml": "theirs\n"})
    with pytest.raises(Changed):
        cluster.delete_config_map(NAMESPACE, read)
    assert store.files()["gate-roles"] == {"roles.yaml": "theirs\n"}


def test_whoever_needs_them_all_is_told_which_is_missing_and_what_makes_it(store: Store, cluster: Cluster) -> None:
    del store.maps["gate-roles"]
    with pytest.raises(Complaint, match=r"ConfigMap gate-roles, and namespace ns has none") as raised:
        lacking.refuse(GATE, policy_maps.read(cluster, GATE).lacking)
    assert "k8s push DIR -n ns --release gate" in raised.value.next_step
    assert "helm upgrade" not in raised.value.next_step


def test_a_catalog_that_is_missing_is_the_releases_to_make(store: Store, cluster: Cluster) -> None:
    del store.maps["gate-catalog"]
    with pytest.raises(Complaint, match="gate-catalog") as raised:
        lacking.refuse(GATE, policy_maps.read(cluster, GATE).lacking)
    assert raised.value.next_step.startswith("helm upgrade gate ")
    assert "push" not in raised.value.next_step


def test_one_that_is_missing_is_not_good_and_nothing_missing_is(store: Store, cluster: Cluster) -> None:
    says = {each.name: Answer("a" * 64, heard=True) for each in GATE.pods}
    assert lacking.find(cluster, GATE) == {}
    assert Standing(GATE.pods, says, NOW).good
    del store.maps["gate-roles"]
    missing = lacking.find(cluster, GATE)
    assert missing == {"gate-roles": "roles"}
    standing = Standing(GATE.pods, says, NOW, tuple(missing))
    assert not standing.good
    assert json.loads(standing.as_json("ns", "gate", ()))["missing_config_maps"] == ["gate-roles"]
    assert "a pod that starts anew can't mount it" in lacking.told(GATE, "gate-roles", "roles")


def test_who_may_not_get_one_is_told_so_and_sees_the_others(
    store: Store, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    del store.maps["gate-roles"]
    store.forbidden = {("get", "gate-agents")}
    assert lacking.find(cluster, GATE) == {"gate-roles": "roles"}
    said = capsys.readouterr().err
    assert "not looked for ConfigMap gate-agents: the cluster doesn't let you get configmaps" in said


def test_a_rollout_to_what_is_missing_is_not_to_be_waited_for(store: Store, cluster: Cluster) -> None:
    rolling = Gate(NAMESPACE, "gate", (pod("gate-0", NAMES), pod("gate-1", {**NAMES, "roles": "team-roles"})))
    with pytest.raises(Complaint, match=r"it can't end: they mount ConfigMap team-roles") as raised:
        policy_maps.read(cluster, rolling, SOURCES)
    assert "kubectl create configmap team-roles -n ns '--from-file=my set/roles.yaml'" in raised.value.next_step
    assert "helm rollback gate" in raised.value.next_step
    said = lacking.told(rolling, "team-roles", "roles")
    assert said.endswith("kubectl create configmap team-roles -n ns --from-file=FILE")  # a push would be refused
    store.put("team-roles", {})
    with pytest.raises(Complaint) as raised:
        policy_maps.read(cluster, rolling, SOURCES)
    assert raised.value.next_step.startswith("wait for `kubectl rollout status`; if it doesn't end: ")
