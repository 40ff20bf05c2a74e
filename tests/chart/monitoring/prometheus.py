"""A real Prometheus on loopback that scrapes one gate on this machine, as the ServiceMonitor has it scrape a pod."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from sallyport.cli import ports
from sallyport.runtime import strict_json
from tests.chart.monitoring import rendered
from tests.chart.monitoring.programs import find

PATIENCE: Final = 60.0
_TARGET: Final = {"namespace": "sallyport", "job": "sallyport-pods", "pod": "sallyport-0"}


@dataclass(frozen=True)
class Prometheus:
    url: str
    process: subprocess.Popen[bytes]

    def ask(self, path: str, **parameters: str) -> Any:
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=PATIENCE) as answer:
            told: Any = strict_json.parse(answer.read())
        assert told["status"] == "success", told
        return told["data"]

    def ready(self) -> bool:
        """It listens before it answers questions: until then it says 503."""
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=PATIENCE):
                return True
        except OSError:
            return False

    def query(self, expression: str) -> list[Any]:
        found: list[Any] = self.ask("query", query=expression)["result"]
        return found

    def rules(self) -> list[dict[str, Any]]:
        return [rule for group in self.ask("rules")["groups"] for rule in group["rules"]]

    def alerts(self, state: str = "") -> dict[str, Any]:
        """By name; pending ones too, unless a state is given."""
        active = self.ask("alerts")["alerts"]
        return {each["labels"]["alertname"]: each for each in active if each["state"] == (state or each["state"])}

    def until(self, what: str, so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not so():
            assert self.process.poll() is None, f"Prometheus ended with {self.process.returncode}"
            assert time.monotonic() < deadline, f"never seen: {what}; but {self.ready() and json.dumps(self.alerts())}"


def impatient(spec: dict[str, Any]) -> dict[str, Any]:
    """The same rules, that wait for one second wherever they wait."""
    groups = [
        {**group, "rules": [{**rule, **({"for": "1s"} if "for" in rule else {})} for rule in group["rules"]]}
        for group in spec["groups"]
    ]
    return {"groups": groups}


@contextmanager
def watching(directory: Path, management: str, pdp: str, ca: str) -> Iterator[Prometheus]:
    """`management` and `pdp` are HOST:PORT of the two endpoints."""
    directory.joinpath("rules.yaml").write_text(yaml.safe_dump(impatient(rendered.rules())))
    scraped = (
        {
            "scheme": "https",
            "tls_config": {"ca_file": ca, "server_name": "localhost"},
            **_endpoint("management", management),
        },
        {"scheme": "http", **_endpoint("pdp-metrics", pdp)},
    )
    settings = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yaml"],
        "scrape_configs": scraped,
    }
    file = directory / "prometheus.yml"
    file.write_text(json.dumps(settings))
    address = f"127.0.0.1:{ports.free(set())}"
    command = [find("prometheus"), f"--config.file={file}", f"--storage.tsdb.path={directory / 'data'}"]
    command += [f"--web.listen-address={address}", "--log.level=warn"]
    with (directory / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            running = Prometheus(f"http://{address}", process)
            running.until("Prometheus is ready", running.ready)
            yield running
        finally:
            process.terminate()


def _endpoint(name: str, address: str) -> dict[str, Any]:
    return {"job_name": name, "static_configs": [{"targets": [address], "labels": {**_TARGET, "endpoint": name}}]}
