"""No policy hangs on a property that never reaches it."""

from __future__ import annotations

from typing import Any

import pytest

from sallyport.pdp.model import Effect
from tests.support import policy_dir as sample
from tests.support.policy_dir import ask, complaint, snapshot

INPUT: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["to"],
    "properties": {
        "to": {"type": "string"},
        "any": {},
        "tags": {"type": "array", "items": {"type": "string"}},
        "place": {
            "type": "object",
            "additionalProperties": False,
            "required": ["city"],
            "properties": {"city": {"type": "string"}, "extra": {"type": ["string", "null"]}},
        },
        "whole": {"type": "object", "additionalProperties": False, "properties": {"a": {"type": "string"}}},
        "open": {"type": "object", "properties": {"a": {"type": "string"}}},
        "argv": {"type": "array", "uniqueItems": True, "items": {"type": "string"}},
        "rows": {"type": "array", "items": {"type": "array", "items": {"type": "string"}}},
    },
}
TOOLS = [*sample.TOOLS, sample.tool("send", "write", input=INPUT), sample.tool("post", "write", input=sample.PATH)]


def policies(condition: str, scope: str = 'action == Action::"send"') -> dict[str, str]:
    return {**sample.POLICIES, "x.cedar": f'@id("x")\nforbid (principal, {scope}, resource)\nwhen {{ {condition} }};'}


@pytest.mark.parametrize(
    "condition",
    [
        "context.input has any",
        "context.input has nothing",
        'context["input"] has "any"',
        "context has input.any",
        "context has input && context.input has any && context.input.any == 1",
        "!(context.input has any)",
        "context.input has place && context.input.place has extra",
        "context.input has place.extra",
        "context.input has open && context.input.open has b",
        "(if context.input has to then context.input else context.input) has any",
        "{a: context.input}.a has any",
        '(if context.input.to == "x" then {a: context.input} else {a: context.input}).a has any',
        "{a: {b: context}}.a.b.input has any",
        "[context.input has any].contains(true)",
        "{a: context.input has any}.a",
        "context has inputs",
        "context.session has nothing",
        "context.session has risk && context.input has risk",
        "context.session has any || context.input has place && context.input.place has now",
        "(if true then {a: context.session} else {a: context.session}).a has any",
        "context.input has whole.to",
        "context.input has whole.a && context.input has place.a",
        'context.input.to like "*" || context.input has any',
    ],
)  # fmt: skip
def test_a_property_that_never_reaches_a_policy_may_not_be_named(condition: str) -> None:
    told = complaint(tools=TOOLS, policies=policies(condition))
    assert "x.cedar:3:" in told
    assert "drop the condition" in told


@pytest.mark.parametrize(
    "condition",
    [
        'context.input has place && context.input.place == {city: "x"}',
        "context.input has open && {a: context.input.open} == {a: {}}",
        'context.input has place && [context.input.place].contains({city: "x"})',
        'context.input == {to: "x"}',
        '{city: "x"} == context.input.place',
        '{city: "x"} != context.input.place',
        '{a: [context.input.place]}.a == [{city: "x"}]',
        '(if principal.user_id == "x" then [context.input.place] else [context.input.place]) == [{city: "x"}]',
        '(if principal.user_id == "x" then {city: "x"} else context.input.place) == {city: "x"}',
        '(if principal.user_id == "x" then context.input.place else {city: "x"}) == {city: "x"}',
        '{a: [context.input.place]}.a.contains({city: "x"})',
        '[{city: "x"}].contains(context.input.place)',
        '[[{city: "x"}]].contains({a: [context.input.place]}.a)',
        '[context.input.place].containsAll([{city: "x"}])',
        '[context.input.place].containsAny([{city: "x"}])',
        '[{city: "x"}].containsAll([context.input.place])',
        '[{city: "x"}].containsAny([context.input.place])',
        '[{a: [[context.input.place]]}] == [{a: [[{city: "x"}]]}]',
        '{a: {b: [context.input.place]}}.a == {b: [{city: "x"}]}',
    ],
)  # fmt: skip
def test_an_object_that_loses_parts_on_the_way_may_not_be_compared(condition: str) -> None:
    guarded = condition if "has" in condition else f"context.input has place && {condition}"
    assert "compares an object" in complaint(tools=TOOLS, policies=policies(guarded))


