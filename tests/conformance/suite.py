"""The MCP conformance suite: install it, run it at a server, read what each of its checks said."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import yaml

HERE: Final = Path(__file__).parent
REVISIONS: Final = ("2025-11-25", "2026-07-28")
PATIENCE: Final = 300.0  # seconds for one run; five is usual
_TOTAL: Final = re.compile(r"^Total: (.+)$", re.MULTILINE)
_COUNTS: Final = re.compile(r"(\d+) passed, (\d+) failed")
_DOCUMENTED: Final = re.compile(
    r"^\| \*\*through the gate\*\*[^|]*\| \*\*(\d+) / (\d+)\*\* \| \*\*(\d+) / (\d+)\*\* \|$", re.MULTILINE
)
_FOLDER: Final = re.compile(r"server-(.+)-\d{4}-\d\d-\d\dT[\d-]+Z")


@dataclass(frozen=True, slots=True)
class Results:
    """What one run said: scenario -> check -> whether it passed. What was skipped or only told isn't there."""

    revision: str
    scenarios: Mapping[str, Mapping[str, bool]]
    total: str = ""  # as the suite counts: each check as often as it was made, no warning

    @property
    def failing(self) -> frozenset[str]:
        """Of the scenarios that the revision requires, those that fail or never ran."""
        return frozenset(name for name in required(self.revision) if not self._passes(name))

    @property
    def failed(self) -> frozenset[str]:
        """Every scenario with a check that failed, also of those that nothing requires."""
        return frozenset(name for name, checks in self.scenarios.items() if not all(checks.values()))

    @property
    def counts(self) -> tuple[int, int]:
        """Checks passed and failed, as the suite counts."""
        found = _COUNTS.match(self.total)
        assert found, f"the suite counts in another way: {self.total}"
        return int(found[1]), int(found[2])

    @property
    def passed(self) -> frozenset[str]:
        """Every check that passed, as `scenario: check`, also of scenarios that nothing requires."""
        return frozenset(
            f"{name}: {check}" for name, checks in self.scenarios.items() for check, ok in checks.items() if ok
        )

    def _passes(self, name: str) -> bool:
        checks = self.scenarios.get(name, {})
        return bool(checks) and all(checks.values())

    def __str__(self) -> str:
        failed = [f"{name}: {check}" for name in sorted(self.failing) for check in self._failed(name)]
        return "\n".join((f"{self.revision}: {self.total}", *failed))

    def _failed(self, name: str) -> list[str]:
        return [check for check, ok in self.scenarios.get(name, {"never ran": False}).items() if not ok]


@cache
def installed() -> tuple[str, Path]:
    """Node and the suite's program."""
    done = subprocess.run([HERE / "install.sh"], capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, f"the conformance suite can't be installed:\n{done.stderr}"
    node, program = done.stdout.split()
    return node, Path(program)


@cache
def required(revision: str) -> frozenset[str]:
    """The names of the server scenarios that the suite's own frozen list demands."""
    text = (installed()[1].parents[1] / "requirements" / f"{revision}.yaml").read_text()
    return frozenset(yaml.safe_load(text)["server"])


def documented(revision: str) -> tuple[int, int]:
    """Checks passed and failed through the gate, as docs/conformance.md has them."""
    found = _DOCUMENTED.search((HERE.parents[1] / "docs/conformance.md").read_text())
    assert found, "docs/conformance.md has no such row"
    numbers = [int(one) for one in found.groups()]
    return {"2025-11-25": (numbers[0], numbers[1]), "2026-07-28": (numbers[2], numbers[3])}[revision]


def expected_failures() -> frozenset[str]:
    """Of both revisions, each with its reason in the file; a revision has only some of them."""
    return frozenset(yaml.safe_load((HERE / "expected-failures.yaml").read_text())["server"])


async def run(url: str, revision: str) -> Results:
    """All scenarios of the revision against this server; localhost must be its host."""
    node, program = installed()
    with tempfile.TemporaryDirectory() as out:
        command = (node, str(program), "server", "--url", url, "--requirements", revision, "-o", out)
        process = await asyncio.create_subprocess_exec(
            *command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        try:
            said, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        scenarios = _read(Path(out))
    total = _TOTAL.search(said.decode())
    assert total, f"the suite came to no end:\n{said.decode()}"
    return Results(revision, scenarios, total[1])


def _read(out: Path) -> dict[str, dict[str, bool]]:
    return {_name(folder): _checks(folder) for folder in out.iterdir()}


def _name(folder: Path) -> str:
    found = _FOLDER.fullmatch(folder.name)
    assert found, f"{folder.name} isn't named as the suite names its results"
    return found[1]


def _checks(folder: Path) -> dict[str, bool]:
    """A warning is of a SHOULD, which is no failure; a check that was made more than once passes if it always did."""
    outcomes: dict[str, bool] = {}
    for check in json.loads((folder / "checks.json").read_text()):
        if check["status"] in {"SUCCESS", "WARNING", "FAILURE"}:
            name = f"{check['id']} {check['name']}" if check["status"] != "WARNING" else f"{check['id']} (warned)"
            outcomes[name] = outcomes.get(name, True) and check["status"] != "FAILURE"
    return outcomes
