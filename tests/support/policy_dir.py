"""Small policy directories made from dicts: what each test says is all that differs from a set that is in order."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sallyport.pdp.decider import decide
from sallyport.pdp.load import load
from sallyport.pdp.model import Effect, Principal, Purpose, Query, Session, Verdict
from sallyport.pdp.snapshot import Snapshot
from sallyport.runtime import mounted_dir
from sallyport.runtime.mounted_dir import Contents
from sallyport.runtime.problems import ConfigError, Problem

NOON = datetime(2026, 11, 20, 12, 0, 0, 123456, tzinfo=UTC)

BASE = """
entity Org;
entity Role in [Role];
entity AgentGroup;
entity User in [Role];
entity Agent in [AgentGroup];
entity Compound in [User, Agent] {
  user: User, agent: Agent, user_id: String, agent_id: String, agent_trust_level: Long, org: Org, scopes: Set<String>,
};
entity Tool { orgs: Set<Org> };
entity Server { orgs: Set<Org> };
entity Prompt { orgs: Set<Org>, upstream: String };
entity McpResource { orgs: Set<Org>, upstream: String };
entity File { org: Org, owner: String };
entity Table { org: Org, environment: String, owner?: String };
type Session = { now: datetime, hour_utc: Long, ip?: ipaddr, risk?: Long, mfa_age?: duration, call_count?: Long };
"""
ISOLATION = """@id("isolation")
forbid (principal, action, resource)
unless {
  (resource has org && resource.org == principal.org) || (resource has orgs && resource.orgs.contains(principal.org))
};
"""
OWN_FILE = """@id("own_file")
permit (principal, action == Action::"read_file", resource)
when { resource.owner == principal.user_id && principal.agent_trust_level >= 5 };
"""
POLICIES = {"isolation.cedar": ISOLATION, "files.cedar": OWN_FILE}
PATH = {
    "type": "object",
    "additionalProperties": False,
    "required": ["path"],
    "properties": {"path": {"type": "string"}},
}
ROLES: dict[str, Any] = {
    "user": {"permissions": ["tools:list", "tools:call", "resources:read"]},
    "developer": {"in": ["user"], "permissions": ["resources:write"]},
    "guest": {"permissions": ["tools:list"]},
}
AGENTS: dict[str, Any] = {
    "coding-bot": {"trust_level": 8, "groups": ["coding"], "orgs": "all"},
    "chat-bot": {"trust_level": 2, "groups": ["chat"], "orgs": ["acme"]},
}
RESOURCES: dict[str, Any] = {
    "orgs": ["acme", "globex"],
    "resources": {
        "File": {"alice/*": {"org": "acme", "owner": "alice"}, "carol/*": {"org": "globex", "owner": "carol"}},
        "Table": {"orders": {"org": "acme", "environment": "staging"}},
    },
    "defaults": {},
}


def tool(name: str, effect: str = "read_only", **more: Any) -> dict[str, Any]:
    """A catalog entry; judged on the tool itself unless `resources` says otherwise."""
    return {
        "name": name,
        "effect": effect,
        "open_world": False,
        "provider": {"hosted": "x"},
        "input": {"type": "object"},
        **more,
    }


TOOLS = [
    tool("read_file", resources=[{"type": "File", "id": "/path"}], input=PATH),
    tool("write_file", "write", resources=[{"type": "File", "id": "/path"}], input=PATH),
    tool("query", resources=[{"type": "Table", "id": "/path"}], input=PATH),
    tool("status"),
]


def files(
    *,
    policies: Mapping[str, str] = POLICIES,
    base: str = BASE,
    roles: Mapping[str, Any] = ROLES,
    agents: Mapping[str, Any] = AGENTS,
    resources: Mapping[str, Any] = RESOURCES,
    tools: list[dict[str, Any]] | None = None,
    surfaces: Mapping[str, Any] | None = None,
) -> dict[str, bytes]:
    """The files of one directory; YAML is written as JSON, one value a line, so that places can be told.

    `surfaces` is what the catalog lists beside its tools.
    """
    texts = {
        "base.cedarschema": base,
        "roles.yaml": _yaml({"roles": roles}),
        "agents.yaml": _yaml({"agents": agents}),
        "resources.yaml": _yaml(resources),
        "catalog.yaml": _yaml({"tools": TOOLS if tools is None else tools, **(surfaces or {})}),
        **policies,
    }
    return {name: text.encode() for name, text in texts.items()}


def contents(given: Mapping[str, bytes]) -> Contents:
    return Contents(given, mounted_dir.revision(given))


def write(directory: Path, given: Mapping[str, bytes]) -> Path:
    """The same as a real directory."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, data in given.items():
        (directory / name).write_bytes(data)
    return directory


def snapshot(**changes: Any) -> Snapshot:
    return load(contents(files(**changes)))


def problems(given: Mapping[str, bytes] | None = None, **changes: Any) -> tuple[Problem, ...]:
    """Why the directory is refused; fails if it isn't."""
    try:
        load(contents(files(**changes) if given is None else given))
    except ConfigError as error:
        return error.problems
    raise AssertionError("the policy directory was accepted")


def complaint(given: Mapping[str, bytes] | None = None, **changes: Any) -> str:
    return "\n".join(str(problem) for problem in problems(given, **changes))


def alice(**changes: Any) -> Principal:
    facts: dict[str, Any] = {
        "issuer": "laptop",
        "user_id": "alice",
        "agent_id": "coding-bot",
        "org": "acme",
        "roles": ("developer",),
        "scopes": ("read",),
    }
    return Principal(**{**facts, **changes})


def ask(
    held: Snapshot,
    action: str,
    resource: tuple[str, str],
    arguments: Mapping[str, Any] | None = None,
    *,
    who: Principal | None = None,
    attributes: Mapping[str, Any] | None = None,
    session: Session | None = None,
    now: datetime = NOON,
) -> Verdict:
    """The verdict on one call, through the one door."""
    query = Query(action, resource[0], resource[1], attributes or {}, arguments or {}, session or Session())
    digest = held.catalog_digest
    return decide(held, who or alice(), [query], Purpose.CALL, catalog_digest=digest, now=now)[0]


def read(held: Snapshot, path: str = "alice/a.txt", **more: Any) -> Verdict:
    """May alice, or `who`, read this file?"""
    return ask(held, "read_file", ("File", path), {"path": path}, **more)


def sees(held: Snapshot, action: str, who: Principal | None = None) -> bool:
    verdicts = decide(held, who or alice(), [Query(action)], Purpose.VISIBILITY, catalog_digest=held.catalog_digest)
    return verdicts[0].effect is not Effect.DENY


def _yaml(value: Any) -> str:
    text = json.dumps(value, indent=1, ensure_ascii=False)
    return "".join(c if c.isascii() and c != "\x7f" else f"\\U{ord(c):08x}" for c in text)
