"""What is hidden can't be called: listing and calling follow one rule."""

from __future__ import annotations

from functools import cache
from typing import Any

import cedarpy
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sallyport.pdp.decider import decide
from sallyport.pdp.engine import prepare
from sallyport.pdp.model import Effect, ErrorCode, Principal, Purpose, Query, Session
from sallyport.pdp.snapshot import Snapshot
from sallyport.runtime.problems import ConfigError
from tests.support import policy_dir as sample
from tests.support.policy_dir import alice, ask, sees, snapshot


def policy(text: str) -> dict[str, str]:
    return {**sample.POLICIES, "x.cedar": text}


ALL = '@id("all") permit (principal, action, resource);'


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("", True),
        ('@id("f") forbid (principal, action == Action::"read_file", resource);', False),
        ('@id("f") forbid (principal, action in Action::"group:read_only", resource is File);', False),
        ('@id("f") forbid (principal in Role::"user", action, resource);', False),
        ('@id("f") forbid (principal in AgentGroup::"coding", action, resource);', False),
        ('@id("f") forbid (principal in Agent::"coding-bot", action, resource);', False),
        ('@id("f") forbid (principal is Compound, action, resource);', False),
        ('@id("f") forbid (principal, action, resource) when { principal.agent_trust_level > 7 };', False),
        ('@id("f") forbid (principal, action, resource) unless { principal.scopes.contains("write") };', False),
        ('@id("f") forbid (principal, action, resource) when { principal.agent_trust_level > 8 };', True),
        ('@id("f") forbid (principal in Agent::"chat-bot", action, resource);', True),
        ('@id("f") forbid (principal, action, resource == File::"alice/x");', True),
        ('@id("f") forbid (principal, action, resource is Table);', True),
        ('@id("f") forbid (principal, action, resource) when { context.session.hour_utc > 3 };', True),
        ('@id("f") forbid (principal, action in Action::"group:write", resource);', True),
    ],
)  # fmt: skip
def test_n9_a_forbid_hides_only_where_it_surely_matches(more: str, expected: bool) -> None:
    assert sees(snapshot(policies=policy(more) if more else sample.POLICIES), "read_file") is expected


@pytest.mark.parametrize(
    ("permit", "expected"),
    [
        ("principal, action, resource", True),
        ('principal, action == Action::"status", resource', False),
        ("principal, action, resource is Table", False),
        ("principal, action, resource is File", True),
        ('principal, action, resource == File::"nothing"', True),
        ('principal in Role::"guest", action, resource', False),
        ('principal in Role::"user", action, resource', True),
        ('principal == Compound::"[\\"laptop\\",\\"alice\\",\\"chat-bot\\"]", action, resource', False),
        ('principal == Compound::"[\\"laptop\\",\\"alice\\",\\"coding-bot\\"]", action, resource', True),
        ('principal in User::"[\\"laptop\\",\\"alice\\"]", action, resource', True),
        ('principal in User::"[\\"other\\",\\"alice\\"]", action, resource', False),
    ],
)
def test_n9_without_a_permit_that_may_match_a_tool_is_hidden(permit: str, expected: bool) -> None:
    held = snapshot(policies={"x.cedar": f'@id("p") permit ({permit});'})
    assert sees(held, "read_file") is expected


@pytest.mark.parametrize(
    ("text", "action", "target"),
    [
        ('permit (principal, action, resource) when { Table::"orders".environment == "staging" };', "query", ("Table", "orders")),
        ('permit (principal, action, resource == Table::"orders") when { Table::"orders".org == principal.org };', "query", ("Table", "orders")),
        ('permit (principal, action, resource); forbid (principal, action == Action::"status", resource) unless { Tool::"status".orgs.contains(principal.org) };', "status", ("Tool", "status")),
        ('permit (principal, action == Action::"query", resource) when { Action::"query" in Action::"group:read_only" };', "query", ("Table", "orders")),
    ],
)  # fmt: skip
def test_n9_a_condition_on_another_entity_hides_nothing_that_may_be_called(
    text: str, action: str, target: tuple[str, str]
) -> None:
    named = "\n".join(f'@id("p{n}") {part};' for n, part in enumerate(text.rstrip(";").split("; ")))
    held = snapshot(policies={"x.cedar": named})
    verdict = ask(held, action, target, {"path": "orders"})
    assert verdict.effect is Effect.DENY or sees(held, action)
    assert sees(held, action)


def test_n9_anothers_forbid_does_not_hide_this_tool() -> None:
    other = sample.tool("other")
    held = snapshot(
        tools=[*sample.TOOLS, other],
        policies=policy(ALL + '\n@id("f") forbid (principal, action, resource == Tool::"other");'),
    )
    assert sees(held, "status")
    assert not sees(held, "other")


