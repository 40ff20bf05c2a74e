"""What a resource is comes from resources.yaml and resolvers, whole or not at all."""

from __future__ import annotations

from typing import Any

import pytest

from sallyport.pdp.model import Effect, ErrorCode
from tests.support import policy_dir as sample
from tests.support.policy_dir import ask, complaint, problems, read, snapshot

MINE = {"org": "acme", "owner": "alice"}
OTHERS = {"org": "acme", "owner": "bob"}


def directory(files: dict[str, Any], default: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "orgs": ["acme", "globex"],
        "resources": {"File": files, **more},
        "defaults": {"File": default} if default else {},
    }


def mine(path: str, files: dict[str, Any], default: dict[str, Any] | None = None, **more: Any) -> bool:
    verdict = read(snapshot(resources=directory(files, default)), path, **more)
    return verdict.effect is Effect.PERMIT


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a/x", True),
        ("a/b/x", False),
        ("a/b/c", True),
        ("a/b/c/d", False),
        ("a/b", True),
        ("a", False),
        ("A/x", False),
        ("a/", True),
        ("ab/x", False),
        ("a//b", True),
    ],
)
def test_the_longest_entry_names_the_resource(path: str, expected: bool) -> None:
    assert mine(path, {"a/*": MINE, "a/b/*": OTHERS, "a/b/c": MINE, "z": MINE}) is expected


@pytest.mark.parametrize("path", ["a/../b", "a/./b", "./a/b", "a/b/..", "../a/b", "."])
def test_an_id_that_is_not_canonical_is_beneath_nothing(path: str) -> None:
    held = snapshot(resources=directory({"a/*": MINE, "a/b/*": MINE}))
    assert read(held, path).errors == (ErrorCode.UNKNOWN_RESOURCE,)


def test_a_default_is_for_ids_that_nothing_else_names() -> None:
    assert mine("z", {"a/*": OTHERS}, MINE)
    assert not mine("a/x", {"a/*": OTHERS}, MINE)
    assert not mine("z", {"a/*": OTHERS})


def test_a_resolver_adds_what_is_missing_and_may_not_disagree() -> None:
    held = snapshot(resources=directory({"a/*": {"org": "acme"}, "b/*": MINE}))
    assert read(held, "a/x").errors == (ErrorCode.UNKNOWN_RESOURCE,)
    assert read(held, "a/x", attributes={"owner": "alice"}).effect is Effect.PERMIT
    assert read(held, "a/x", attributes={"owner": "bob"}).reasons == ()
    assert read(held, "b/x", attributes={"owner": "alice"}).effect is Effect.PERMIT
    assert read(held, "b/x", attributes={"owner": "bob"}).errors == (ErrorCode.RESOURCE_CONFLICT,)
    assert read(held, "new", attributes=MINE).effect is Effect.PERMIT
    assert read(held, "new", attributes={**MINE, "org": "globex"}).errors == (ErrorCode.ORG_ISOLATION,)
    assert read(held, "new", attributes={**MINE, "org": "initech"}).errors == (ErrorCode.UNKNOWN_ORG,)


@pytest.mark.parametrize(
    "attributes",
    [
        {"owner": "alice"},
        {"org": "acme"},
        {**MINE, "size": 1},
        {**MINE, "owner": 1},
        {**MINE, "owner": None},
        {**MINE, "owner": ["alice"]},
        {**MINE, "owner": {"__entity": {"type": "User", "id": "alice"}}},
        {**MINE, "org": {"__entity": {"type": "Org", "id": "acme"}}},
        {**MINE, "owner": "\ud800"},
    ],
)
def test_attributes_that_do_not_make_a_whole_resource_deny(attributes: dict[str, Any]) -> None:
    assert read(snapshot(), "new", attributes=attributes).errors == (ErrorCode.UNKNOWN_RESOURCE,)


def test_true_is_not_one_when_attributes_are_compared() -> None:
    base = sample.BASE.replace("owner: String };\nentity Table", "owner: String, n: Long };\nentity Table")
    held = snapshot(base=base, resources=directory({"a": {**MINE, "n": 1}}))
    assert read(held, "a", attributes={"n": 1}).effect is Effect.PERMIT
    assert read(held, "a", attributes={"n": True}).errors == (ErrorCode.RESOURCE_CONFLICT,)


