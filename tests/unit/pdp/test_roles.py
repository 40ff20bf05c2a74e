"""Roles are gates: they let a user ask; they permit only where nothing else could."""

from __future__ import annotations

from typing import Any

import cedarpy
import pytest

from sallyport.pdp.model import Effect
from tests.support import policy_dir as sample
from tests.support.policy_dir import alice, ask, complaint, problems, read, sees, snapshot

OPEN = {"open.cedar": '@id("open") permit (principal, action, resource);'}
TOOLS = [
    *sample.TOOLS,
    sample.tool("wipe", "destructive", resources=[{"type": "File", "id": "/path"}], input=sample.PATH),
    sample.tool("change", "write"),
]
TARGETS = {
    "read_file": ("File", "alice/a"),
    "write_file": ("File", "alice/a"),
    "wipe": ("File", "alice/a"),
    "query": ("Table", "orders"),
    "status": ("Tool", "status"),
    "change": ("Tool", "change"),
    "tools/list": ("Server", "sallyport"),
}


def allowed(permissions: list[str], policies: dict[str, str] | None = None, **more: Any) -> set[str]:
    """What a user with exactly this role can do, where every policy says yes."""
    roles = {"r": {"permissions": permissions, **more}}
    held = snapshot(roles=roles, tools=TOOLS, policies=OPEN if policies is None else policies)
    who = alice(roles=("r",))
    found = {
        name
        for name, target in TARGETS.items()
        if ask(held, name, target, {"path": target[1]}, who=who).effect is Effect.PERMIT
    }
    assert found <= {name for name in TARGETS if sees(held, name, who)}
    return found


@pytest.mark.parametrize(
    ("permissions", "expected"),
    [
        ([], set()),
        (["tools:list"], {"tools/list"}),
        (["tools:call"], {"status", "change"}),
        (["tools:*"], {"status", "change", "tools/list"}),
        (["tools:call:status"], {"status"}),
        (["tools:call:read_file"], set()),
        (["tools:call:read_file", "resources:read"], {"read_file"}),
        (["tools:call", "resources:read"], {"status", "change", "read_file", "query"}),
        (["tools:call", "resources:write"], {"status", "change", "write_file", "wipe"}),
        (["tools:call", "resources:*"], {"status", "change", "write_file", "wipe", "read_file", "query"}),
        (["resources:*", "prompts:*", "system:*"], set()),
    ],
)
def test_a_gate_opens_for_the_permission_that_the_action_needs(permissions: list[str], expected: set[str]) -> None:
    assert allowed(permissions) == expected


def test_a_role_by_itself_permits_tools_but_no_resource() -> None:
    isolation = {"isolation.cedar": sample.ISOLATION}
    assert allowed(["tools:*", "resources:*"], isolation) == {"status", "change", "tools/list"}


def test_a_users_roles_add_up_and_no_role_means_nothing() -> None:
    roles = {"caller": {"permissions": ["tools:call"]}, "reader": {"permissions": ["resources:read"]}}
    held = snapshot(roles=roles, policies=OPEN)
    assert read(held, who=alice(roles=())).reasons == ("role:gate:read_file",)
    assert read(held, who=alice(roles=("caller",))).reasons == ("role:gate:read_file",)
    assert read(held, who=alice(roles=("caller", "reader"))).effect is Effect.PERMIT


def test_a_role_holds_what_the_roles_hold_that_it_is_in() -> None:
    roles = {
        "c": {"in": ["b"], "permissions": []},
        "b": {"in": ["a"], "permissions": ["resources:read"]},
        "a": {"permissions": ["tools:call"]},
    }
    held = snapshot(roles=roles, policies=OPEN)
    assert [read(held, who=alice(roles=(name,))).effect for name in "abc"] == [
        Effect.DENY,
        Effect.PERMIT,
        Effect.PERMIT,
    ]
    in_a = '@id("in_a") forbid (principal in Role::"a", action, resource);'
    assert read(snapshot(roles=roles, policies={**OPEN, "in.cedar": in_a}), who=alice(roles=("c",))).reasons == (
        "in_a",
    )


@pytest.mark.parametrize(
    ("reach", "mine", "orgs", "others"),
    [("own", True, False, False), ("org", True, True, False), ("any", True, True, False)],
)
def test_a_role_permits_resources_as_far_as_on_says(reach: str, mine: bool, orgs: bool, others: bool) -> None:
    roles = {"r": {"permissions": ["tools:call", "resources:read"], "on": {"File": reach}}}
    resources = {**sample.RESOURCES, "resources": {**sample.RESOURCES["resources"]}}
    resources["resources"]["File"] = {**resources["resources"]["File"], "bob/*": {"org": "acme", "owner": "bob"}}
    held = snapshot(roles=roles, resources=resources, policies={"isolation.cedar": sample.ISOLATION})
    paths = {"alice/a": mine, "bob/a": orgs, "carol/a": others}
    found = {path: read(held, path, who=alice(roles=("r",))).effect is Effect.PERMIT for path in paths}
    assert found == paths
    assert (
        ask(held, "write_file", ("File", "alice/a"), {"path": "alice/a"}, who=alice(roles=("r",))).effect is Effect.DENY
    )


def test_on_gives_nothing_beyond_the_roles_own_permissions() -> None:
    roles = {"r": {"permissions": ["resources:read"], "on": {"File": "any"}}}
    assert "role:on:" not in snapshot(roles=roles).compiled


@pytest.mark.parametrize(
    ("role", "words"),
    [
        ({"permissions": ["tools:cal"]}, "did you mean 'tools:call'?"),
        ({"permissions": ["*"]}, "no permission '*'"),
        ({"permissions": ["tools:call:read_fil"]}, "did you mean 'tools:call:read_file'?"),
        ({"permissions": ["tools:call:"]}, "no permission"),
        ({"permissions": ["read_file"]}, "no permission 'read_file'"),
        ({"permissions": ["tools:list"], "in": ["usr"]}, "no role 'usr'"),
        ({"permissions": [], "in": ["x"]}, "role x is in itself: x in x"),
        ({"permissions": [], "on": {"Tables": "org"}}, "did you mean 'Table'?"),
        ({"permissions": [], "on": {"Tool": "any"}}, "no resource type 'Tool'"),
        ({"permissions": [], "on": {"Table": "own"}}, "`own` needs `owner: String`"),
        ({"permissions": [], "on": {"File": "all"}}, "roles.x.on.File"),
        ({"permissions": [], "inherits": []}, "unknown key 'inherits'"),
        ({}, "permissions"),
    ],
)
def test_a_bad_role_is_refused_with_its_place(role: dict[str, Any], words: str) -> None:
    told = problems(roles={**sample.ROLES, "x": role})
    assert [p.file for p in told] == ["roles.yaml"]
    assert told[0].line > 1
    assert words in told[0].message


def test_a_ring_of_roles_is_refused() -> None:
    ring = {name: {"permissions": [], "in": [up]} for name, up in (("a", "b"), ("b", "c"), ("c", "a"))}
    assert "a in b in c in a" in complaint(roles=ring)


def test_operators_read_compiled_roles_as_cedar() -> None:
    held = snapshot(roles={'we"ird\\ role': {"permissions": ["tools:*", "resources:*"], "on": {"File": "org"}}})
    parsed = cedarpy.policies_to_pst(held.compiled).static_policies.values()
    assert all(policy.annotations["id"].startswith("role:") for policy in parsed)
    assert read(held, who=alice(roles=('we"ird\\ role',))).effect is Effect.PERMIT
