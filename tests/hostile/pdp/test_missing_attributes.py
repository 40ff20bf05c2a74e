"""For every forbid, each attribute that it reads removed in turn: never a permit. Cedar itself would skip the forbid."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from functools import cache
from typing import Any, Final

import cedarpy
import pytest
from cedarpy import pst

from sallyport.pdp import world
from sallyport.pdp.decider import decide
from sallyport.pdp.engine import Prepared, prepare
from sallyport.pdp.load import load
from sallyport.pdp.model import Effect, ErrorCode, Principal, Purpose, Query, Session, Verdict
from sallyport.pdp.policy import Policy, nodes
from sallyport.pdp.room import Room
from sallyport.pdp.snapshot import Snapshot
from sallyport.runtime import mounted_dir
from tests.contract.pdp_service.running import POLICIES
from tests.support import policy_dir as sample

OPEN: Final = '\n@id("open") permit (principal, action, resource);\n'
REFERENCE: Final = """
@id("owner") forbid (principal, action == Action::"read_file", resource) when { resource.owner != principal.user_id };
@id("tenant") forbid (principal, action, resource is Table) unless { resource.org == principal.org };
@id("production") forbid (principal, action, resource is Table) when { resource.environment == "production" };
@id("trust") forbid (principal, action, resource) when { principal.agent_trust_level < 5 };
@id("scope") forbid (principal, action, resource) unless { principal.scopes.contains("read") };
@id("agent") forbid (principal, action, resource) when { principal.agent_id == "x" || principal.agent == Agent::"chat-bot" };
@id("person") forbid (principal, action, resource) when { principal.user == User::"[\\"laptop\\",\\"mallory\\"]" };
@id("risk") forbid (principal, action, resource) unless { context.session has risk && context.session.risk < 40 };
@id("place") forbid (principal, action, resource) unless { context.session has ip && context.session.ip.isInRange(ip("10.0.0.0/8")) };
@id("fresh") forbid (principal, action, resource) unless { context.session has mfa_age && context.session.mfa_age < duration("5m") };
@id("often") forbid (principal, action, resource) unless { context has session.call_count && context.session.call_count < 9 };
@id("hours") forbid (principal, action, resource) when { context.session.hour_utc < 6 || context.session.now < datetime("2020-01-01") };
@id("name") forbid (principal, action == Action::"read_file", resource) when { context.input.path like "*secret*" };
@id("table") forbid (principal, action == Action::"query", resource) when { resource.owner == "nobody" || context.input.path == "x" };
"""  # fmt: skip
TABLE: Final = {"orders": {"org": "acme", "environment": "staging", "owner": "alice"}}
RESOURCES: Final = {**sample.RESOURCES, "resources": {**sample.RESOURCES["resources"], "Table": TABLE}}
BASE: Final = sample.BASE.replace("owner?: String", "owner: String")
SESSION: Final = Session(ip="10.1.2.3", risk=3, mfa_age=60, call_count=1)


@cache
def reference() -> Snapshot:
    roles = {"developer": {"permissions": ["tools:*", "resources:*"]}}
    agents = {**sample.AGENTS, "coding-bot": {"trust_level": 8, "groups": ["coding"], "orgs": ["acme"]}}
    files = {"isolation.cedar": sample.ISOLATION, "reference.cedar": REFERENCE + OPEN}
    return sample.snapshot(policies=files, base=BASE, roles=roles, agents=agents, resources=RESOURCES)


@cache
def shipped() -> Snapshot:
    files = dict(mounted_dir.read(POLICIES).files)
    return load(sample.contents({**files, "zz_open.cedar": OPEN.encode()}))


CALLS: Final[Mapping[str, tuple[tuple[str, str, str, dict[str, Any]], ...]]] = {
    "reference": (
        ("read_file", "File", "alice/a", {"path": "alice/a"}),
        ("query", "Table", "orders", {"path": "orders"}),
        ("status", "Tool", "status", {}),
    ),
    "shipped": (
        ("read_file", "File", "alice/a", {"path": "alice/a"}),
        ("write_file", "File", "alice/a", {"path": "alice/a", "content": "x", "overwrite": True}),
        ("delete_file", "File", "alice/a", {"path": "alice/a"}),
        ("database_query", "Table", "orders", {"table": "orders", "limit": 1}),
        ("list_files", "Folder", "alice", {"path": "alice"}),
    ),
}
SETS: Final = {"reference": reference, "shipped": shipped}
ALICE: Final = sample.alice(scopes=("read",))
CASES: Final = [(name, number) for name, calls in CALLS.items() for number in range(len(calls))]


def asked(name: str, number: int) -> tuple[Snapshot, Query]:
    action, kind, identity, arguments = CALLS[name][number]
    return SETS[name](), Query(action, kind, identity, input=arguments, session=SESSION)


def verdict(held: Snapshot, query: Query, who: Principal = ALICE) -> Verdict:
    return decide(held, who, [query], Purpose.CALL, catalog_digest=held.catalog_digest, now=sample.NOON)[0]


def forbids(held: Snapshot, prepared: Prepared) -> Iterator[Policy]:
    reached = {rule.id for part in held.room.slices.parts(prepared.keys) for rule in part.rules}
    yield from (policy for policy in held.policies if policy.id in reached and not policy.permits)


def read_by(policy: Policy) -> Iterator[tuple[str, ...]]:
    """Every path that the policy reads: `principal.org` as (principal, org), `context has session.ip` with all parts."""
    for node in nodes(policy.node.clauses):
        if isinstance(node, pst.GetAttr | pst.HasAttr):
            steps = [node.attr] if isinstance(node, pst.GetAttr) else list(node.attrs)
            base = node.base
            while isinstance(base, pst.GetAttr):
                steps.insert(0, base.attr)
                base = base.base
            if isinstance(base, pst.Var):
                yield (base.name, *steps)


def without(prepared: Prepared, path: tuple[str, ...]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The request and the entities with that one attribute gone."""
    request, entities = json.loads(json.dumps(dict(prepared.request))), json.loads(str(prepared.world.handle))
    root, *between, last = path
    if root == "context":
        inner = request["context"]
        for name in between:
            inner = inner[name]
        inner.pop(last, None)
    else:
        for entity in entities:
            if world.uid_of(entity) == (request[root]["type"], request[root]["id"]):
                entity["attrs"].pop(last, None)
    return request, entities


