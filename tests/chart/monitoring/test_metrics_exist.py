"""Rules and dashboard ask for nothing that neither service shows: a misspelt metric would be an alert that never fires."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from tests.chart.monitoring import exposed, rendered

_SELECTOR: Final = re.compile(r"([a-zA-Z_:][\w:]*)\{([^}]*)\}")
_MATCHER: Final = re.compile(r'(\w+)\s*(=~|!=|!~|=)\s*"([^"]*)"')
_BARE: Final = re.compile(r"\bsallyport[_:][\w:]*(?![\w:{])")
_GROUPED: Final = re.compile(r"\b(?:by|on|without|ignoring|group_left) \(([^)]*)\)")
# Put on every series by Prometheus, by what it scrapes.
_TARGET: Final = frozenset({"namespace", "job", "pod", "endpoint"})
# Of Prometheus itself, and of the kubelet.
_FOREIGN: Final = {
    "up": frozenset[str](),
    "container_memory_working_set_bytes": frozenset({"container"}),
    "container_cpu_usage_seconds_total": frozenset({"container"}),
}


def asked() -> dict[str, str]:
    return {**rendered.expressions(), **rendered.queries()}


def selectors() -> Iterator[tuple[str, str, str]]:
    """Who asks for which metric, with which matchers."""
    for name, text in asked().items():
        for metric, matchers in _SELECTOR.findall(text):
            yield name, metric, matchers


def test_every_metric_that_is_asked_for_is_shown() -> None:
    recorded = {name for name in rendered.expressions() if ":" in name}
    for name, metric, _ in selectors():
        assert metric in exposed.series().keys() | _FOREIGN.keys() | recorded, f"{name} asks for {metric}"


def test_every_metric_is_asked_for_by_a_selector() -> None:
    for name, text in asked().items():
        assert not _BARE.findall(text), name
        assert _SELECTOR.findall(text), name


def test_every_label_that_is_matched_is_on_the_metric_with_such_a_value() -> None:
    for name, metric, matchers in selectors():
        seen = exposed.series().get(metric, {})
        for label, how, value in _MATCHER.findall(matchers):
            if label in _TARGET | _FOREIGN.get(metric, frozenset()):
                continue
            assert label in seen, f"{name}: {metric} has no label {label}"
            for one in value.split("|") if "~" in how else [re.escape(value)]:
                assert any(re.fullmatch(one, shown) for shown in seen[label]), f"{name}: no {metric} has {label}={one}"


def test_every_label_that_is_grouped_by_is_on_some_metric_asked_for() -> None:
    for name, text in asked().items():
        metrics = {metric for metric, _ in _SELECTOR.findall(text)}
        there = {label for metric in metrics for label in exposed.series().get(metric, ())}
        there |= _TARGET.union(*(_FOREIGN.get(metric, ()) for metric in metrics))
        for labels in _GROUPED.findall(text):
            assert set(labels.split(", ")) <= there, name


def test_each_variable_of_the_dashboard_is_asked_of_a_metric_that_is_shown() -> None:
    variables = [each for each in rendered.dashboard()["templating"]["list"] if each["type"] == "query"]
    assert len(variables) == 2
    for variable in variables:
        (metric,) = re.findall(r"label_values\((\w+)", variable["definition"])
        assert metric in exposed.series()


def test_an_endpoint_that_is_named_is_one_of_the_two_that_are_scraped() -> None:
    found = (_MATCHER.findall(matchers) for _, _, matchers in selectors())
    named = {value for each in found for label, _, value in each if label == "endpoint"}
    (monitor,) = rendered.render().of("ServiceMonitor")
    assert named == {each["port"] for each in monitor["spec"]["endpoints"]}
