"""The chart as Helm renders it, with monitoring on."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from sallyport.runtime import strict_json
from tests.chart.monitoring.programs import find

CHART: Final = Path(__file__).parents[3] / "deploy/helm/sallyport"
_WRITTEN: Final = yaml.safe_load((CHART / "files/monitoring/rules.yaml").read_text())
NAMES: Final = tuple(rule["alert"] for group in _WRITTEN["groups"] for rule in group["rules"] if "alert" in rule)
_ON: Final = """\
monitoring:
  prometheus:
    spiffe: spiffe://example.org/ns/monitoring/sa/prometheus
    from: {namespace: monitoring, podLabels: {app.kubernetes.io/name: prometheus}}
    clientSecret: sallyport-metrics-client
  serviceMonitor: true
  rules: true
  dashboard: true
"""


@dataclass(frozen=True)
class Release:
    """Everything that one `helm install` would make."""

    objects: tuple[Mapping[str, Any], ...]

    def of(self, kind: str) -> tuple[Mapping[str, Any], ...]:
        return tuple(each for each in self.objects if each["kind"] == kind)

    def one(self, kind: str, name: str) -> Any:
        (found,) = (each for each in self.of(kind) if each["metadata"]["name"] == name)
        return found


@cache
def render(name: str = "sallyport", namespace: str = "sallyport", *settings: str, monitored: bool = True) -> Release:
    """`settings` are Helm's: KEY=VALUE."""
    chosen = [f"--set={setting}" for setting in settings]
    minimal = str(CHART / "ci/minimal.yaml")
    command = [find("helm"), "template", name, str(CHART), "-n", namespace, "-f", minimal, *chosen]
    if monitored:
        command += ["-f", "-"]
    done = subprocess.run(command, input=_ON, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return Release(tuple(filter(None, yaml.safe_load_all(done.stdout))))


def rules(name: str = "sallyport", namespace: str = "sallyport") -> dict[str, Any]:
    """The spec of the PrometheusRule: what `promtool` takes as a file of rules."""
    spec: dict[str, Any] = render(name, namespace).one("PrometheusRule", name)["spec"]
    return spec


def alerts() -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for group in rules()["groups"] for rule in group["rules"] if "alert" in rule}


def expressions() -> dict[str, str]:
    """By the name of what is recorded or alerted."""
    every = (rule for group in rules()["groups"] for rule in group["rules"])
    return {rule.get("alert") or rule["record"]: rule["expr"] for rule in every}


def dashboard() -> Any:
    return strict_json.parse(render().one("ConfigMap", "sallyport-dashboard")["data"]["sallyport.json"].encode())


def queries() -> dict[str, str]:
    """Each question of a panel, with what Grafana would put in for its variables."""
    given = {"$__rate_interval": "5m", "$namespace": "sallyport", "$job": "sallyport-pods"}
    found = {}
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            text = target["expr"]
            for variable, value in given.items():
                text = text.replace(variable, value)
            found[f"{panel['title']} {target['refId']}"] = text
    return found
