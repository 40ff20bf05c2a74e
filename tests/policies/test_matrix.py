"""The reference document's permission matrix, cell by cell, and its roles.yaml; then roles that somebody made to cheat."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import cedarpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sallyport.contract.limits import MAX_REASON_BYTES
from sallyport.pdp import base_schema, roles
from sallyport.pdp.model import Effect, ErrorCode
from sallyport.pdp.snapshot import Snapshot
from sallyport.runtime import strict_yaml
from tests.policies.shipped import ALICE, POLICIES
from tests.policies.shipped import ask as ask_shipped
from tests.support import policy_dir as sample
from tests.support.policy_dir import alice, ask, complaint, problems, sees, snapshot

OPEN = {"open.cedar": '@id("open") permit (principal, action, resource);'}
FILE = [{"type": "File", "id": "/path"}]
TABLE = [{"type": "Table", "id": "/path"}]
# One tool for each group on each kind of thing: itself, a file, a table.
TOOLS = [
    sample.tool(f"{effect}_{kind}", effect, **more)
    for effect in ("read_only", "write", "destructive")
    for kind, more in (
        ("tool", {}),
        ("file", {"resources": FILE, "input": sample.PATH}),
        ("table", {"resources": TABLE, "input": sample.PATH}),
    )
]
TARGETS = {"tool": None, "file": ("File", "alice/a"), "table": ("Table", "orders")}
ADMIN = ("logging/setLevel",)  # what system:manage gates
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "tools list": ("tools/list",),
    "tools call": ("read_only_tool", "write_tool", "destructive_tool"),
    "resources read": ("read_only_file", "read_only_table"),
    # Design: the write and destructive groups on resources other than Tool.
    "resources write": ("write_file", "write_table", "destructive_file", "destructive_table"),
}
MATRIX = {
    #             list   call   read   write  admin
    "guest": (True, False, False, False, False),
    "user": (True, True, True, False, False),
    "developer": (True, True, True, True, False),
    "admin": (True, True, True, True, True),
    "readonly": (True, False, False, False, False),  # by the document's YAML; it stands in no row of its matrix
}
ACTIONS = tuple(action for actions in COLUMNS.values() for action in actions)


@cache
def shipped_roles() -> dict[str, Any]:
    found = strict_yaml.parse((POLICIES / roles.FILE).read_bytes(), roles.FILE).value
    assert isinstance(found, dict)
    assert isinstance(found["roles"], dict)
    return dict(found["roles"])


@cache
def gates_alone() -> Snapshot:
    """The shipped roles where every policy says yes: what is denied is denied by a role's gate."""
    return snapshot(roles=shipped_roles(), tools=TOOLS, policies=OPEN)


def can(held: Snapshot, action: str, *names: str) -> bool:
    """Whether somebody with these roles may, and sees as much."""
    kind = action.rsplit("_", 1)[-1]
    target = ("Server", "sallyport") if "/" in action else TARGETS[kind] or ("Tool", action)
    who = alice(roles=names)
    verdict = ask(held, action, target, {"path": target[1]} if kind in {"file", "table"} else {}, who=who)
    permitted = verdict.effect is Effect.PERMIT
    assert permitted or verdict.reasons == (f"role:gate:{action}",)
    return permitted


@pytest.mark.parametrize(
    ("role", "column", "expected"),
    [
        (role, column, expected)
        for role, cells in MATRIX.items()
        for column, expected in zip((*COLUMNS, "admin"), cells, strict=True)
    ],
)
def test_a_cell_of_the_matrix(role: str, column: str, expected: bool) -> None:
    for action in COLUMNS.get(column, ADMIN):
        assert can(gates_alone(), action, role) is expected, action


@pytest.mark.parametrize("role", MATRIX)
def test_the_listing_shows_what_the_matrix_lets_a_role_call(role: str) -> None:
    shown = {action for action in ACTIONS if "/" not in action and sees(gates_alone(), action, alice(roles=(role,)))}
    assert shown == {action for action in ACTIONS if "/" not in action and can(gates_alone(), action, role)}


@pytest.mark.parametrize(
    ("column", "action", "resource"),
    [
        ("tools list", "tools/list", "Server::sallyport"),
        ("resources read", "read_file", "File::alice/notes.txt"),
        ("resources read", "list_files", "Folder::alice"),
        ("resources read", "database_query", "Table::orders"),
        ("resources write", "write_file", "File::alice/notes.txt"),
        ("resources write", "delete_file", "File::alice/notes.txt"),
    ],
)
@pytest.mark.parametrize("role", MATRIX)
def test_the_shipped_set_keeps_the_matrix_for_what_is_ones_own(
    role: str, column: str, action: str, resource: str
) -> None:
    expected = dict(zip(COLUMNS, MATRIX[role], strict=False))[column]
    assert (ask_shipped(ALICE.as_(role), action, resource).effect is Effect.PERMIT) is expected