def spelt_out(context: dict[str, Any]) -> dict[str, Any]:
    kinds = {"now": "datetime", "ip": "ip", "mfa_age": "duration"}
    session = {
        name: {"__extn": {"fn": kinds[name], "arg": value}} if name in kinds else value
        for name, value in context["session"].items()
    }
    return {**context, "session": session}


@pytest.mark.parametrize(("name", "number"), CASES)
def test_a_call_with_everything_there_is_permitted(name: str, number: int) -> None:
    """Else what follows would show nothing."""
    assert verdict(*asked(name, number)).effect is Effect.PERMIT


@pytest.mark.parametrize("checked", [True, False])
@pytest.mark.parametrize(("name", "number"), CASES)
def test_p3_no_permit_when_an_attribute_that_a_forbid_reads_is_gone(name: str, number: int, checked: bool) -> None:
    """In the room itself, with entities as nothing of ours would make them, under the schema and without one."""
    held, query = asked(name, number)
    prepared = prepare(held, ALICE, query, sample.NOON, whole=True)
    if not checked:  # no schema to say what is no mere text
        prepared = replace(prepared, request={**prepared.request, "context": spelt_out(prepared.request["context"])})
    room = Room(held.room.slices.rules, held.schema if checked else None)
    assert room.judge(prepared.request, prepared.keys, prepared.world).allowed
    removed = 0
    for policy in forbids(held, prepared):
        for path in set(read_by(policy)):
            request, entities = without(prepared, path)
            if (request, entities) == without(prepared, (path[0], "\0")):
                continue  # another type's attribute: it was never there
            handle = cedarpy.Entities.from_json_str(json.dumps(entities))  # Cedar never looks at a handle again
            try:
                allowed = room.judge(request, prepared.keys, world.World(handle, gaps=False)).allowed
            except ValueError:
                allowed = False
            assert not allowed, (policy.id, path)
            removed += 1
    assert removed >= 3


