"""What is rendered for the monitoring system: off unless asked for, and fitting the doors that the gate has."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chart.monitoring import rendered

KINDS = ("ServiceMonitor", "PrometheusRule")


def monitor() -> Any:
    (found,) = rendered.render().of("ServiceMonitor")
    return found


def matches(selector: dict[str, str], labels: dict[str, str]) -> bool:
    return selector.items() <= labels.items()


def test_nothing_of_it_is_rendered_unless_asked_for() -> None:
    plain = rendered.render(monitored=False)
    assert not [kind for kind in KINDS if plain.of(kind)]
    assert "sallyport-dashboard" not in {each["metadata"]["name"] for each in plain.of("ConfigMap")}


@pytest.mark.parametrize("name", ["sallyport", "blue-sallyport"])
def test_the_service_monitor_selects_the_one_service_that_has_its_ports(name: str) -> None:
    release = rendered.render(name)
    (found,) = release.of("ServiceMonitor")
    selector = found["spec"]["selector"]["matchLabels"]
    (service,) = (each for each in release.of("Service") if matches(selector, each["metadata"].get("labels", {})))
    assert service["metadata"]["name"] == f"{name}-pods"
    assert {port["port"] for port in found["spec"]["endpoints"]} == {port["name"] for port in service["spec"]["ports"]}
    assert found["spec"]["namespaceSelector"] == {"matchNames": ["sallyport"]}


def test_the_gates_own_metrics_are_asked_for_with_a_certificate_and_of_nobody_else() -> None:
    management, pdp = monitor()["spec"]["endpoints"]
    key = {"name": "sallyport-metrics-client"}
    assert (management["port"], management["scheme"]) == ("management", "https")
    assert management["tlsConfig"] == {
        "serverName": "sallyport.sallyport.svc",
        "ca": {"secret": {**key, "key": "ca.crt"}},
        "cert": {"secret": {**key, "key": "tls.crt"}},
        "keySecret": {**key, "key": "tls.key"},
    }
    assert pdp == {"port": "pdp-metrics", "scheme": "http"}


def test_prometheus_gets_through_the_network_policy_to_both_ports_and_no_other() -> None:
    ports = {port["port"] for port in rendered.render().one("Service", "sallyport-pods")["spec"]["ports"]}
    ingress = rendered.render().one("NetworkPolicy", "sallyport-ingress")["spec"]["ingress"]
    (door,) = (each for each in ingress if "monitoring" in str(each["from"]))
    assert {port["port"] for port in door["ports"]} == ports


@pytest.mark.parametrize("label", ["release", "app.kubernetes.io/part-of", "grafana_dashboard"])
def test_a_label_of_the_operators_is_on_all_three_and_wins(label: str) -> None:
    escaped = label.replace(".", r"\.")
    release = rendered.render("sallyport", "sallyport", f"monitoring.labels.{escaped}=mine")
    made = [each for kind in KINDS for each in release.of(kind)]
    assert [each["metadata"]["labels"][label] for each in made] == ["mine", "mine"]
    dashboard = release.one("ConfigMap", "sallyport-dashboard")["metadata"]["labels"]
    assert dashboard[label] == ("1" if label == "grafana_dashboard" else "mine")
