"""Generated policy sets and requests, and what Cedar says to them with every policy and the whole context.

The sets aren't validated: conditions fail at run time in every way that Cedar knows, more ways than load() would let in.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType
from typing import Any, Final

import cedarpy

from sallyport.pdp import agents, base_schema, json_schema, roles, rules, schema
from sallyport.pdp.agents import Agent
from sallyport.pdp.base_schema import BaseSchema
from sallyport.pdp.conditions import Conditions
from sallyport.pdp.engine import prepare
from sallyport.pdp.model import Principal, Query, Session
from sallyport.pdp.policy import Policy, parse
from sallyport.pdp.principals import Principals
from sallyport.pdp.reads import Reads
from sallyport.pdp.roles import Role
from sallyport.pdp.room import Room
from sallyport.pdp.rule import Rule
from sallyport.pdp.schema import Action
from sallyport.pdp.snapshot import Snapshot
from sallyport.runtime.problems import Problem
from tests.support import policy_dir as sample
from tests.support.policy_dir import alice, snapshot

ALICE: Final = '"[\\"laptop\\",\\"alice\\",\\"coding-bot\\"]"'
INPUT: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "path": {"type": "string"},
        "count": {"type": "integer"},
        "flag": {"type": "boolean"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "nested": {"type": "object", "additionalProperties": False, "properties": {"a": {"type": "integer"}}},
    },
}
BOUNDED: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["text"],
    "properties": {
        "text": {"type": "string", "maxLength": 20_000},
        "count": {"type": "integer", "minimum": -(2**53 - 1), "maximum": 2**53 - 1},
        "flag": {"type": "boolean"},
    },
}
FILE: Final = [{"type": "File", "id": "/path"}]
TOOLS: Final = [
    sample.tool("read_file", resources=FILE, input=INPUT),
    sample.tool("write_file", "write", resources=FILE, input=INPUT, open_world=True),
    sample.tool("query", resources=[{"type": "Table", "id": "/path"}], input=INPUT),
    sample.tool("both", "destructive", resources=[*FILE, {"type": "Table", "id": "/path"}], input=INPUT),
    sample.tool("status", input=INPUT),
    sample.tool("plain", "write", input={"type": "object", "additionalProperties": False}),
    sample.tool("typed", input=BOUNDED),
    sample.tool("dated", input=BOUNDED, required_context=["mfa_age"]),
]
PRINCIPALS: Final = (
    *["principal"] * 3,
    "principal is Compound",
    "principal is User",
    f"principal == Compound::{ALICE}",
    f"principal in Compound::{ALICE}",
    f"principal is Compound in Compound::{ALICE}",
    'principal in User::"[\\"laptop\\",\\"alice\\"]"',
    'principal == User::"[\\"laptop\\",\\"alice\\"]"',
    'principal is Compound in User::"[\\"laptop\\",\\"bob\\"]"',
    'principal is Role in Role::"developer"',
    'principal in Role::"user"',
    'principal in Role::"guest"',
    'principal is Compound in Role::"developer"',
    'principal in Agent::"coding-bot"',
    'principal in AgentGroup::"chat"',
    'principal in Org::"acme"',
)
ACTIONS: Final = (
    *["action"] * 2,
    'action == Action::"read_file"',
    'action == Action::"both"',
    'action == Action::"tools/list"',
    'action in Action::"read_file"',
    'action in Action::"group:read_only"',
    'action in Action::"group:mcp"',
    'action in [Action::"read_file", Action::"group:read_only", Action::"group:call_tool"]',
    'action in [Action::"status", Action::"status", Action::"group:open_world"]',
    'action in [Action::"both", Action::"query", Action::"tools/list"]',
)
RESOURCES: Final = (
    *["resource"] * 3,
    "resource is File",
    "resource is Table",
    "resource is Tool",
    'resource == File::"alice/a"',
    'resource in File::"alice/a"',
    'resource is File in File::"alice/a"',
    'resource is Table in File::"alice/a"',
    'resource == Table::"orders"',
    'resource == Tool::"status"',
    'resource in Server::"sallyport"',
)
# Nothing, or the rest of the policy after its scope. Half of them fail for some requests.
CONDITIONS: Final = (
    *[""] * 4,
    "when { true }",
    "when { false }",
    "when { principal.agent_trust_level * 9223372036854775807 > 0 }",
    'when { principal.agent_trust_level >= 5 } unless { principal in Role::"guest" }',
    'unless { principal.scopes.contains("read") || principal.agent_trust_level < 3 }',
    "when { resource.owner == principal.user_id }",
    "when { resource has owner && resource.owner == principal.user_id }",
    "unless { resource.org == principal.org }",
    "when { resource.orgs.contains(principal.org) }",
    "when { context.session.hour_utc >= 9 }",
    "when { context.session.risk > 50 }",
    "when { context.session has risk && context.session.risk > 50 }",
    "when { context has session.risk && context.session.risk * 9223372036854775807 > 0 }",
    "unless { context has session.ip }",
    'when { context.session.ip.isInRange(ip("10.0.0.0/8")) }',
    'when { context.session has ip } unless { ip("10.1.2.3") == context.session.ip }',
    'when { context.session.now > datetime("2026-01-01") }',
    'when { context.session has mfa_age && context.session.mfa_age < duration("5m") }',
    "when { context has input }",
    "when { context has nothing }",
    "when { context has nothing.at }",
    'when { context.input.path like "alice/*" }',
    "when { context.input has count && context.input.count + 9223372036854775807 > 0 }",
    "when { context.input.count < 10 }",
    "when { context has input.nested.a && context.input.nested.a == 1 }",
    "when { context.input.nested has a }",
    "when { context.input.nested == {a: 1} }",
    'when { context.input has tags && context.input.tags.contains("x") }',
    'when { context.input.tags.containsAny(["x", context.input.path]) }',
    "when { context == {} }",
    "unless { context == context }",
    'when { context.input == {path: "alice/a"} }',
    'when { [context.input, {path: "orders"}].contains({path: "orders"}) }',
    "when { {whole: context}.whole.session.hour_utc == 12 }",
    "when { {part: context.session}.part has risk }",
    "when { [context.input.path, resource].contains(resource) }",
    'when { (if context.session has risk then context.input else {path: "x"}) has count }',
    "when { (if resource is File then context else context).session.hour_utc > 3 }",
    "when { (if context.input has flag then context.input.flag else false) }",
    "when { context.input.flag } unless { context.session.call_count > 3 }",
    'when { context["session"]["risk"] < 90 }',
    "when { resource in context.input }",
    'when { Table::"orders".environment == "staging" }',
    'when { action in Action::"group:read_only" && resource is File }',
    "when { principal == resource || context.input.count.isEmpty() }",
)  # fmt: skip
TARGETS: Final = (
    ("read_file", "File", "alice/a"),
    ("read_file", "File", "alice/b"),
    ("write_file", "File", "alice/a"),
    ("query", "Table", "orders"),
    ("both", "File", "alice/a"),
    ("both", "Table", "orders"),
    ("status", "Tool", "status"),
    ("tools/list", "Server", "sallyport"),
)
WHO: Final = (
    alice(),
    alice(roles=("user", "guest"), scopes=()),
    alice(agent_id="chat-bot"),
    alice(user_id="bob", roles=()),
)
SESSIONS: Final = (
    Session(),
    Session(risk=60),
    Session(ip="10.1.2.3", risk=3, mfa_age=60),
    Session(ip="::1", mfa_age=6000, call_count=7),
)
INPUTS: Final[tuple[dict[str, Any], ...]] = (
    {"path": "alice/a"},
    {"path": "orders", "count": 3, "flag": True},
    {"path": "alice/b", "tags": ["x", "y"], "nested": {"a": 1}},
    {"count": 11, "flag": False, "tags": [], "nested": {}},
)


def statement(number: int, choose: random.Random) -> str:
    scope = f"{choose.choice(PRINCIPALS)}, {choose.choice(ACTIONS)}, {choose.choice(RESOURCES)}"
    effect = choose.choice(("permit", "permit", "forbid"))
    return f'@id("p{number}") {effect} ({scope}) {choose.choice(CONDITIONS)};'


@cache
def pool() -> tuple[Policy, ...]:
    """Parsed once: sets are drawn from it."""
    choose = random.Random(4)
    return policies_of("\n".join(statement(number, choose) for number in range(900)))


def policy_set(choose: random.Random, most: int = 32) -> Snapshot:
    return held(choose.sample(pool(), choose.randint(1, most)))


def queries(choose: random.Random, count: int) -> Iterator[tuple[Principal, Query]]:
    for _ in range(count):
        action, kind, name = choose.choice(TARGETS)
        query = Query(action, kind, name, input=choose.choice(INPUTS), session=choose.choice(SESSIONS))
        yield choose.choice(WHO), query


@cache
def base() -> Snapshot:
    return snapshot(tools=TOOLS)


@cache
def typed() -> tuple[BaseSchema, dict[str, Action]]:
    model = base_schema.read(sample.BASE)
    tools = base().catalog.tools
    inputs = {tool.name: json_schema.record_type(tool.input) for tool in tools}
    return model, schema.actions(model, inputs, base().catalog)


@cache
def known() -> tuple[dict[str, Role], Mapping[str, Agent], frozenset[str]]:
    files, orgs = sample.files(), frozenset(sample.RESOURCES["orgs"])
    names = [tool.name for tool in base().catalog.tools]
    return roles.load(files[roles.FILE], typed()[0], names), agents.load(files[agents.FILE], orgs), orgs


def policies_of(text: str) -> tuple[Policy, ...]:
    problems: list[Problem] = []
    found = tuple(parse(text, "generated.cedar", problems))
    assert not problems, problems
    return found


def held(policies: Sequence[Policy]) -> Snapshot:
    """The sample directory with these policies instead of its own, as load() puts a snapshot together."""
    model, actions = typed()
    conditions, reads = Conditions(), Reads()
    made = []
    for policy in policies:
        reads.enter(policy)
        made.append(Rule.of(policy, conditions.conjuncts(policy)))
    asked = rules.build(actions, frozenset(sample.RESOURCES["orgs"]), reads)
    narrow = schema.text(model, actions, {name: action.context for name, action in asked.items()})
    return replace(
        base(),
        principals=Principals(*known()),  # what they remember is of one set of conditions
        policies=tuple(policies),
        room=Room(made, cedarpy.Schema.from_str(narrow)),
        rules=MappingProxyType(asked),
        conditions=conditions,
        named=frozenset(reads.named),
        seen={},
    )


@dataclass(frozen=True, slots=True)
class Said:
    """What was decided, and which policies decided or failed."""

    decision: str
    reasons: frozenset[str] = frozenset()
    failed: frozenset[str] = frozenset()


def sliced(held: Snapshot, who: Principal, query: Query) -> Said:
    """By the room, with a slice of the policies and the part of the context that they read."""
    prepared = prepare(held, who, query, sample.NOON)
    judged = held.room.judge(prepared.request, prepared.keys, prepared.world)
    if judged.invalid:
        return Said("invalid")
    reasons, failed = ({rule.id for rule in rules} for rules in (judged.reasons, judged.failed))
    return Said("allow" if judged.allowed else "deny", frozenset(reasons), frozenset(failed))


def unsliced(held: Snapshot, whole: cedarpy.PolicySet, who: Principal, query: Query) -> Said:
    """By Cedar itself, with every policy and all of the context under the full schema; an error is a denial."""
    prepared = prepare(held, who, query, sample.NOON, whole=True)
    result = cedarpy.is_authorized(dict(prepared.request), whole, prepared.world.handle, held.schema)
    if result.decision is cedarpy.Decision.NoDecision:
        return Said("invalid")
    failed = frozenset(held.policies[number_in(text)].id for text in result.diagnostics.errors)
    reasons = frozenset(held.policies[number_in(text)].id for text in result.diagnostics.reasons)
    allowed = result.decision is cedarpy.Decision.Allow and not failed
    return Said("allow" if allowed else "deny", reasons, failed)


def number_in(text: str) -> int:
    """`policy3`, or an error about it: "… while evaluating policy `policy3`: …"."""
    return int(text.removeprefix("error while evaluating policy `").removeprefix("policy").split("`")[0])


def whole(held: Snapshot) -> cedarpy.PolicySet:
    return cedarpy.PolicySet.from_str("\n".join(policy.statement.text for policy in held.policies))
