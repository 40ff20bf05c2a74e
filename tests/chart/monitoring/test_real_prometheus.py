"""A real Prometheus scrapes a real gate: nothing is alarmed while all is well, and what breaks is told."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from sallyport.cli import ports
from tests.chart.monitoring import rendered
from tests.chart.monitoring.prometheus import Prometheus, watching
from tests.support import laptop
from tests.support.laptop import Up


@dataclass(frozen=True)
class Watched:
    gate: Up
    prometheus: Prometheus


@contextmanager
def watched(directory: Path) -> Iterator[Watched]:
    """A gate as `init` makes it, with the PDP's metrics on, and a Prometheus that has scraped both processes."""
    pdp = f"127.0.0.1:{ports.free(set())}"
    made = laptop.patient(laptop.init(directory / "gate"))
    settings = made / "pdp.yaml"
    settings.write_text(f"{settings.read_text()}\nmetrics: {pdp}\n")
    place = directory / "prometheus"
    place.mkdir()
    with laptop.up(made, "--no-restart") as gate:
        gate.ready()
        management = urlsplit(gate.endpoint.management_url).netloc
        with watching(place, management, pdp, gate.endpoint.ca_file) as prometheus:
            both = "sallyport_pdp_policies or sallyport_build_info"
            prometheus.until("both are scraped", lambda: len(prometheus.query(both)) == 2)
            yield Watched(gate, prometheus)


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """For tests that leave it as it was."""
    with watched(tmp_path_factory.mktemp("watched")) as both:
        yield both


def calm(prometheus: Prometheus) -> bool:
    """Every rule has been evaluated, and nothing is even pending."""
    return all(rule["health"] == "ok" for rule in prometheus.rules()) and not prometheus.alerts()


def test_the_rules_are_silent_on_a_healthy_gate_and_tell_of_policies_that_are_refused(healthy: Watched) -> None:
    gate, prometheus = healthy.gate, healthy.prometheus
    called = laptop.here("call", gate.directory, "--as", "alice/coding-bot", "read_file", "path=alice/notes.txt")
    assert called.returncode == 0, called.stderr
    counted = 'sallyport_tool_outcomes_total{tool="read_file",outcome="done"} == 1'
    prometheus.until("the call is counted", lambda: bool(prometheus.query(counted)))
    prometheus.until("calm", lambda: calm(prometheus))
    assert {rule["name"] for rule in prometheus.rules()} == set(rendered.expressions())
    broken = gate.directory / "policies/broken.cedar"
    broken.write_text("permit (principal, action, resource) when { ")
    name = "SallyportPolicyReloadRefused"
    prometheus.until("the refused set", lambda: name in prometheus.alerts("firing"))
    # A scrape that took too long on a busy machine is alarmed too, until the next one.
    prometheus.until("nothing but the refused set", lambda: prometheus.alerts().keys() == {name})
    alert = prometheus.alerts()[name]
    assert alert["annotations"]["summary"] == "sallyport-0 refuses the new policy set; the last good one serves"
    broken.unlink()
    prometheus.until("calm again", lambda: calm(prometheus))


def test_every_panel_is_answered_and_those_of_what_serves_show_it(healthy: Watched) -> None:
    one = ("Replicas that serve A", "Policy sets in force A", *(f"Readiness by pod {target}" for target in "ABCDEF"))

    def shown() -> bool:
        return all([sample["value"][1] for sample in asked(title)] == ["1"] for title in one)

    def asked(title: str) -> list[Any]:
        return healthy.prometheus.query(rendered.queries()[title])

    healthy.prometheus.until("one replica that serves, and is ready", shown)  # as soon as all is scraped and recorded
    answers = {title: asked(title) for title in rendered.queries()}
    (revision,) = answers["Revision by pod A"]
    assert len(revision["metric"]["revision"]) == 64
    assert {sample["metric"]["use"] for sample in answers["Certificate days left A"]} == {"server", "client_ca"}


def test_a_gate_whose_pdp_is_gone_serves_nothing_and_says_so(tmp_path: Path) -> None:
    with watched(tmp_path) as both:
        both.prometheus.until("calm", lambda: calm(both.prometheus))
        os.kill(both.gate.endpoint.pdp, signal.SIGKILL)
        expected = {"SallyportNoReplicaServes", "SallyportTargetDown"}
        both.prometheus.until("both alarms", lambda: both.prometheus.alerts("firing").keys() == expected)