def test_attributes_of_every_type_reach_the_policies() -> None:
    base = sample.BASE.replace(
        "owner: String };\nentity Table",
        "owner: String, n: Long, b: Bool, d: decimal, ip: ipaddr, at: datetime, ttl: duration, "
        "partners: Set<Org>, deep: { x: { y?: Long } } };\nentity Table",
    )
    whole = {
        **MINE,
        "n": -1,
        "b": True,
        "d": 1.5,
        "ip": "10.0.0.0/8",
        "at": "2026-01-01",
        "ttl": "1h",
        "partners": ["globex"],
        "deep": {"x": {"y": 3}},
    }
    policy = """@id("all") forbid (principal, action == Action::"read_file", resource) unless {
      resource.n == -1 && resource.b && resource.d == decimal("1.5") && ip("10.1.1.1").isInRange(resource.ip) &&
      resource.at < context.session.now && resource.ttl == duration("60m") &&
      resource.partners.contains(Org::"globex") && resource.deep.x has y && resource.deep.x.y == 3 };"""
    given: dict[str, Any] = {"base": base, "policies": {**sample.POLICIES, "all.cedar": policy}}
    assert read(snapshot(resources=directory({"a": whole}), **given), "a").effect is Effect.PERMIT
    for name in ("ip", "at", "ttl"):
        told = problems(resources=directory({"a": {**whole, name: "nonsense"}}), **given)
        assert [p.file for p in told] == ["resources.yaml"]
    assert read(snapshot(resources=directory({}), **given), "a", attributes=whole).effect is Effect.PERMIT
    bad = read(snapshot(resources=directory({}), **given), "a", attributes={**whole, "ip": "nonsense"})
    assert bad.effect is Effect.DENY


@pytest.mark.parametrize(
    ("key", "attributes", "words"),
    [
        ("a*", MINE, "last segment"),
        ("*", MINE, "last segment"),
        ("a/*/b", MINE, "last segment"),
        ("a/*/*", MINE, "last segment"),
        ("./a/*", MINE, "canonical"),
        ("a/../*", MINE, "canonical"),
        ("/*", MINE, "canonical"),
        ("a", {**MINE, "ownr": "x"}, "no attribute 'ownr'"),
        ("a", {**MINE, "owner": 1}, "doesn't fit"),
        ("a", {**MINE, "org": "initech"}, "no org 'initech'"),
    ],
)
def test_a_bad_entry_is_refused_with_its_place(key: str, attributes: dict[str, Any], words: str) -> None:
    told = problems(resources=directory({"ok": MINE, key: attributes}))
    assert [p.file for p in told] == ["resources.yaml"]
    assert told[0].line > 5
    assert words in told[0].message


def test_an_unknown_type_is_refused() -> None:
    assert "no resource type 'Fil'" in complaint(resources=directory({}, Fil={"a": MINE}))
    assert "no resource type 'Fil'" in complaint(resources={"orgs": ["acme"], "defaults": {"Fil": MINE}})


def test_a_key_twice_is_refused() -> None:
    given = sample.files()
    given["resources.yaml"] = b"orgs: [acme, globex]\nresources:\n  File:\n    a: {org: acme}\n    a: {org: globex}\n"
    assert "resources.yaml:5" in complaint(given)


def test_an_agent_in_an_unknown_org_is_refused() -> None:
    agents = {"a": {"trust_level": 1, "groups": [], "orgs": ["acme", "initech"]}}
    told = complaint(agents=agents, policies={"isolation.cedar": sample.ISOLATION})
    assert "no org 'initech'" in told


def test_a_policy_may_ask_for_one_resource_by_its_id() -> None:
    policy = '@id("one") forbid (principal, action, resource == Table::"orders");'
    held = snapshot(policies={**sample.POLICIES, "one.cedar": policy})
    assert ask(held, "query", ("Table", "orders"), {"path": "orders"}).reasons == ("one",)
