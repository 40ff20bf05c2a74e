"""A small policy set with test files beside: what each test says is all that there is to run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sallyport.pdp import policy_tests
from sallyport.pdp.load import load
from sallyport.pdp.policy_tests import FileReport, Run
from sallyport.pdp.snapshot import Snapshot
from sallyport.runtime.problems import Problem
from tests.support import policy_dir

PEOPLE = """
principals:
  alice: {user: alice, agent: coding-bot, org: acme, roles: [developer]}
  carol: {like: alice, user: carol, org: globex}
resources:
  notes: {resource: "File::alice/notes.txt"}
"""
# What the usual little set has not: an obligation, advice, and a permit that overflows where the risk is high.
MASKED = """@id("masked")
@obligation("mask:email")
permit (principal, action == Action::"query", resource)
when { context.session has risk && context.session.risk * 100000000000000000 < 5000000000000000000 };
@id("late")
@advice("Come back in the morning.")
forbid (principal, action == Action::"query", resource)
when { context.session.hour_utc > 20 };
"""


@cache
def snapshot() -> Snapshot:
    return policy_dir.snapshot(policies=policies())


def policies() -> dict[str, str]:
    return {**policy_dir.POLICIES, "masked.cedar": MASKED}


def problems(text: str | bytes, name: str = "a.test.yaml", **more: str | bytes) -> tuple[Problem, ...]:
    """What the reload hears of a directory that holds this one test file, and whatever else is given."""
    found = policy_tests.problems(snapshot(), policy_dir.contents(beside({name: text, **more})))
    assert not any("the tests can't be run" in problem.message for problem in found)  # an exception, if a caught one
    return found


def beside(files: Mapping[str, str | bytes]) -> dict[str, bytes]:
    given = {name: data if isinstance(data, bytes) else data.encode() for name, data in files.items()}
    return {**policy_dir.files(policies=policies()), **given}


def with_people(text: str) -> str:
    """A file with the usual people and these tests."""
    return f"{PEOPLE}tests:\n{text}"


def one(**changes: Any) -> str:
    """A file with one case, alice reading her notes, but for the changes; None leaves a key out."""
    case = {"name": "one", "principal": "alice", "action": "read_file", "resource": "notes", "expect": "permit"}
    said = {key: value for key, value in {**case, **changes}.items() if value is not None}
    return with_people(f"  - {json.dumps(said)}\n")


def told(text: str) -> str:
    return "\n".join(str(problem) for problem in problems(text))


def report(text: str | bytes, name: str = "a.test.yaml", **more: str | bytes) -> FileReport:
    return Run(snapshot(), policy_dir.contents(beside({name: text, **more}))).file(name)


def uid(kind: str, name: str) -> dict[str, str]:
    return {"type": kind, "id": name}


def entities(*, trust: int = 8, org: str = "acme", roles: Sequence[str] = ("developer",)) -> list[dict[str, Any]]:
    """Everything that alice's reading of her notes refers to, in Cedar's JSON."""
    user, compound = '["laptop","alice"]', '["laptop","alice","coding-bot"]'
    attributes = {
        "user": uid("User", user),
        "agent": uid("Agent", "coding-bot"),
        "user_id": "alice",
        "agent_id": "coding-bot",
        "agent_trust_level": trust,
        "org": uid("Org", org),
        "scopes": [],
    }
    return [
        _entity("Compound", compound, attributes, uid("User", user), uid("Agent", "coding-bot")),
        _entity("User", user, {}, *(uid("Role", role) for role in roles)),
        _entity("Agent", "coding-bot", {}),
        _entity("Role", "developer", {}, uid("Role", "user")),
        _entity("Role", "user", {}),
        _entity("Org", "acme", {}),
        _entity("Org", "globex", {}),
        _entity("File", "alice/notes.txt", {"org": uid("Org", "acme"), "owner": "alice"}),
    ]


def cedar(**changes: Any) -> dict[str, Any]:
    """One test as the Cedar CLI takes it; `request` changes parts of the request."""
    request = {
        "principal": r'Compound::"[\"laptop\",\"alice\",\"coding-bot\"]"',
        "action": 'Action::"read_file"',
        "resource": 'File::"alice/notes.txt"',
        "context": {
            "session": {"now": "2026-03-04T12:00:00Z", "hour_utc": 12},
            "input": {"path": "alice/notes.txt"},
        },
    }
    whole = {
        "name": "alice reads her notes",
        "request": {**request, **changes.pop("request", {})},
        "entities": entities(),
        "decision": "allow",
        "reason": ["own_file"],
        "num_errors": 0,
    }
    return {**whole, **changes}


def reload(given: Mapping[str, bytes]) -> tuple[Problem, ...]:
    """As the reload does it: load the directory, then ask its tests."""
    contents = policy_dir.contents(given)
    return policy_tests.problems(load(contents), contents)


def _entity(kind: str, name: str, attributes: Mapping[str, Any], *parents: dict[str, str]) -> dict[str, Any]:
    return {"uid": uid(kind, name), "attrs": attributes, "parents": list(parents)}
