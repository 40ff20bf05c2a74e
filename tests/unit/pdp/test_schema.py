"""Actions for every name that MCP allows, and groups that nobody can ask for."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sallyport.pdp.cedar_text import quote, statements, unquote
from sallyport.pdp.model import Effect, Session
from sallyport.pdp.schema import METHODS
from tests.support import policy_dir as sample
from tests.support.policy_dir import ask, sees, snapshot

NAMES = ["a-b", "a.b", "if", "1a", "write", "ping", "like", "in", "has", "true", "tools", "mcp", "Action", "_", "-", ".", "permit", "context", "read_only"]  # fmt: skip


@pytest.mark.parametrize("effect", ["read_only", "write", "destructive"])
def test_any_name_that_mcp_allows_is_an_action(effect: str) -> None:
    tools = [sample.tool(name, effect, input=sample.PATH, open_world=True) for name in NAMES]
    policy = f"""@id("g") forbid (principal, action in Action::"group:{effect}", resource)
    when {{ principal.agent_trust_level < 5 }};
    @id("o") @advice("o") forbid (principal, action in Action::"group:open_world", resource) when {{ principal.user_id == "bob" }};
    """ + "\n".join(
        f'@id({quote(name)}) forbid (principal, action == Action::{quote(name)}, resource) when {{ context.input.path == "no" }};'
        for name in NAMES
    )
    held = snapshot(tools=tools, policies={"x.cedar": policy})
    for name in NAMES:
        target = ("Tool", name)
        assert ask(held, name, target, {"path": "x"}).effect is Effect.PERMIT
        assert ask(held, name, target, {"path": "no"}).reasons == (name,)
        assert ask(held, name, target, {"path": "x"}, who=sample.alice(agent_id="chat-bot")).reasons == ("g",)
        assert ask(held, name, target, {"path": "x"}, who=sample.alice(user_id="bob")).reasons == ("o",)
        assert sees(held, name)
        assert not sees(held, name, sample.alice(agent_id="chat-bot"))


def test_each_tool_is_in_exactly_one_effect_group_and_an_empty_group_validates() -> None:
    held = snapshot(
        tools=[sample.tool("w", "write")],
        policies={
            "x.cedar": "\n".join(
                f'@id("{group}") forbid (principal, action in Action::"group:{group}", resource);'
                for group in ("read_only", "write", "destructive", "open_world", "call_tool", "mcp")
            )
        },
    )
    assert ask(held, "w", ("Tool", "w")).reasons == ("write", "call_tool", "mcp")
    assert ask(held, "tools/list", ("Server", "sallyport")).reasons == ("mcp",)


def test_a_method_of_the_server_is_an_action_on_the_server_alone() -> None:
    everything = {"permissions": ["tools:*", "resources:*", "prompts:*", "system:*"]}
    held = snapshot(roles={**sample.ROLES, "everything": everything})
    for method, row in METHODS.items():
        may = ask(held, method, ("Server", "sallyport"), who=sample.alice(roles=("everything",)))
        assert (may.effect is Effect.PERMIT) is ("Server" in row.on)
        assert ask(held, method, ("Server", "sallyport"), who=sample.alice(roles=())).effect is Effect.DENY


TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(TEXT, st.sampled_from(["string", "integer", "boolean"]), min_size=1, max_size=4), TEXT)
def test_a_property_of_any_name_is_typed_and_carried(properties: dict[str, str], value: str) -> None:
    given_input: dict[str, Any] = {"type": "object", "properties": {n: {"type": t} for n, t in properties.items()}}
    held = snapshot(tools=[sample.tool("t", input=given_input)], policies={"i.cedar": sample.ISOLATION})
    values: dict[str, Any] = {"string": value, "integer": 7, "boolean": True}
    arguments = {name: values[kind] for name, kind in properties.items()}
    assert ask(held, "t", ("Tool", "t"), json.loads(json.dumps(arguments))).effect is Effect.PERMIT


@given(st.text(st.characters(codec="utf-8")))
def test_a_quoted_name_is_one_token_and_means_itself(name: str) -> None:
    assert unquote(quote(name)) == name
    assert quote(name).isprintable()
    (statement,) = statements(f'x // ; " \n == A::{quote(name)};', "f")
    assert statement.find("A", "::", name) == (2, 5)


def test_a_base_schema_from_before_a_fact_was_known_still_loads_and_the_fact_is_not_sent() -> None:
    older = sample.BASE.replace(", call_count?: Long", "")
    held = sample.snapshot(base=older)
    assert sample.read(held, session=Session(call_count=3)).effect is Effect.PERMIT
    assert "Session" in sample.complaint(base=sample.BASE.replace("hour_utc: Long, ", ""))
    assert "Session" in sample.complaint(base=sample.BASE.replace("risk?: Long", "risk?: String"))
    assert "Session" in sample.complaint(base=sample.BASE.replace("risk?: Long", "mood?: Long"))
