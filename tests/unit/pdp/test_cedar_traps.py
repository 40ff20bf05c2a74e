"""What Cedar lets pass in silence, and we don't."""

from __future__ import annotations

import json
import re
from typing import Any

import cedarpy
import pytest

from sallyport.pdp.model import Effect, ErrorCode, Session
from sallyport.pdp.snapshot import Snapshot
from tests.support import policy_dir as sample
from tests.support.policy_dir import alice, read, snapshot

OVERFLOW = """@id("overflow") forbid (principal, action, resource)
when { principal.agent_trust_level * 9223372036854775807 > 0 };"""
FORBIDS = """
@id("f.trust") forbid (principal, action, resource) when { principal.agent_trust_level < 5 };
@id("f.owner") forbid (principal, action == Action::"read_file", resource) when { resource.owner != principal.user_id };
@id("f.org") forbid (principal, action == Action::"read_file", resource) when { resource.org != principal.org };
@id("f.scope") forbid (principal, action, resource) unless { principal.scopes.contains("read") };
@id("f.agent") forbid (principal, action, resource) when { principal.agent_id == "x" || principal.agent == Agent::"chat-bot" };
@id("f.hour") forbid (principal, action, resource) when { context.session.hour_utc < 6 };
@id("f.now") forbid (principal, action, resource) when { context.session.now < datetime("2020-01-01") };
@id("f.path") forbid (principal, action == Action::"read_file", resource) when { context.input.path like "*secret*" };
"""
OPEN = '@id("open") permit (principal, action, resource);'


def everything(more: str = "") -> Snapshot:
    return snapshot(policies={"open.cedar": OPEN, "forbids.cedar": FORBIDS, **({"more.cedar": more} if more else {})})


def test_a_forbid_that_fails_is_a_denial_and_is_named() -> None:
    """Cedar skips it, and would allow."""
    held = everything(OVERFLOW)
    verdict = read(held)
    assert (verdict.effect, verdict.errors, verdict.reasons) == (
        Effect.DENY,
        (ErrorCode.POLICY_ERROR,),
        ("overflow",),
    )
    assert not sample.sees(held, "read_file")


def test_a_permit_that_fails_beside_one_that_holds_is_a_denial() -> None:
    held = everything(
        '@id("p") permit (principal, action, resource) when { context.session.hour_utc * 9223372036854775807 > 0 };'
    )
    assert read(held).errors == (ErrorCode.POLICY_ERROR,)


class Spy:
    """Passes the engine's calls on, and keeps what it was given."""

    def __init__(self) -> None:
        self.request: dict[str, Any] = {}
        self.entities: Any = None
        self.schema: Any = None
        self.remove: tuple[str, ...] = ()

    def __call__(
        self, request: dict[str, Any], policies: Any, entities: Any, schema: Any = None
    ) -> cedarpy.AuthzResult:
        if schema is None:  # the conditions that ask of the principal alone
            return REAL(request, policies, entities)
        self.request, self.entities, self.schema = request, json.loads(str(entities)), schema
        if self.remove:
            request, entities = self._without(request)
        return REAL(request, policies, entities, schema)

    def _without(self, request: dict[str, Any]) -> tuple[dict[str, Any], cedarpy.Entities]:
        """One attribute gone, from an entity (first part its type) or from the context."""
        request, entities = json.loads(json.dumps(request)), list(self.entities)
        kind, *path, last = self.remove
        if kind == "context":
            part = request["context"]
            for name in path:
                part = part[name]
            del part[last]
        else:
            entities = [
                {**e, "attrs": {k: v for k, v in e["attrs"].items() if e["uid"]["type"] != kind or k != last}}
                for e in entities
            ]
        return request, cedarpy.Entities.from_json_str(json.dumps(entities))


REAL = cedarpy.is_authorized


GONE = [
    ("Compound", "agent_trust_level"),
    ("Compound", "user_id"),
    ("Compound", "org"),
    ("Compound", "scopes"),
    ("Compound", "agent_id"),
    ("Compound", "agent"),
    ("File", "owner"),
    ("File", "org"),
    ("context", "session", "hour_utc"),
    ("context", "session", "now"),
    ("context", "input", "path"),
    ("context", "input"),
    ("context", "session"),
]


@pytest.mark.parametrize("gone", GONE)
def test_no_permit_when_an_attribute_that_a_forbid_reads_is_gone(
    monkeypatch: pytest.MonkeyPatch, gone: tuple[str, ...]
) -> None:
    held, spy = everything(), Spy()
    assert read(held).effect is Effect.PERMIT
    monkeypatch.setattr(cedarpy, "is_authorized", spy)
    spy.remove = gone
    verdict = read(held)
    assert verdict.effect is Effect.DENY
    assert verdict.errors[0] in {ErrorCode.POLICY_ERROR, ErrorCode.INVALID_QUESTION}


def test_the_table_above_misses_no_attribute_that_a_forbid_reads() -> None:
    reads = set(re.findall(r"(?:principal|resource|session|input)\.(\w+)", FORBIDS))
    assert reads <= {gone[-1] for gone in GONE}


def test_principal_resource_and_all_that_they_refer_to_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    spy = Spy()
    held = everything()
    monkeypatch.setattr(cedarpy, "is_authorized", spy)
    for resource, action in (
        (("File", "alice/a.txt"), "read_file"),
        (("Tool", "status"), "status"),
        (("Server", "sallyport"), "tools/list"),
    ):
        assert sample.ask(held, action, resource, {"path": "alice/a.txt"}).effect is Effect.PERMIT
        present = {(e["uid"]["type"], e["uid"]["id"]) for e in spy.entities}
        text = json.dumps(spy.entities)
        named = {
            (t, json.loads(f'"{i}"')) for t, i in re.findall(r'{"type": "(\w+)", "id": "((?:[^"\\]|\\.)*)"}', text)
        }
        assert named <= present
        assert {(spy.request[k]["type"], spy.request[k]["id"]) for k in ("principal", "resource")} <= present
        assert {"Compound", "User", "Agent", "AgentGroup", "Role", "Org"} <= {kind for kind, _ in present}


def test_a_schema_is_passed_with_every_question(monkeypatch: pytest.MonkeyPatch) -> None:
    spy = Spy()
    held = everything()
    monkeypatch.setattr(cedarpy, "is_authorized", spy)
    read(held, session=Session(ip="::1"))
    assert spy.schema is held.room.schema is not None
    assert all(isinstance(spy.request[part], dict) for part in ("principal", "action", "resource"))


def test_an_agents_groups_and_a_users_roles_keep_apart() -> None:
    """A role is the user's alone: an agent named like a role opens nothing."""
    agents = {**sample.AGENTS, "developer": {"trust_level": 9, "groups": ["developer"], "orgs": "all"}}
    held = snapshot(agents=agents)
    assert read(held, who=alice(agent_id="developer", roles=())).reasons == ("role:gate:read_file",)
