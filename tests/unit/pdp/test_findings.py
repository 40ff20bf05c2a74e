"""Every rule of `policy check` finds what it is for, at its place, and nothing in the shipped set."""

from __future__ import annotations

import random
from collections.abc import Mapping

import cedarpy
import pytest
from cedarpy import pst

from sallyport.cli import shipped
from sallyport.pdp.findings.finding import Finding
from sallyport.pdp.findings.fold import Types, fold
from sallyport.pdp.findings.mends import mend
from sallyport.pdp.findings.parts import read
from sallyport.pdp.findings.scopes import MOST_OPEN, open_policies
from sallyport.pdp.findings.table import RULES, findings
from sallyport.pdp.types import BOOL, LONG, STRING, Field, Record
from sallyport.runtime import mounted_dir
from sallyport.runtime.mounted_dir import Contents
from sallyport.runtime.problems import ConfigError

SHIPPED: Mapping[str, bytes] = mounted_dir.read(shipped.find()).files
READ = 'action == Action::"read_file"'
RISK = "(context.session has risk && context.session.risk > 50)"
CALLS = "(context.session has call_count && context.session.call_count > 9)"


def _with(mine: str = "", **replaced: tuple[str, str]) -> Contents:
    files = dict(SHIPPED)
    for name, (old, new) in replaced.items():
        text = files[f"{name}.yaml"].decode()
        assert old in text
        files[f"{name}.yaml"] = text.replace(old, new, 1).encode()
    return Contents({**files, **({"mine.cedar": mine.encode()} if mine else {})}, "0" * 64)


def _found(contents: Contents) -> list[Finding]:
    return list(findings(read(contents)))


def _policy(effect: str, scope: str, condition: str = "") -> str:
    return f'// first line\n@id("mine")\n{effect} ({scope})\n{condition};\n'


# Rule, what brings it about, where: line and column.
POLICIES = [
    ("never-applies", _policy("permit", f"principal, {READ}, resource", "when { false }"), (4, 8)),
    ("never-applies", _policy("permit", f"principal, {READ}, resource", "when { resource is Table }"), (4, 20)),
    ("never-applies", _policy("forbid", f"principal, {READ}, resource", "unless { true }"), (4, 10)),
    (
        "never-applies",
        _policy(
            "forbid",
            "principal, action, resource",
            "when { context.session.hour_utc >= 18 && context.session.hour_utc < 6 }",
        ),
        (4, 36),
    ),
    (
        "never-applies",
        _policy(
            "forbid",
            "principal, action, resource",
            "unless { context.session.hour_utc < 18 || context.session.hour_utc > 6 }",
        ),
        None,
    ),
    (
        "never-applies",
        _policy("permit", f"principal, {READ}, resource", 'when { resource.owner == "a" && "b" == resource.owner }'),
        None,
    ),
    (
        "asks-nothing",
        _policy("permit", f"principal, {READ}, resource", 'when { resource is File && resource.owner == "a" }'),
        (4, 20),
    ),
    ("asks-nothing", _policy("forbid", f"principal, {READ}, resource", "unless { resource is Table }"), None),
    (
        "disarmed",
        _policy(
            "forbid", "principal, action, resource", "when { context.session has risk && context.session.risk > 50 }"
        ),
        (4, 28),
    ),
    (
        "disarmed",
        _policy(
            "forbid",
            "principal, action, resource",
            "when { if context.session has risk then context.session.risk > 50 else false }",
        ),
        (4, 31),
    ),
    ("disarmed", _policy("forbid", f"principal, {READ}, resource", f"when {{ {RISK} || {CALLS} }}"), None),
    ("disarmed", _policy("forbid", f"principal, {READ}, resource", "unless { !(context.session has risk) }"), None),
    (
        "disarmed",
        _policy(
            "forbid", "principal, action, resource", "when { context has session.risk && context.session.risk > 50 }"
        ),
        None,
    ),
    (
        "open-scope",
        _policy("permit", "principal, action, resource", "when { principal.agent_trust_level > 9 }"),
        (3, 1),
    ),
    ("open-scope", _policy("permit", 'principal is Compound, action in Action::"group:mcp", resource'), (3, 1)),
    (
        "open-scope",
        _policy(
            "permit",
            'principal, action in [Action::"group:read_only", Action::"group:write", Action::"group:destructive"], resource',
        ),
        None,
    ),
    (
        "never-applies",
        _policy("permit", f"principal, {READ}, resource", "when { context.session.hour_utc > 23 }"),
        (4, 35),
    ),
    ("never-applies", _policy("forbid", f"principal, {READ}, resource", "when { 0 > context.session.hour_utc }"), None),
    (
        "never-applies",
        _policy(
            "forbid",
            f"principal, {READ}, resource",
            "unless { context.session has risk || 24 != context.session.hour_utc }",
        ),
        None,
    ),
    (
        "never-applies",
        _policy(
            "permit", f"principal, {READ}, resource", "when { context.session has risk && context.session.risk == 101 }"
        ),
        None,
    ),
    (
        "never-applies",
        _policy("forbid", f"principal, {READ}, resource", "unless { principal.agent_trust_level >= 0 }"),
        None,
    ),
    ("unknown-resource", _policy("forbid", 'principal, action, resource == Table::"salareis"'), (3, 40)),
    (
        "unknown-resource",
        _policy("forbid", f"principal, {READ}, resource", 'when { resource == File::"alice/../bob/x" }'),
        (4, 20),
    ),
    (
        "same-text",
        _policy(
            "forbid",
            'principal, action in Action::"group:write", resource',
            "unless { principal.agent_trust_level >= 5 }",
        ),
        (2, 2),
    ),
    ("overridden", _policy("forbid", 'principal, action == Action::"list_files", resource'), None),
    ("uncallable", _policy("forbid", 'principal, action == Action::"list_files", resource'), None),
]
FILES = [
    ("idle-role", {"roles": ("  guest:\n", "  ghost: {permissions: []}\n  guest:\n")}, "ghost"),
    ("idle-role", {"roles": ("  guest:\n", "  ghost: {in: [user], permissions: []}\n  guest:\n")}, "ghost"),
    ("idle-permission", {"roles": ('"resources:write"', '"resources:write", "tools:call:read_file"')}, "developer"),
    ("idle-permission", {"roles": ('"resources:write"', '"resources:write", "tools:call"')}, "developer"),
    ("idle-permission", {"roles": ('"resources:write"', '"resources:write", "resources:write"')}, "developer"),
    (
        "idle-entry",
        {
            "resources": (
                '    "bob/*": {org: acme, owner: bob}\n  Table',
                '    "bob/*": {org: acme, owner: bob}\n    "bob/a/*": {org: acme, owner: bob}\n  Table',
            )
        },
        "File::bob/a/*",
    ),
    (
        "deserted-org",
        {"resources": ("globex]", "globex, initech]"), "agents": ("orgs: all", "orgs: [acme, globex]")},
        "initech",
    ),
]


