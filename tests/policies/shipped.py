"""The shipped policy set through the real engine, at a time of the test's choosing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

import cedarpy

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


def cedar_alone(person: Person, action: str, resource: str, *, left_out: str = "") -> tuple[bool, list[str]]:
    """What the .cedar files alone say of a resource of acme's: whether it is allowed, and by which policies."""
    kind, _, name = resource.partition("::")
    texts = [path.read_text() for path in sorted(POLICIES.glob("*.cedar")) if path.name != left_out]
    attributes: dict[str, Any] = {"org": _ref("Org", "acme"), "owner": person.user}
    if kind == "Table":
        attributes |= {"environment": "staging", "class": "internal"}
    user, agent = _ref("User", person.user), _ref("Agent", person.agent)
    compound = {
        "user": user,
        "agent": agent,
        "user_id": person.user,
        "agent_id": person.agent,
        "agent_trust_level": 8,
        "org": _ref("Org", person.org),
        "scopes": [],
    }
    entities: list[dict[str, Any]] = [
        {"uid": _id("Compound", "c"), "attrs": compound, "parents": [user["__entity"], agent["__entity"]]},
        {"uid": _id(kind, name), "attrs": attributes, "parents": []},
        *({"uid": _id("Org", org), "attrs": {}, "parents": []} for org in ("acme", "globex")),
        *({"uid": uid["__entity"], "attrs": {}, "parents": []} for uid in (user, agent)),
    ]
    request = {
        "principal": _id("Compound", "c"),
        "action": _id("Action", action),
        "resource": _id(kind, name),
        "context": {
            "session": {"now": "2026-03-04T12:00:00Z", "hour_utc": 12},
            "input": {_ARGUMENT[kind]: name},
        },
    }
    result = cedarpy.is_authorized(request, "\n".join(texts), entities, snapshot().schema_text)
    assert not result.diagnostics.errors
    return result.allowed, sorted(set(result.diagnostics.id_annotations_by_reason.values()))


def _id(kind: str, name: str) -> dict[str, str]:
    return {"type": kind, "id": name}


def _ref(kind: str, name: str) -> dict[str, dict[str, str]]:
    return {"__entity": _id(kind, name)}


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
