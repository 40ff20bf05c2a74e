"""Whatever comes in, a verdict comes out, and no permit by way of an error."""

from __future__ import annotations

from functools import cache
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sallyport.pdp.model import Effect, Principal, Session, Verdict
from sallyport.pdp.snapshot import Snapshot
from tests.support import policy_dir as sample
from tests.support.policy_dir import alice, ask, sees, snapshot

TEXT = st.text(max_size=20)  # lone surrogates too
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT | st.sampled_from(["__entity", "__extn", "type", "id"]), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
NAMES = ["text", "count", "flag", "money", "tags", "nested", "items", "free"]
INPUT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "count": {"type": "integer"},
        "flag": {"type": "boolean"},
        "money": {"type": "number", "minimum": 0, "maximum": 1000, "multipleOf": 0.01},
        "tags": {"type": "array", "items": {"type": "string"}},
        "nested": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
        "items": {
            "type": "array",
            "items": {"type": "object", "additionalProperties": False, "properties": {"type": {"type": "string"}, "id": {"type": "string"}}},
        },
        "free": {},
    },
}  # fmt: skip
POLICIES = """
@id("few") permit (principal, action == Action::"fuzz", resource) when { context.input has count && context.input.count < 10 };
@id("sum") forbid (principal, action == Action::"fuzz", resource) when { context.input has count && context.input.count + 1 > 5 };
@id("tag") forbid (principal, action == Action::"fuzz", resource) when { context.input has tags && context.input.tags.contains("no") };
@id("own") permit (principal, action == Action::"touch", resource) when { resource.owner == principal.user_id };
"""
ARGUMENTS = st.dictionaries(st.sampled_from(NAMES) | TEXT, JSON, max_size=8)


@cache
def held() -> Snapshot:
    tools = [sample.tool("fuzz", "write", input=INPUT), sample.tool("touch", resources=[{"type": "File", "id": "/p"}])]
    roles = {"r": {"permissions": ["tools:call:touch", "resources:read"]}, "w": {"permissions": ["resources:write", "tools:call:fuzz"]}}  # fmt: skip
    policies = POLICIES + '@id("gone") forbid (principal, action == Action::"fuzz", resource);'
    return snapshot(tools=tools, roles=roles, policies={"x.cedar": policies})


def sound(verdict: Verdict) -> bool:
    return verdict.effect is Effect.DENY or (not verdict.errors and bool(verdict.reasons))


@settings(max_examples=100, deadline=None)
@given(ARGUMENTS)
def test_arguments_of_any_shape_get_a_verdict(arguments: dict[str, Any]) -> None:
    verdict = ask(held(), "fuzz", ("Tool", "fuzz"), arguments, who=alice(roles=("w",)))
    assert verdict.effect is Effect.DENY  # by "gone", or before
    assert verdict.errors or "gone" in verdict.reasons


@settings(max_examples=80, deadline=None)
@given(
    st.text(max_size=30) | st.just("alice/x"),
    st.dictionaries(st.sampled_from(["org", "owner"]) | TEXT, JSON, max_size=3),
)
def test_resources_of_any_name_and_attributes_get_a_verdict(name: str, attributes: dict[str, Any]) -> None:
    verdict = ask(held(), "touch", ("File", name), {}, who=alice(roles=("r",)), attributes=attributes)
    assert sound(verdict)
    if verdict.effect is Effect.PERMIT:
        assert name.startswith("alice/") or attributes == {"org": "acme", "owner": "alice"}


@settings(max_examples=80, deadline=None)
@given(TEXT, TEXT, TEXT, st.sampled_from(["acme", "globex", "Acme", ""]), st.lists(TEXT | st.just("r"), max_size=3))
def test_a_principal_of_any_name_gets_what_its_parts_allow(
    issuer: str, user: str, scope: str, org: str, roles: list[str]
) -> None:
    who = Principal(issuer, user, "coding-bot", org, tuple(roles), (scope,))
    verdict = ask(held(), "touch", ("File", "alice/x"), {}, who=who)
    assert sound(verdict)
    if verdict.effect is Effect.PERMIT:
        assert (user, org, set(roles)) == ("alice", "acme", {"r"})
        assert sees(held(), "touch", who)


@settings(max_examples=100, deadline=None)
@given(TEXT, st.integers(), st.integers())
def test_a_session_of_any_facts_gets_a_verdict(ip: str, risk: int, age: int) -> None:
    who = alice(roles=("r",))
    assert sound(ask(held(), "touch", ("File", "alice/x"), {}, who=who, session=Session(ip, risk, age)))
    assert sound(ask(held(), "touch", ("File", "alice/x"), {}, who=who, session=Session(None, risk, age)))