@pytest.mark.parametrize(
    "changes",
    [
        {"roles": ()},
        {"roles": ("guest",)},
        {"roles": ("none",)},
        {"org": "x"},
        {"agent_id": "x"},
        {"user_id": "\ud800"},
    ],
)
def test_whom_the_gates_or_nobody_knows_sees_nothing(changes: dict[str, Any]) -> None:
    assert not sees(snapshot(), "read_file", alice(**changes))


def test_a_tool_of_another_org_is_hidden() -> None:
    held = snapshot(tools=[*sample.TOOLS[:3], {**sample.TOOLS[3], "orgs": ["globex"]}])
    assert not sees(held, "status")
    assert sees(held, "status", alice(org="globex"))


def test_unknown_names_and_groups_are_hidden_like_any_other() -> None:
    held = snapshot()
    names = ["nothing", "group:mcp", "", "x" * 128]
    verdicts = decide(held, alice(), [Query(n) for n in names], Purpose.VISIBILITY, catalog_digest=held.catalog_digest)
    assert {verdict.effect for verdict in verdicts} == {Effect.DENY}
    assert {verdict.errors for verdict in verdicts} == {(ErrorCode.UNKNOWN_ACTION,)}


@pytest.mark.parametrize("purpose", [Purpose.VISIBILITY, 0, 7])
def test_n15_no_purpose_but_a_call_is_answered_with_a_permit(purpose: Any) -> None:
    held = snapshot(policies=policy(ALL))
    verdicts = decide(held, alice(), [Query("status", "Tool", "status")], purpose, catalog_digest=held.catalog_digest)
    assert verdicts[0].effect is Effect.CONDITIONAL


PRINCIPALS = [
    "principal",
    'principal in Role::"user"',
    'principal in Role::"guest"',
    'principal in AgentGroup::"chat"',
    "principal is Compound",
    'principal is Compound in Agent::"coding-bot"',
    'principal == Compound::"[\\"laptop\\",\\"alice\\",\\"coding-bot\\"]"',
]
ACTIONS = [
    "action",
    'action == Action::"read_file"',
    'action in Action::"group:read_only"',
    'action in [Action::"status", Action::"group:write"]',
    'action == Action::"tools/list"',
    'action in [Action::"tasks/get", Action::"prompts/get"]',
]
RESOURCES = [
    "resource",
    "resource is File",
    "resource is Tool",
    'resource == Tool::"status"',
    'resource == Prompt::"greet"',
    'resource == File::"alice/b"',
]
CONDITIONS = [
    "",
    "when { principal.agent_trust_level >= 5 }",
    "when { principal.agent_trust_level * 4611686018427387904 > 0 }",
    'unless { principal.scopes.contains("read") }',
    'when { principal in Role::"developer" } unless { context.session.hour_utc < 9 }',
    "when { context.session has risk }",
    "when { true }",
    "when { false }",
    'when { action == Action::"read_file" }',
    'when { Action::"read_file" in Action::"group:read_only" }',
    'unless { Tool::"status".orgs.contains(principal.org) }',
    "when { resource is File }",
]
CONDITION = st.sampled_from(CONDITIONS)
EVERYTHING = ("permit", "principal", "action", "resource", "")
POLICY = st.tuples(st.sampled_from(["permit", "permit", "forbid"]), st.sampled_from(PRINCIPALS), st.sampled_from(ACTIONS), st.sampled_from(RESOURCES), CONDITION)  # fmt: skip
WHO = st.builds(
    alice,
    agent_id=st.sampled_from(["coding-bot", "chat-bot"]),
    org=st.sampled_from(["acme", "globex"]),
    roles=st.sets(st.sampled_from(["user", "developer", "guest"])).map(lambda names: tuple(sorted(names))),
    scopes=st.sampled_from([(), ("read",)]),
)
BOTH = sample.tool(
    "both", resources=[{"type": "File", "id": "/path"}, {"type": "Table", "id": "/path"}], input=sample.PATH
)
TARGETS = [
    ("both", ("File", "alice/a")),
    ("both", ("Table", "orders")),
    ("read_file", ("File", "alice/a")),
    ("read_file", ("File", "alice/b")),
    ("write_file", ("File", "alice/a")),
    ("query", ("Table", "orders")),
    ("status", ("Tool", "status")),
    ("tools/list", ("Server", "sallyport")),
    ("tasks/get", ("Tool", "status")),
    ("tasks/get", ("Tool", "query")),
    ("prompts/get", ("Prompt", "greet")),
    ("prompts/get", ("Prompt", "draft")),
]
SURFACES = {
    "upstreams": {"far": {"url": "https://far.example/mcp"}},
    "prompts": [{"name": name, "upstream": "far"} for name in ("greet", "draft")],
}


