"""The alerts as they are rendered: promtool reads them, and each fires when it must and not just below."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.chart.monitoring import rendered
from tests.chart.monitoring.programs import promtool

TESTS: Final = sorted(Path(__file__).parent.glob("promtool/*.yaml"))
ROOT: Final = Path(__file__).parents[3]


def written(directory: Path, spec: dict[str, Any]) -> Path:
    directory.joinpath("rules.yaml").write_text(yaml.safe_dump(spec))
    return directory / "rules.yaml"


def checks(alert: str) -> Iterator[list[dict[str, Any]]]:
    """What promtool is told to expect of an alert, each time it looks."""
    for file in TESTS:
        for case in yaml.safe_load(file.read_text())["tests"]:
            for check in case["promql_expr_test"]:
                if f'alertname="{alert}"' in check["expr"]:
                    yield check["exp_samples"]


@pytest.mark.parametrize(("name", "namespace"), [("sallyport", "sallyport"), ("blue-sallyport", "agents-prod")])
def test_the_rendered_rules_are_rules_to_promtool(tmp_path: Path, name: str, namespace: str) -> None:
    checked = promtool("check", "rules", written(tmp_path, rendered.rules(name, namespace)))
    assert checked.returncode == 0, checked.stderr
    assert f"SUCCESS: {len(rendered.expressions())} rules found" in checked.stdout


@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.stem)
def test_each_alert_fires_when_it_must_and_not_just_below(tmp_path: Path, file: Path) -> None:
    written(tmp_path, rendered.rules())
    tested = promtool("test", "rules", shutil.copy(file, tmp_path))
    assert tested.returncode == 0, tested.stdout + tested.stderr


@pytest.mark.parametrize("alert", rendered.NAMES)
def test_no_alert_is_without_a_test_that_it_fires_and_one_that_it_does_not(alert: str) -> None:
    assert {bool(expected) for expected in checks(alert)} == {True, False}


@pytest.mark.parametrize("alert", rendered.NAMES)
def test_an_alert_says_what_is_wrong_and_what_to_do_next(alert: str) -> None:
    rule = rendered.alerts()[alert]
    told = rule["annotations"]
    assert told.keys() == {"summary", "description", "runbook"}
    assert rule["labels"].keys() == {"severity"}
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert len(told["summary"]) < 100
    assert told["description"].endswith(".")
    assert told["runbook"].startswith("docs/operations/troubleshooting.md#")


@pytest.mark.parametrize("alert", rendered.NAMES)
def test_a_text_names_only_labels_that_the_alert_has(alert: str) -> None:
    text = " ".join(rendered.alerts()[alert]["annotations"].values())
    firing = [sample["labels"] for expected in checks(alert) for sample in expected]
    for name in set(re.findall(r"\$labels\.(\w+)", text)):
        assert all(f'{name}="' in labels for labels in firing), f"{alert} names {name}, and fires as {firing}"


def test_each_alert_leads_to_a_place_in_the_docs() -> None:
    for alert, rule in rendered.alerts().items():
        path, anchor = rule["annotations"]["runbook"].split("#")
        assert anchor in anchors(ROOT / path), f"{alert} leads to no heading of {path}"


def anchors(file: Path) -> set[str]:
    """As a Markdown viewer makes them of the headings."""
    titles = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def test_every_selector_is_of_this_release_alone() -> None:
    here, there = rendered.rules("blue-sallyport", "agents-prod"), rendered.rules()
    for mine, other in zip(here["groups"], there["groups"], strict=True):
        for rule, twin in zip(mine["rules"], other["rules"], strict=True):
            selectors = re.findall(r"\w\{([^}]*)", rule["expr"])
            ours = 'namespace="agents-prod",job="blue-sallyport-pods"'
            assert selectors
            assert all(selector.startswith(ours) for selector in selectors)
            assert rule["expr"].replace(ours, 'namespace="sallyport",job="sallyport-pods"') == twin["expr"]


def test_the_rules_know_the_job_by_the_name_of_the_service_that_is_scraped() -> None:
    services = {each["metadata"]["name"] for each in rendered.render("blue", "agents-prod").of("Service")}
    rule = rendered.render("blue", "agents-prod").one("PrometheusRule", "blue-sallyport")["spec"]["groups"][0]["rules"][
        0
    ]
    (job,) = set(re.findall(r'job="([^"]*)"', rule["expr"]))
    assert job in services