def test_the_shipped_set_has_no_finding() -> None:
    assert _found(_with()) == []


@pytest.mark.parametrize(("rule", "text", "place"), POLICIES)
def test_a_policy_that_cannot_be_meant_is_found_at_its_place(
    rule: str, text: str, place: tuple[int, int] | None
) -> None:
    found = [one for one in _found(_with(text)) if one.rule == rule]
    assert len(found) == 1
    assert found[0].mend
    assert place in {None, (found[0].line, found[0].column)}
    assert found[0].file in {"mine.cedar", "files.cedar", "catalog.yaml"}


@pytest.mark.parametrize(("rule", "replaced", "subject"), FILES)
def test_what_can_never_matter_in_the_other_files_is_found(
    rule: str, replaced: dict[str, tuple[str, str]], subject: str
) -> None:
    found = [one for one in _found(_with("", **replaced)) if one.rule == rule]
    assert [one.subject for one in found] == [subject]
    assert found[0].line
    assert found[0].mend


def test_a_tool_that_no_role_may_call_and_the_permits_for_it_are_found() -> None:
    roles = SHIPPED["roles.yaml"].decode().replace('"resources:write", ', "").replace('"resources:*", ', "")
    found = _found(Contents({**SHIPPED, "roles.yaml": roles.encode()}, "0" * 64))
    assert {(one.rule, one.subject) for one in found} == {
        ("uncallable", "write_file"),
        ("uncallable", "delete_file"),
        ("overridden", "files.change_own_file"),
    }


OFFERED = (
    b"upstreams: {crm: {url: https://crm.example/mcp}}\nprompts: [{name: greet, upstream: crm}]\n"
    b"resources: [{prefix: 'crm://', upstream: crm}]\n"
)