def test_the_documents_yaml_is_held_and_readonly_holds_no_more() -> None:
    document = {
        "admin": {"tools:*", "resources:*", "prompts:*", "system:manage"},
        "developer": {"tools:list", "tools:call", "resources:read", "prompts:get"},
        "readonly": {"tools:list", "resources:list", "prompts:list"},
    }
    held = roles.load((POLICIES / roles.FILE).read_bytes(), base_schema.read(sample.BASE), ())
    for role, permissions in document.items():
        assert permissions <= held[role].permissions
    assert held["readonly"].permissions == document["readonly"]


def by_the_book(held: Iterable[str], action: str) -> bool:
    """The permission strings as the documentation explains them."""
    permissions = set(held)
    if action == "tools/list":
        return not permissions.isdisjoint({"tools:list", "tools:*"})
    call = not permissions.isdisjoint({"tools:call", f"tools:call:{action}", "tools:*"})
    if action.endswith("_tool"):
        return call
    touch = "resources:read" if action.startswith("read_only") else "resources:write"
    return call and not permissions.isdisjoint({touch, "resources:*"})


@st.composite
def role_files(draw: st.DrawFn) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Up to four roles with any permissions, each in some of those before it; and some of them held."""
    strings = [*roles.PERMISSIONS, *(f"tools:call:{action}" for action in ACTIONS[1:])]
    names = ("a", "b", "c", "d")[: draw(st.integers(1, 4))]
    made = {
        name: {
            "permissions": draw(st.lists(st.sampled_from(strings), max_size=4)),
            "in": draw(st.lists(st.sampled_from(names[:at]), max_size=2, unique=True)) if at else [],
        }
        for at, name in enumerate(names)
    }
    return made, tuple(draw(st.lists(st.sampled_from(names), unique=True)))


@given(role_files())
@settings(max_examples=60, deadline=None)
def test_any_roles_file_opens_exactly_what_its_permissions_say(given_: tuple[dict[str, Any], tuple[str, ...]]) -> None:
    made, names = given_
    held = snapshot(roles=made, tools=TOOLS, policies=OPEN)
    granted: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        granted |= set(made[name]["permissions"])
        waiting += made[name]["in"]
    for action in ACTIONS:
        assert can(held, action, *names) is by_the_book(granted, action), (action, granted)


def test_a_role_that_may_call_one_tool_may_call_that_one() -> None:
    tools = [sample.tool(name) for name in ("status", "status2", "stat", "status.x")]
    held = snapshot(roles={"r": {"permissions": ["tools:call:status"]}}, tools=tools, policies=OPEN)
    who = alice(roles=("r",))
    found = {each["name"] for each in tools if ask(held, each["name"], ("Tool", each["name"]), who=who).effect == 1}
    assert found == {each["name"] for each in tools if sees(held, each["name"], who)} == {"status"}
    assert ask(held, "tools/list", ("Server", "sallyport"), who=who).effect is Effect.DENY


NAMES = (
    'x"] || true } ; permit (principal, action, resource); //',
    "back\\slash",
    '\\"',
    "${x}",
    "é",
    "\uff21dmin",
    "admin ",
    "role:gate:read_only_file",
)


@pytest.mark.parametrize("name", NAMES)
def test_a_role_of_any_name_is_that_role_and_no_cedar(name: str) -> None:
    made = {
        name: {"permissions": ["tools:call", "resources:read"], "on": {"File": "org"}},
        "admin": {"permissions": []},
    }
    held = snapshot(roles=made, tools=TOOLS, policies={"isolation.cedar": sample.ISOLATION})
    plain = snapshot(
        roles={"plain": made[name], "admin": made["admin"]}, tools=TOOLS, policies={"i.cedar": sample.ISOLATION}
    )
    parsed = cedarpy.policies_to_pst(held.compiled).static_policies
    assert len(parsed) == len(cedarpy.policies_to_pst(plain.compiled).static_policies)
    assert all(line.isprintable() for line in held.compiled.split("\n")), "an operator sees every character"
    verdict = ask(held, "read_only_file", ("File", "alice/a"), {"path": "alice/a"}, who=alice(roles=(name,)))
    assert (verdict.effect, verdict.reasons) == (Effect.PERMIT, (f"role:on:{name}:File",))
    for other in ((), ("admin",)):
        assert ask(held, "read_only_file", ("File", "alice/a"), {"path": "alice/a"}, who=alice(roles=other)).effect == 2
    assert not {role for role in (name.strip(), name.lower(), name.upper()) if role != name and can_at_all(held, role)}


def can_at_all(held: Snapshot, role: str) -> bool:
    return ask(held, "read_only_tool", ("Tool", "read_only_tool"), who=alice(roles=(role,))).effect is Effect.PERMIT


@pytest.mark.parametrize("name", ["r" * 129, "é" * 65, "", "line\nbreak", "line\u2028", "cr\r", "nul\x00", "\u202ecod"])
def test_a_role_that_no_token_could_carry_or_no_operator_read_is_refused(name: str) -> None:
    told = problems(roles={**sample.ROLES, name: {"permissions": []}})
    assert [found.file for found in told] == ["roles.yaml"]


@pytest.mark.parametrize("name", ["r" * 128, "é" * 64])
def test_the_longest_name_still_fits_into_an_answer(name: str) -> None:
    held = snapshot(roles={name: {"permissions": ["tools:*", "resources:*"], "on": {"File": "any"}}})
    verdict = sample.read(held, who=alice(roles=(name,)))
    assert verdict.effect is Effect.PERMIT
    assert all(len(reason.encode()) <= MAX_REASON_BYTES for reason in verdict.reasons)


@pytest.mark.parametrize("names", [("emperor",), ("developer", "emperor"), ("Developer",), ("developer\x00",), ("",)])
def test_a_role_that_nobody_defined_denies_everything(names: tuple[str, ...]) -> None:
    held = snapshot(policies=OPEN)
    assert sample.read(held, who=alice(roles=("developer",))).effect is Effect.PERMIT
    verdict = sample.read(held, who=alice(roles=names))
    assert (verdict.effect, verdict.errors) == (Effect.DENY, (ErrorCode.UNKNOWN_ROLE,))
    assert not sees(held, "read_file", alice(roles=names))


@pytest.mark.parametrize("reach", ["own", "org", "any"])
def test_on_never_crosses_orgs_even_without_a_policy_against_it(reach: str) -> None:
    base = sample.BASE.replace("environment: String, owner?: String", "environment: String, owner: String")
    table = {"org": "acme", "environment": "staging", "owner": "alice"}
    resources = {**sample.RESOURCES, "resources": {"Table": {"orders": table}}}
    made = {"r": {"permissions": ["tools:call", "resources:*"], "on": {"Table": reach}}}
    policies = {"none.cedar": '@id("none") forbid (principal, action, resource) when { false };'}
    held = snapshot(base=base, roles=made, resources=resources, policies=policies)
    asked = ("query", ("Table", "orders"), {"path": "orders"})
    assert ask(held, *asked, who=alice(roles=("r",))).effect is Effect.PERMIT
    namesake = ask(held, *asked, who=alice(roles=("r",), org="globex"))
    assert (namesake.effect, namesake.errors) == (Effect.DENY, (ErrorCode.ORG_ISOLATION,))
    colleague = ask(held, *asked, who=alice(roles=("r",), user_id="bob"))
    assert (colleague.effect is Effect.PERMIT) == (reach != "own")


def test_a_role_never_overrides_what_is_for_the_owner_alone() -> None:
    everything = {"permissions": ["tools:*", "resources:*", "system:*"]}
    held = snapshot(roles={"king": everything})
    assert sample.read(held, who=alice(roles=("king",))).effect is Effect.PERMIT
    assert sample.read(held, who=alice(roles=("king",), user_id="bob")).effect is Effect.DENY
    only_owner = (
        '@id("only") forbid (principal, action, resource is File) unless { resource.owner == principal.user_id };'
    )
    reaching = {"king": {**everything, "on": {"File": "any"}}}
    held = snapshot(roles=reaching, policies={**sample.POLICIES, "only.cedar": only_owner})
    assert sample.read(held, who=alice(roles=("king",), user_id="bob")).reasons == ("only",)


def test_a_ring_of_roles_is_refused_wherever_one_enters_it() -> None:
    ring = {
        "a": {"permissions": [], "in": ["b"]},
        "b": {"permissions": [], "in": ["c"]},
        "c": {"permissions": [], "in": ["b"]},
    }
    told = complaint(roles=ring)
    assert "role b is in itself: b in c in b" in told
    assert "role c is in itself: c in b in c" in told


@pytest.mark.parametrize(
    ("method", "permission"),
    [
        ("resources/list", "resources:list"),
        ("prompts/list", "prompts:list"),
        ("resources/templates/list", "resources:list"),
        ("logging/setLevel", "system:manage"),
    ],
)
def test_each_permission_gates_the_method_of_its_name(method: str, permission: str) -> None:
    area = permission.partition(":")[0]
    named = {
        "alone": {"permissions": [permission]},
        "area": {"permissions": [f"{area}:*"]},
        "inheriting": {"in": ["alone"], "permissions": []},
        "other": {"permissions": ["tools:*"]},
    }
    held = snapshot(roles=named, tools=TOOLS, policies=OPEN)
    assert [can(held, method, role) for role in named] == [True, True, True, False]
    assert f"role:gate:{method}" in held.compiled
