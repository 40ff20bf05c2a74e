"""The three profiles of ci/: each is linted, renders, and comes out the same every time."""

from __future__ import annotations

import re

import pytest
import yaml

from tests.chart.rendering import CHART, NAMESPACE, PROFILES, namespace_of, parse, profile_values, render, run, template

_NOT_KUBERNETES = {"cert-manager.io", "monitoring.coreos.com", "cilium.io"}


@pytest.mark.parametrize("profile", PROFILES)
def test_helm_finds_nothing_to_say_even_when_it_is_strict(profile: str) -> None:
    done = run("lint", "--strict", CHART, "--namespace", NAMESPACE, "--values", CHART / "ci" / f"{profile}.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[WARNING]" not in done.stdout


@pytest.mark.parametrize("profile", PROFILES)
def test_each_profile_says_what_it_is_for_in_its_first_line(profile: str) -> None:
    first, second = (CHART / "ci" / f"{profile}.yaml").read_text().splitlines()[:2]
    assert first.startswith("# ")
    assert second.startswith("profile: ")


@pytest.mark.parametrize("profile", PROFILES)
def test_every_object_has_a_kind_a_version_and_a_name_of_its_own(profile: str) -> None:
    rendered = render(profile)
    names = [
        (each["apiVersion"], each["kind"], namespace_of(each), each["metadata"]["name"]) for each in rendered.everything
    ]
    assert len(names) == len(set(names))
    assert {namespace_of(each) for each in rendered.objects} == {NAMESPACE}


@pytest.mark.parametrize("profile", PROFILES)
def test_rendering_twice_gives_the_same_bytes(profile: str) -> None:
    assert _without_doors(template(profile).stdout) == _without_doors(render(profile).text)


def _without_doors(text: str) -> str:
    """The label that only the pods of one `helm test` know is the one thing that may differ."""
    return re.sub(r"(?<=sallyport\.io/test-door: )([a-z]+)-[0-9a-f]{16}$", r"\1", text, flags=re.MULTILINE)


def test_everything_on_shows_every_kind_that_the_chart_has() -> None:
    made = {each["kind"] for profile in PROFILES for each in render(profile).objects}
    assert {
        *(
            "Deployment",
            "StatefulSet",
            "Service",
            "ConfigMap",
            "ServiceAccount",
            "Role",
            "RoleBinding",
            "NetworkPolicy",
        ),
        *(
            "PodDisruptionBudget",
            "HorizontalPodAutoscaler",
            "Certificate",
            "CiliumNetworkPolicy",
            "ServiceMonitor",
            "PrometheusRule",
        ),
    } <= made


def test_the_minimal_profile_asks_for_nothing_that_a_bare_cluster_lacks() -> None:
    groups = {
        each["apiVersion"].rpartition("/")[0]
        for profile in ("minimal", "production")
        for each in render(profile).objects
    }
    assert not groups & _NOT_KUBERNETES


@pytest.mark.parametrize("profile", PROFILES)
def test_each_container_has_the_resources_that_its_own_values_give(profile: str) -> None:
    given = profile_values(profile)["resources"]
    assert given["pep"] != given["pdp"]  # or one given the other's would go unseen
    assert {each["name"]: each["resources"] for each in render(profile).gate.lasting} == given


def test_an_autoscaler_measures_the_peps_own_cpu_against_the_percent_that_is_given() -> None:
    target = {"type": "Utilization", "averageUtilization": profile_values("everything")["autoscaling"]["cpuPercent"]}
    assert render("everything").one("HorizontalPodAutoscaler")["spec"]["metrics"] == [
        {"type": "ContainerResource", "containerResource": {"name": "cpu", "container": "pep", "target": target}}
    ]


@pytest.mark.parametrize("key", ["tolerations", "affinity", "nodeSelector", "priorityClassName"])
def test_where_and_how_urgently_pods_run_is_what_the_values_say(key: str) -> None:
    assert render("everything").gate.spec[key] == profile_values("everything")[key]
    assert key not in render("minimal").gate.spec  # left to the cluster


def test_a_key_that_stands_twice_in_a_manifest_is_seen() -> None:
    with pytest.raises(AssertionError, match="a key twice"):
        list(parse("a: {b: 1, b: 2}"))
    assert yaml.safe_load("a: {b: 1, b: 2}") == {"a": {"b": 2}}  # as it would go unseen
