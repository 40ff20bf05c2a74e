"""The dashboard: Grafana isn't here, but what it reads is."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any, Final

import yaml

from tests.chart.monitoring import rendered
from tests.chart.monitoring.programs import promtool

_WIDTH: Final = 24  # columns of Grafana's grid


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = rendered.dashboard()["panels"]
    return found


def cells(panel: dict[str, Any]) -> set[tuple[int, int]]:
    at = panel["gridPos"]
    return {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}


def test_every_question_of_a_panel_is_promql(tmp_path: Path) -> None:
    wrapped = [{"record": f"panel:{number}", "expr": expr} for number, expr in enumerate(rendered.queries().values())]
    file = tmp_path / "panels.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": wrapped}]}))
    checked = promtool("check", "rules", file)
    assert checked.returncode == 0, checked.stderr
    assert f"SUCCESS: {len(wrapped)} rules found" in checked.stdout


def test_no_panel_covers_another_or_leaves_a_gap() -> None:
    for one, other in combinations(panels(), 2):
        assert not cells(one) & cells(other), f"{one['title']} covers {other['title']}"
    covered = {cell for panel in panels() for cell in cells(panel)}
    height = 1 + max(y for _, y in covered)
    assert covered == {(x, y) for x in range(_WIDTH) for y in range(height)}


def test_each_panel_has_a_number_of_its_own_and_says_what_it_shows() -> None:
    assert len({panel["id"] for panel in panels()}) == len(panels())
    assert len({panel["title"] for panel in panels()}) == len(panels())
    for panel in panels():
        assert panel["type"] == "row" or (panel["description"].endswith(".") and panel["targets"])


def test_a_panel_asks_the_chosen_data_source_about_the_chosen_release() -> None:
    for panel in panels():
        targets = panel.get("targets", ())
        for asker in (panel, *targets) if targets else ():
            assert asker["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        for target in targets:
            assert 'namespace="$namespace",job="$job"' in target["expr"]
        assert len({target["refId"] for target in targets}) == len(targets)


def test_grafana_finds_it_by_the_label_that_its_sidecar_looks_for() -> None:
    labels = rendered.render().one("ConfigMap", "sallyport-dashboard")["metadata"]["labels"]
    assert labels["grafana_dashboard"] == "1"
    variables = {each["name"] for each in rendered.dashboard()["templating"]["list"]}
    assert variables == {"datasource", "namespace", "job"}


def test_every_release_brings_the_same_dashboard() -> None:
    there = rendered.render("blue", "agents-prod").one("ConfigMap", "blue-sallyport-dashboard")
    assert there["data"] == rendered.render().one("ConfigMap", "sallyport-dashboard")["data"]
