"""The shipped policy set through the real engine, at a time of the test's choosing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Final

from sallyport.pdp.decider import decide
from sallyport.pdp.load import load
from sallyport.pdp.model import Json, Principal, Purpose, Query, Verdict
from sallyport.pdp.snapshot import Snapshot
from sallyport.runtime import mounted_dir

POLICIES: Final = Path(__file__).resolve().parents[2] / "policies"
NOON: Final = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
TOOLS: Final = ("list_files", "read_file", "write_file", "delete_file", "database_query", "describe_table")
_ARGUMENT: Final = {"File": "path", "Folder": "path", "Table": "table"}


@dataclass(frozen=True, slots=True)
class Person:
    """Who asks; `via`, `as_` and `in_` give the same one with another agent, other roles, another org."""

    user: str
    org: str
    roles: tuple[str, ...] = ("developer",)
    agent: str = "coding-bot"

    def via(self, agent: str) -> Person:
        return replace(self, agent=agent)

    def as_(self, *roles: str) -> Person:
        return replace(self, roles=roles)

    @property
    def principal(self) -> Principal:
        return Principal("laptop", self.user, self.agent, self.org, self.roles)


ALICE: Final = Person("alice", "acme")
BOB: Final = Person("bob", "acme")
CAROL: Final = Person("carol", "globex")


@cache
def snapshot() -> Snapshot:
    return load(mounted_dir.read(POLICIES))


def changed(name: str, old: str, new: str) -> Snapshot:
    """The shipped set with one text in one file put otherwise."""
    shipped = mounted_dir.read(POLICIES)
    text = shipped.files[name].decode()
    assert old in text
    return load(mounted_dir.Contents({**shipped.files, name: text.replace(old, new).encode()}, "0" * 64))


def ask(
    person: Person, action: str, resource: str, *, at: datetime = NOON, within: Snapshot | None = None, **more: Json
) -> Verdict:
    """The verdict on `action` for a resource such as "Table::orders", its argument filled in as the PEP would."""
    policies = within or snapshot()
    kind, _, name = resource.partition("::")
    arguments: dict[str, Json] = {**_defaults(action), _ARGUMENT[kind]: name, **more} if kind in _ARGUMENT else {}
    query = Query(action, kind, name, input=arguments)
    (verdict,) = decide(
        policies, person.principal, [query], Purpose.CALL, catalog_digest=policies.catalog_digest, now=at
    )
    return verdict


def visible(person: Person) -> dict[str, Verdict]:
    verdicts = decide(
        snapshot(),
        person.principal,
        [Query(tool) for tool in TOOLS],
        Purpose.VISIBILITY,
        catalog_digest=snapshot().catalog_digest,
    )
    return dict(zip(TOOLS, verdicts, strict=True))


def _defaults(action: str) -> dict[str, Json]:
    if action == "write_file":
        return {"content": "hello", "overwrite": True}
    return {"limit": 100} if action == "database_query" else {}
