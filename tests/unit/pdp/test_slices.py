"""The index: no policy that may match is left out, few others come along, and memory is bounded."""

from __future__ import annotations

import random
from dataclasses import replace

import cedarpy
import pytest

from sallyport.pdp import slices
from sallyport.pdp.engine import prepare
from sallyport.pdp.rule import Rule
from sallyport.pdp.slices import ANY, Keys, Slices
from tests.support import policy_dir as sample
from tests.unit.pdp import generated

GROUPS = 8


def rule(number: int, text: str) -> Rule:
    (node,) = cedarpy.policies_to_pst(text).static_policies.values()
    return Rule(f"r{number}", text, True, node.principal, node.action, node.resource)


def index(*scopes: str) -> Slices:
    return Slices([rule(number, f"permit ({scope});") for number, scope in enumerate(scopes)])


def keys(user: int = 0, thing: int = 0) -> Keys:
    return Keys(
        (ANY, ("User", None), ("Group", f"g{user % GROUPS}")),
        (("User", f"u{user}"),),
        (ANY, ("Action", "read")),
        (ANY, ("Thing", None)),
        (("Thing", f"t{thing}"),),
    )


def chosen(of: Slices, asked: Keys) -> set[str]:
    return {rule.id for part in of.parts(asked) for rule in part.rules}


def test_p6_every_policy_whose_scope_matches_is_in_the_slice() -> None:
    """Each alone, asked of Cedar without its condition."""
    choose = random.Random(11)
    held = generated.held(generated.pool()[:250])
    bare = [
        cedarpy.PolicySet.from_str(policy.statement.text[: policy.statement.text.index(")", policy.statement.text.index(", resource")) + 1] + ";")
        for policy in held.policies
    ]  # fmt: skip
    for who, query in generated.queries(choose, 12):
        prepared = prepare(held, who, query, sample.NOON)
        picked = chosen(held.room.slices, prepared.keys)
        types = frozenset({query.resource_type})
        alone = prepared.rules.action.alone
        both = held.room.slices.whatever_the_resource(prepared.keys, types, alone)
        wide = {rule.id for found in both for rule in found}
        assert picked <= wide
        assert len(picked) < len(held.policies) / 2
        for policy, compiled in zip(held.policies, bare, strict=True):
            result = cedarpy.is_authorized(dict(prepared.request), compiled, prepared.world.handle)
            if result.diagnostics.reasons:
                assert policy.id in picked, policy.statement.text


def test_a_policy_under_several_keys_of_a_request_counts_once() -> None:
    of = index(
        'principal, action in [Action::"read", Action::"read", Action::"other"], resource',
        "principal, action, resource",
    )
    assert [[rule.id for rule in part.rules] for part in of.parts(keys())] == [["r0", "r1"]]
    wide, narrow = of.whatever_the_resource(keys(), frozenset({"Thing"}))
    assert ({rule.id for rule in wide}, narrow) == ({"r0", "r1"}, [])


def test_a_policy_on_one_resource_counts_for_all_only_where_there_is_no_other() -> None:
    of = index('principal, action, resource == Thing::"t0"', "principal, action, resource is Thing")
    types = frozenset({"Thing"})
    for alone, expected in (({}, (["r1"], ["r0"])), ({"Thing": "t0"}, (["r0", "r1"], []))):
        wide, narrow = of.whatever_the_resource(keys(), types, alone)
        assert (sorted(rule.id for rule in wide), [rule.id for rule in narrow]) == expected


def test_what_many_share_and_what_is_ones_own_are_compiled_apart() -> None:
    """Else each caller, and each resource, would have the shared ones compiled anew."""
    of = index(
        "principal, action, resource",
        'principal in Group::"g0", action == Action::"read", resource is Thing',
        'principal == User::"u0", action, resource',
        'principal, action, resource == Thing::"t0"',
    )
    shared, own = of.parts(keys())
    assert ({rule.id for rule in shared.rules}, {rule.id for rule in own.rules}) == ({"r0", "r1"}, {"r2", "r3"})
    (again,) = of.parts(keys(user=GROUPS, thing=9))
    assert again is shared


def test_what_is_remembered_is_bounded_and_the_newest_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "_HELD", 5)
    monkeypatch.setattr(slices, "_PLANS", 4)
    of = index(*(f'principal == User::"u{number}", action, resource' for number in range(20)))
    for number in (*range(20), 19, 3, 3):
        assert chosen(of, keys(user=number)) == {f"r{number}"}
        assert len(of._parts) <= 5
        assert of._weight == sum(len(part.rules) for part in of._parts.values())
        assert len(of._plans) <= 4
    assert next(of.parts(keys(user=3))) is next(of.parts(keys(user=3)))


def test_more_policies_than_the_bound_in_one_slice_are_held_until_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "_HELD", 2)
    of = index(*['principal == User::"u1", action, resource'] * 9, 'principal == User::"u2", action, resource')
    assert len(chosen(of, keys(user=1))) == 9
    assert next(of.parts(keys(user=1))) is next(of.parts(keys(user=1)))
    assert chosen(of, keys(user=2)) == {"r9"}
    assert of._weight == 1


def test_a_large_block_is_compiled_at_load_in_chunks_and_never_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "LARGE", 3)
    monkeypatch.setattr(slices, "_CHUNK", 2)
    of = index(*['principal in Group::"g0", action, resource'] * 5, "principal, action, resource")
    compiled = list(of.parts(keys()))
    assert sorted(len(part.rules) for part in compiled) == [1, 1, 2, 2]
    monkeypatch.setattr(cedarpy.PolicySet, "from_str", None)
    assert list(of.parts(keys())) == compiled


def test_a_set_that_cedar_counts_otherwise_is_refused() -> None:
    odd = replace(rule(0, "permit (principal, action, resource);"), text="// nothing")
    with pytest.raises(ValueError, match="other policies"):
        list(Slices([odd]).parts(keys()))