@pytest.mark.parametrize("fact", [field.name for field in fields(Session)])
@pytest.mark.parametrize("number", range(len(CALLS["reference"])))
def test_p3_no_permit_when_a_fact_of_the_session_is_unknown(number: int, fact: str) -> None:
    held, query = asked("reference", number)
    assert verdict(held, replace(query, session=replace(SESSION, **{fact: None}))).effect is Effect.DENY


@pytest.mark.parametrize(
    ("kind", "identity", "attribute"),
    [
        ("File", "alice/*", "org"),
        ("File", "alice/*", "owner"),
        *(("Table", "orders", name) for name in TABLE["orders"]),
    ],
)
def test_no_permit_when_resources_yaml_leaves_an_attribute_out(kind: str, identity: str, attribute: str) -> None:
    entry = dict(RESOURCES["resources"][kind][identity])
    stated = entry.pop(attribute)
    resources = {**RESOURCES, "resources": {**RESOURCES["resources"], kind: {identity: entry}}}
    held = sample.snapshot(policies={"open.cedar": OPEN}, base=BASE, resources=resources)
    action, name = ("read_file", "alice/a") if kind == "File" else ("query", "orders")
    query = Query(action, kind, name, input={"path": name}, session=SESSION)
    assert verdict(held, query).errors == (ErrorCode.UNKNOWN_RESOURCE,)
    # A resolver that adds it again is believed, one that adds another value or a wrong type isn't.
    assert verdict(held, replace(query, resource_attributes={attribute: stated})).effect is Effect.PERMIT
    wrongs: tuple[Any, ...] = (None, 1, [stated], {"__entity": {"type": "Org", "id": "acme"}})
    for wrong in wrongs:
        assert verdict(held, replace(query, resource_attributes={attribute: wrong})).effect is Effect.DENY


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"org": "initech"}, ErrorCode.UNKNOWN_ORG),
        ({"org": "globex"}, ErrorCode.ORG_ISOLATION),
        ({"agent_id": "stranger"}, ErrorCode.UNKNOWN_AGENT),
        ({"roles": ("developer", "root")}, ErrorCode.UNKNOWN_ROLE),
        ({"user_id": ""}, ErrorCode.INVALID_QUESTION),
        ({"issuer": ""}, ErrorCode.INVALID_QUESTION),
        ({"scopes": ()}, None),
        ({"agent_id": "chat-bot"}, None),
    ],
)
def test_no_permit_for_a_principal_of_whom_something_is_unknown(change: dict[str, Any], code: ErrorCode | None) -> None:
    for number in range(len(CALLS["reference"])):
        held, query = asked("reference", number)
        said = verdict(held, query, replace(ALICE, **change))
        assert (said.effect, said.errors) == (Effect.DENY, (code,) if code else ())


@pytest.mark.parametrize(("name", "number"), CASES)
def test_p3_no_permit_when_an_entity_that_is_referred_to_is_gone(name: str, number: int) -> None:
    """Each in turn; Cedar takes one that isn't there for one without attributes and parents."""
    held, query = asked(name, number)
    prepared = prepare(held, ALICE, query, sample.NOON)
    entities = json.loads(str(prepared.world.handle))
    roots = [(prepared.request[part]["type"], prepared.request[part]["id"]) for part in ("principal", "resource")]
    # Cedar's handle holds the schema's actions too, which no entity refers to.
    described = [entity for entity in entities if entity["uid"]["type"] != "Action"]
    assert world.missing(roots, described) == set()
    for gone in described:
        rest = [entity for entity in described if entity is not gone]
        assert world.missing(roots, rest) == {world.uid_of(gone)}
        seen = world.build(rest, held.room.schema, gaps=bool(world.missing(roots, rest)))
        assert not held.room.judge(prepared.request, prepared.keys, seen).allowed
