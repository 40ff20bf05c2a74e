"""Names and labels: valid for the longest release, and never another release's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.chart import edges
from tests.chart.rendering import PROFILES, Rendered, render

_LONG = "a" * 53  # the longest that Helm takes
_LABEL = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_OBJECT = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")


def _labels(value: Any) -> Iterator[tuple[str, str]]:
    """Each label and each selector's, wherever one stands."""
    for key, inner in value.items() if isinstance(value, dict) else ():
        if key in {"labels", "matchLabels"} or (key == "selector" and "matchLabels" not in inner):
            yield from inner.items()
        yield from _labels(inner)
    for inner in value if isinstance(value, list) else ():
        yield from _labels(inner)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("release", ["gate", "sallyport", _LONG], ids=["short", "itself", "longest"])
def test_every_name_and_label_is_valid(profile: str, release: str) -> None:
    rendered = render(profile, release=release)
    for each in rendered.everything:
        assert _OBJECT.fullmatch(each["metadata"]["name"]), each["metadata"]["name"]
        for key, value in _labels(each):
            assert _LABEL.fullmatch(value), (key, value)
    for each in rendered.all("StatefulSet"):
        assert len(each["metadata"]["name"]) <= 52  # the controller's own label adds eleven to it


@pytest.mark.parametrize("profile", PROFILES)
def test_every_object_carries_the_common_labels(profile: str) -> None:
    for each in render(profile).objects:
        labels = each["metadata"]["labels"]
        assert labels["app.kubernetes.io/name"] == labels["app.kubernetes.io/part-of"] == "sallyport", each["metadata"][
            "name"
        ]
        assert labels["app.kubernetes.io/instance"] == "gate"
        assert labels["app.kubernetes.io/managed-by"] == "Helm"


@pytest.mark.parametrize(
    ("one", "other"), [("gate", "gate2"), (f"{_LONG[:-1]}b", f"{_LONG[:-1]}c"), ("sallyport", "gate")]
)
def test_two_releases_share_no_name_and_select_none_of_each_others_pods(one: str, other: str) -> None:
    first, second = (render("everything", release=release) for release in (one, other))
    assert not _names(first) & _names(second)
    for mine, theirs in ((first, second), (second, first)):
        for labels in (pod.labels for pod in theirs.pods()):
            assert not [selector for selector in _selectors(mine) if edges.selects(selector, labels)]


def _selectors(rendered: Rendered) -> Iterator[dict[str, Any]]:
    for each in rendered.everything:
        if each["kind"] == "Service":
            yield {"matchLabels": each["spec"]["selector"]}
        if each["kind"] in {"Deployment", "StatefulSet", "PodDisruptionBudget"}:
            yield each["spec"]["selector"]
        if each["kind"] == "NetworkPolicy":
            yield each["spec"]["podSelector"]


def _names(rendered: Rendered) -> set[tuple[str, str]]:
    return {(each["kind"], each["metadata"]["name"]) for each in rendered.everything}


@pytest.mark.parametrize("profile", PROFILES)
def test_what_selects_the_gate_selects_its_pods(profile: str) -> None:
    rendered = render(profile)
    workload = next(each for each in rendered.objects if each["kind"] in {"StatefulSet", "Deployment"})
    assert edges.selects(workload["spec"]["selector"], rendered.gate.labels)
    assert workload["spec"]["selector"]["matchLabels"] == rendered.all("Service")[0]["spec"]["selector"]


def test_no_selector_hangs_on_a_version_since_kubernetes_lets_none_change() -> None:
    rendered = render("everything")
    for each in rendered.objects:
        for key, _ in _labels(each.get("spec", {}).get("selector", {})):
            assert key not in {"app.kubernetes.io/version", "helm.sh/chart"}