@pytest.mark.parametrize(
    "condition",
    [
        'context.input.argv == ["rm", "-i", "old"]',
        '["rm", "-i", "old"] != context.input.argv',
        "context.input.argv == context.input.argv",
        '{a: context.input.argv} == {a: ["x"]}',
        '{a: context.input.argv}.a == ["x"]',
        '[context.input.argv].contains(["x"])',
        '[["x"]].contains(context.input.argv)',
        '(if principal.user_id == "x" then ["x"] else context.input.argv) == ["x"]',
        'context.input has rows && context.input.rows.contains(["x"])',
        'context.input has rows && context.input.rows.containsAny([["x"]])',
        'context.input has rows && [["x"]].containsAll(context.input.rows)',
    ],
)  # fmt: skip
def test_an_array_may_not_be_compared_as_a_whole(condition: str) -> None:
    """Its order and its repetitions are lost: `rm -i old` and `old -i rm` are one set."""
    told = complaint(tools=TOOLS, policies=policies(f"context.input has argv && {condition}"))
    assert "compares an array of send" in told
    assert "containsAll" in told


@pytest.mark.parametrize(
    "condition",
    [
        'context.input.to == "x"',
        "context.input has whole && context.input.whole has a",
        "context.input has whole && context.input.whole == context.input.whole",
        'context.input has tags && context.input.tags.contains("x")',
        "context.input has place.city",
        'context.input has place && context.input.place.city == "x"',
        "context.session has risk && context.session.risk > 5",
        'context.input has argv && context.input.argv.containsAll(["x"]) && !context.input.argv.isEmpty()',
        "context.input has argv && context.input has tags && context.input.argv.containsAny(context.input.tags)",
        '[context.input.to] == ["x"] && ["x", "y"].contains(context.input.to) && {a: [context.input.to]}.a == ["x"]',
        "context.input has whole && [context.input.whole].contains(context.input.whole)",
        'resource.orgs.contains(principal.org) && principal.user_id == "x"',
    ],
)  # fmt: skip
def test_what_is_typed_may_be_named(condition: str) -> None:
    snapshot(tools=TOOLS, policies=policies(condition))


def test_a_group_policy_may_ask_for_what_only_some_tools_have() -> None:
    """The others are closed, so for them `has` is false in truth, not by omission."""
    condition = 'context has input && context.input has path && context.input.path == "secret"'
    held = snapshot(tools=TOOLS, policies=policies(condition, 'action in Action::"group:write"'))
    assert ask(held, "post", ("Tool", "post"), {"path": "secret"}).reasons == ("x",)
    assert ask(held, "post", ("Tool", "post"), {"path": "other"}).effect is Effect.PERMIT
    assert ask(held, "send", ("Tool", "send"), {"to": "x"}).effect is Effect.PERMIT


def test_a_group_policy_may_not_ask_for_what_some_tool_takes_untyped() -> None:
    condition = "context has input && context.input has path"
    loose = sample.tool("loose", "write", input={"type": "object", "properties": {"p": {"type": "string"}}})
    told = complaint(tools=[*TOOLS, loose], policies=policies(condition, 'action in Action::"group:write"'))
    assert "loose" in told
    assert "additionalProperties: false" in told


def test_a_group_policy_may_not_ask_for_what_some_tool_leaves_out() -> None:
    condition = "context has input && context.input has path"
    other = {**sample.PATH, "properties": {"path": {"type": ["string", "null"]}}}
    told = complaint(
        tools=[*TOOLS, sample.tool("other", "write", input=other)],
        policies=policies(condition, 'action in Action::"group:write"'),
    )
    assert "no faithful Cedar type in the input of other" in told


def test_a_tool_that_leaves_its_arguments_untyped_is_called_all_the_same() -> None:
    held = snapshot(tools=[*TOOLS, sample.tool("loose", input={"type": "object"})])
    assert ask(held, "loose", ("Tool", "loose"), {"anything": [1.5, None]}).effect is Effect.PERMIT