def test_what_upstreams_offer_and_nobody_can_ever_have_is_found() -> None:
    offered = {**SHIPPED, "catalog.yaml": SHIPPED["catalog.yaml"] + OFFERED}
    assert _found(Contents(offered, "0" * 64)) == []
    closed = SHIPPED["roles.yaml"].replace(b', "prompts:get"', b"").replace(b'"prompts:*", ', b"")
    wall = b'@id("wall") forbid (principal, action == Action::"resources/read", resource is McpResource);'
    found = _found(Contents({**offered, "roles.yaml": closed, "wall.cedar": wall}, "0" * 64))
    assert [(one.rule, one.subject) for one in found] == [("unreadable", "prompts"), ("unreadable", "resources")]
    assert ("role:gate:prompts/get" in found[0].message, "prompts:get" in found[0].mend) == (True, True)
    assert "wall" in found[1].message
    assert all(one.file == "catalog.yaml" and one.line > 1 for one in found)


def test_policies_that_every_request_must_look_at_are_counted_and_found_when_they_are_many() -> None:
    many = "".join(
        f'@id("m{number}") forbid (principal, {READ}, resource) unless {{ resource.owner != "u{number}" }};\n'
        for number in range(MOST_OPEN)
    )
    parts = read(_with(many))
    assert len(open_policies(parts)["read_file"]) == MOST_OPEN + 4
    (found,) = (one for one in findings(parts) if one.rule == "unbounded")
    assert f"looks at {MOST_OPEN + 4} policies" in found.message
    closed = many.replace("principal,", 'principal in Role::"guest",')
    assert not [one for one in _found(_with(closed)) if one.rule == "unbounded"]


def test_every_rule_is_tried_here() -> None:
    tried = {rule for rule, *_ in POLICIES} | {rule for rule, *_ in FILES} | {"unbounded", "unreadable"}
    assert tried == set(RULES)


@pytest.mark.parametrize(
    "mine",
    [
        _policy(
            "forbid",
            'principal, action in Action::"group:write", resource',
            "unless { context.session has risk && context.session.risk < 9 }",
        ),
        _policy(
            "forbid", "principal, action, resource is Table", 'when { resource has owner && resource.owner == "x" }'
        ),
        _policy("forbid", 'principal, action in Action::"group:open_world", resource'),
        _policy(
            "permit",
            f'principal in Role::"guest", {READ}, resource',
            'when { resource.owner == "x" || resource.owner == "y" }',
        ),
        _policy(
            "permit",
            f"principal, {READ}, resource",
            "when { context.session.hour_utc >= 9 && context.session.hour_utc <= 9 }",
        ),
        _policy(
            "forbid",
            f"principal, {READ}, resource",
            "when { context.session.hour_utc < 9 || context.session.hour_utc > 17 }",
        ),
        _policy("forbid", f"principal, {READ}, resource", f"unless {{ {RISK} }}"),
        _policy(
            "permit", f"principal, {READ}, resource", "when { context has session.risk && context.session.risk < 9 }"
        ),
        _policy(
            "permit",
            f"principal, {READ}, resource",
            "when { context.session.hour_utc >= 0 && context.session.hour_utc < 6 }",
        ),
        _policy("forbid", f"principal, {READ}, resource", f"when {{ !(context.session has risk) || {RISK} }}"),
        _policy("forbid", f"principal, {READ}, resource", f"when {{ {RISK} || principal.agent_trust_level < 5 }}"),
        _policy("permit", f"principal, {READ}, resource", "when { principal.agent_trust_level == 100 }"),
        _policy("forbid", 'principal in Role::"guest", action, resource == File::"alice/new.txt"'),
        _policy("forbid", 'principal, action, resource == Table::"salaries"'),
        _policy("permit", 'principal in Role::"admin", action in Action::"group:call_tool", resource'),
        _policy("permit", 'principal in Role::"guest", action == Action::"read_file", resource'),
        _policy("permit", 'principal, action in Action::"group:read_only", resource is File'),
        # Without a risk the one wall stands, so the other may speak of risks that are known.
        _policy("forbid", f"principal, {READ}, resource", "unless { context.session has risk }")
        + f'@id("more") forbid (principal, {READ}, resource) when {{ {RISK} }};',
    ],
)
def test_what_can_be_meant_is_left_alone(mine: str) -> None:
    assert _found(_with(mine)) == []


@pytest.mark.parametrize(
    ("condition", "word"),
    [
        ('resource.owner == "x"', "has owner"),
        ("context.session.risk > 5", "has risk"),
        ('resource is Table && resource.owner == "x"', "has owner"),
        ('!(resource has owner) || resource.owner == "x"', "has owner"),
        ('resource has class || resource.owner == "x"', "has owner"),
    ],
)
def test_a_forbid_on_an_optional_attribute_without_has_never_loads_and_the_mend_is_told(
    condition: str, word: str
) -> None:
    text = f'@id("mine") forbid (principal, action == Action::"describe_table", resource) when {{ {condition} }};'
    with pytest.raises(ConfigError) as refused:
        read(_with(text))
    assert [problem.subject for problem in refused.value.problems] == ["mine"]
    assert word in mend(refused.value.problems[0])