@cache
def accepted(effect: str, principal: str, action: str, resource: str, condition: str) -> bool:
    """Cedar refuses a policy that no action can ever satisfy; those are left out."""
    text = f'@id("p") {effect} ({principal}, {action}, {resource}) {condition};'
    try:
        snapshot(policies={"x.cedar": text}, tools=[*sample.TOOLS, BOTH], surfaces=SURFACES)
    except ConfigError:
        return False
    return True


def held_for(policies: list[tuple[str, str, str, str, str]]) -> Snapshot:
    usable = [parts for parts in policies if accepted(*parts)]
    texts = [f'@id("p{n}") {e} ({p}, {a}, {r}) {c};' for n, (e, p, a, r, c) in enumerate(usable)]
    ip = '@id("last") forbid (principal, action, resource) when { context.session has ip };'
    return snapshot(policies={"x.cedar": "\n".join([*texts, ip])}, tools=[*sample.TOOLS, BOTH], surfaces=SURFACES)


def unsliced(
    held: Snapshot, action: str, target: tuple[str, str], who: Principal, risk: int | None
) -> tuple[bool, set[str]]:
    """What Cedar says to the same request with every policy there is."""
    query = Query(action, *target, input={"path": target[1]}, session=Session(risk=risk))
    prepared = prepare(held, who, query, sample.NOON, whole=True)
    everything = "\n".join(policy.statement.text for policy in held.policies)
    result = cedarpy.is_authorized(dict(prepared.request), everything, prepared.world.handle, held.schema)
    numbers = [int(reason.removeprefix("policy")) for reason in result.diagnostics.reasons]
    return result.allowed, {held.policies[number].id for number in numbers}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(POLICY, min_size=1, max_size=5), WHO, st.sampled_from([None, 5]))
@example([EVERYTHING], alice(), None)
@example([EVERYTHING, ("forbid", "principal", "action", "resource is File", "")], alice(), None)
@example([EVERYTHING, ("forbid", "principal", "action", RESOURCES[-1], CONDITIONS[2])], alice(), None)
def test_n9_whatever_is_permitted_was_visible(
    policies: list[tuple[str, str, str, str, str]], who: Principal, risk: int | None
) -> None:
    held = held_for(policies)
    for action, target in TARGETS:
        verdict = ask(held, action, target, {"path": target[1]}, who=who, session=Session(risk=risk))
        assert verdict.effect is Effect.DENY or sees(held, action, who)
        if not verdict.errors:
            assert (verdict.effect is Effect.PERMIT, set(verdict.reasons)) == unsliced(held, action, target, who, risk)


def test_a_tool_that_a_missing_scope_alone_forbids_is_seen_and_the_denial_names_the_scope() -> None:
    """Hidden, nobody would ever learn which scope to ask for."""
    forbid = '@id("scope") @scope("mcp:write") forbid (principal, action == Action::"read_file", resource)'
    held = snapshot(policies=policy(f'{forbid} unless {{ principal.scopes.contains("mcp:write") }};'))
    assert sees(held, "read_file")
    denied = sample.read(held)
    assert (denied.effect, denied.reasons, denied.scopes) == (Effect.DENY, ("scope",), ("mcp:write",))
    assert sample.read(held, who=alice(scopes=("mcp:write",))).effect is Effect.PERMIT


def test_a_scope_is_named_only_where_it_would_help_and_only_to_whoever_sees_the_tool() -> None:
    scoped = (
        '@id("scope") @scope("a b") forbid (principal, action == Action::"read_file", resource)'
        ' unless { principal.scopes.containsAll(["a", "b"]) };'
    )
    other = '@id("other") forbid (principal, action == Action::"read_file", resource == File::"alice/a.txt");'
    assert sample.read(snapshot(policies=policy(scoped))).scopes == ("a", "b")
    assert sample.read(snapshot(policies=policy(scoped + other))).scopes == ()
    assert sample.read(snapshot(policies=policy(scoped)), who=alice(roles=("guest",))).scopes == ()


def test_no_scope_is_named_where_it_would_be_asked_for_in_vain() -> None:
    """With the scope the forbid is gone, and still no permit matches: somebody else's file."""
    forbid = '@id("scope") @scope("mcp:read") forbid (principal, action == Action::"read_file", resource)'
    held = snapshot(policies=policy(f'{forbid} unless {{ principal.scopes.contains("mcp:read") }};'))
    theirs = alice(user_id="eve")
    assert sees(held, "read_file", theirs)
    assert (sample.read(held, who=theirs).effect, sample.read(held, who=theirs).scopes) == (Effect.DENY, ())
    assert sample.read(held).scopes == ("mcp:read",)
