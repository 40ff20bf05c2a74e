"""The rules of docs/cookbook, each within a whole policy set."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from sallyport.pdp.load import load
from sallyport.pdp.policy_tests import cases
from sallyport.pdp.policy_tests.limits import Budget
from sallyport.pdp.policy_tests.model import Case
from sallyport.pdp.policy_tests.names import Names
from sallyport.pdp.snapshot import Snapshot
from sallyport.runtime import mounted_dir
from sallyport.runtime.mounted_dir import Contents
from sallyport.runtime.problems import Problem

ROOT: Final = Path(__file__).resolve().parents[2]
COOKBOOK: Final = ROOT / "docs" / "cookbook"
EVERYDAY: Final = COOKBOOK / "everyday"  # rules alone, for the set that `init` writes
COMPANY: Final = COOKBOOK / "company"  # a whole set, with tools of its own
_FOUNDATION: Final = frozenset({"org_isolation", "agent_ceiling"})  # of the company: copies of the shipped ones
_ROW: Final = re.compile(
    r"^\| \[([a-z_]+)\]\((everyday|company)/\1\.cedar\) \(\[tests\]\(\2/\1\.test\.yaml\)\) \|", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Rule:
    family: Path
    name: str

    def __str__(self) -> str:
        return f"{self.family.name}/{self.name}"

    @property
    def policies(self) -> str:
        return f"{self.name}.cedar"

    @property
    def tests(self) -> str:
        return f"{self.name}.test.yaml"


def rules() -> list[Rule]:
    return [
        Rule(family, path.stem)
        for family in (EVERYDAY, COMPANY)
        for path in sorted(family.glob("*.cedar"))
        if path.stem not in _FOUNDATION
    ]


def listed() -> list[str]:
    """The rules that the table of contents names, with their tests."""
    return [f"{family}/{name}" for name, family in _ROW.findall((COOKBOOK / "README.md").read_text())]


@cache
def contents(rule: Rule) -> Contents:
    """The rule and its tests in a whole set, and no other rule of the cookbook."""
    base = mounted_dir.read(ROOT / "policies" if rule.family == EVERYDAY else COMPANY).files
    others = {f"{other.name}{end}" for other in rules() for end in (".cedar", ".test.yaml")}
    kept = {
        name: data for name, data in base.items() if name not in others and not name.endswith((".test.yaml", ".json"))
    }
    own = {name: (rule.family / name).read_bytes() for name in (rule.policies, rule.tests)}
    return Contents({**kept, **own}, "0" * 64)


@cache
def snapshot(rule: Rule) -> Snapshot:
    return load(contents(rule))


def without(rule: Rule, policy_id: str) -> Contents:
    """The same set, but for one policy."""
    texts = [
        policy.statement.text
        for policy in snapshot(rule).policies
        if policy.statement.file == rule.policies and policy.id != policy_id
    ]
    files: Mapping[str, bytes] = {**contents(rule).files, rule.policies: "\n".join(texts).encode()}
    if not texts:
        files = {name: data for name, data in files.items() if name != rule.policies}
    return Contents(files, "0" * 64)


def cases_of(rule: Rule) -> Iterator[Case]:
    problems: list[Problem] = []
    data = contents(rule).files[rule.tests]
    yield from cases.read(data, rule.tests, Names(snapshot(rule)), Budget(), problems)
    assert not problems, problems