_ATTRIBUTES = Record(
    {"n": Field(LONG, True), "s": Field(STRING, True), "b": Field(BOOL, True), "o": Field(LONG, False)}
)
_BOUNDED: Mapping[pst.Expr, tuple[int, int]] = {pst.GetAttr(pst.Var("context"), "n"): (0, 3)}
_TYPES = Types("R", {"principal": Record({}), "resource": Record({}), "context": _ATTRIBUTES}, _BOUNDED)
_CONTEXTS = [
    {"n": n, "s": s, "b": b, **o}
    for n in (0, 1, 2, 3)
    for s in ("x", "y")
    for b in (True, False)
    for o in ({}, {"o": 1})
]


def _condition(chance: random.Random, depth: int) -> str:
    if depth and chance.random() < 0.7:
        one, other = _condition(chance, depth - 1), _condition(chance, depth - 1)
        return chance.choice(
            [f"({one} && {other})", f"({one} || {other})", f"!{one}", f"(if {one} then {other} else {one})"]
        )
    number, sign = chance.randint(-1, 4), chance.choice(["<", "<=", ">", ">=", "==", "!="])
    return (
        "("
        + chance.choice(
            [
                f"context.n {sign} {number}",
                f"{number} {sign} context.n",
                f"{number} {sign} 1",
                f'context.s == "{chance.choice("xy")}"',
                f'["x", "y"].contains("{chance.choice("xz")}")',
                "context has o",
                "context has q",
                "context has n",
                "resource is R",
                "resource is Other",
                "context.b",
                chance.choice(["true", "false"]),
            ]
        )
        + ")"
    )


def test_what_is_called_constant_is_so_in_every_request() -> None:
    """Random conditions: wherever folding says true or false, Cedar says so for every context."""
    chance, constant = random.Random(7), 0
    for _ in range(400):
        tree = cedarpy.policies_to_pst(f"permit (principal, action, resource) when {{ {_condition(chance, 4)} }};")
        clause = next(iter(tree.static_policies.values())).clauses[0]
        folded = fold(clause.expr, _TYPES)
        if folded is None:
            continue
        constant += 1
        compiled = cedarpy.PolicySet.from_pst(tree)
        uid = {"type": "R", "id": "1"}
        for context in _CONTEXTS:
            request = {"principal": uid, "action": {"type": "Action", "id": "a"}, "resource": uid, "context": context}
            result = cedarpy.is_authorized(request, compiled, [])
            assert (result.decision is cedarpy.Decision.Allow) is folded
    assert constant > 50


def test_a_fact_that_the_catalog_requires_disarms_nothing() -> None:
    mine = _policy("forbid", f"principal, {READ}, resource", f"when {{ {RISK} }}")
    assert [one.rule for one in _found(_with(mine))] == ["disarmed"]
    required = ("  - name: read_file\n", "  - name: read_file\n    required_context: [risk]\n")
    assert _found(_with(mine, catalog=required)) == []


def test_a_resource_of_a_type_that_its_tools_look_up_is_left_alone_and_a_slip_is_told_with_its_like() -> None:
    mine = _policy("forbid", 'principal, action, resource == Table::"salareis"')
    (found,) = _found(_with(mine))
    assert "did you mean 'salaries'?" in found.mend
    assert _found(_with(mine, resources=("defaults: {}", "defaults: {Table: {org: acme}}"))) == []
    text = SHIPPED["resources.yaml"].decode()
    looked_up = text[: text.index("  Table:")] + text[text.index("defaults:") :]
    contents = Contents({**_with(mine).files, "resources.yaml": looked_up.encode()}, "0" * 64)
    assert _found(contents) == []


def test_a_scope_that_compares_the_principal_with_a_user_is_refused_with_how_to_write_it() -> None:
    mine = '@id("mine") permit (principal == User::"[\\"i\\",\\"alice\\"]", action == Action::"read_file", resource);'
    with pytest.raises(ConfigError) as refused:
        read(_with(mine))
    assert "`principal in User::...`" in mend(refused.value.problems[0])


def test_the_operators_page_names_every_rule() -> None:
    page = (shipped.find().parent / "docs" / "policy-commands.md").read_text(encoding="utf-8")
    assert [rule for rule in RULES if f"| `{rule}` |" not in page] == []
