"""The engine room against Cedar itself: a slice and a part of the context say what everything would have said."""

from __future__ import annotations

import random

import cedarpy
import pytest
from cedarpy import pst

from sallyport.pdp import slices, world
from sallyport.pdp.room import Room
from sallyport.pdp.rule import Rule
from sallyport.pdp.slices import ANY, Keys
from tests.unit.pdp import generated
from tests.unit.pdp.generated import Said, sliced, unsliced

SETS = 110  # for each seed
KEYS = Keys((ANY,), (("A", "a"),), (ANY, ("Action", "a")), (ANY,), (("A", "a"),))
REQUEST = {part: {"type": "A", "id": "a"} for part in ("principal", "resource")} | {
    "action": {"type": "Action", "id": "a"},
    "context": {},
}


def compare(seed: int, sets: int, most: int) -> set[tuple[str, bool]]:
    """Ask many sets; every kind of answer that came, and whether a policy failed."""
    choose, seen = random.Random(seed), set()
    for _ in range(sets):
        held = generated.policy_set(choose, most)
        whole = generated.whole(held)
        for who, query in generated.queries(choose, 10):
            expected = unsliced(held, whole, who, query)
            said = sliced(held, who, query)
            assert said == expected, (who, query, [policy.statement.text for policy in held.policies])
            seen.add((said.decision, bool(said.failed)))
    return seen


@pytest.mark.parametrize("seed", range(4))
def test_p6_a_slice_and_a_trimmed_context_decide_as_everything_does(seed: int) -> None:
    seen = compare(seed, SETS, 6 + 10 * seed)
    assert seen == {("allow", False), ("deny", False), ("deny", True)}


@pytest.mark.parametrize(("large", "chunk", "held"), [(0, 1, 1), (2, 3, 5), (1, 1000, 1), (1000, 1, 1)])
def test_p6_blocks_compiled_beforehand_and_an_overflowing_cache_change_no_answer(
    monkeypatch: pytest.MonkeyPatch, large: int, chunk: int, held: int
) -> None:
    monkeypatch.setattr(slices, "LARGE", large)
    monkeypatch.setattr(slices, "_CHUNK", chunk)
    monkeypatch.setattr(slices, "_HELD", held)
    monkeypatch.setattr(slices, "_PLANS", 2)
    compare(100 + large, 25, 40)


def rule(text: str, name: str = "") -> Rule:
    (node,) = cedarpy.policies_to_pst(text).static_policies.values()
    return Rule(name or text, text, node.effect == "permit", node.principal, node.action, node.resource)


def room(*texts: str) -> Room:
    return Room([rule(text) for text in texts], None)


def asked(judging: Room, *, gaps: bool = False, **changes: object) -> tuple[bool, bool, bool]:
    judged = judging.judge({**REQUEST, **changes}, KEYS, world.build([], None, gaps=gaps))
    return judged.allowed, bool(judged.failed), judged.invalid


OPEN = "permit (principal, action, resource);"
FAILS = "forbid (principal, action, resource) when { context.gone };"


def test_only_an_allow_without_an_error_and_with_everything_there_is_allowed() -> None:
    assert asked(room(OPEN)) == (True, False, False)
    assert asked(room(OPEN), gaps=True) == (False, False, False)
    assert asked(room(OPEN, FAILS)) == (False, True, False)
    assert asked(room(OPEN, FAILS.replace("forbid", "permit"))) == (False, True, False)
    assert asked(room()) == (False, False, False)


@pytest.mark.parametrize("context", [{"a": 2**63}, {"a": 1.5}, {"a": None}, {"a": float("nan")}, {"a": "\ud800"}])
def test_a_value_that_cedar_has_no_form_for_is_never_allowed(context: dict[str, object]) -> None:
    try:
        allowed, _, invalid = asked(room(OPEN), context=context)
    except (ValueError, TypeError):  # a denial, one door further out
        return
    assert (allowed, invalid) == (False, True)


def test_p3_an_error_in_one_part_denies_what_another_part_permits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled apart, the permit and the forbid that fails never meet in Cedar."""
    monkeypatch.setattr(slices, "LARGE", 0)
    judging = room(OPEN, 'forbid (principal == A::"a", action, resource) when { context.gone };')
    assert len(tuple(judging.slices.parts(KEYS))) == 2
    assert asked(judging) == (False, True, False)
    assert asked(judging, context={"gone": False}) == (True, False, False)
    assert asked(judging, context={"gone": True}) == (False, False, False)


def test_without_any_policy_the_request_must_fit_the_schema_all_the_same() -> None:
    schema = cedarpy.Schema.from_str(
        'entity A; action "a" appliesTo {principal: [A], resource: [A], context: {x: Long}};'
    )
    judging = Room([], schema)
    there = world.build([{"uid": {"type": "A", "id": "a"}, "attrs": {}, "parents": []}], schema)
    assert judging.judge({**REQUEST, "context": {"x": 1}}, KEYS, there).invalid is False
    assert judging.judge({**REQUEST, "context": {}}, KEYS, there).invalid is True


@pytest.mark.parametrize("answer", ["Allow", "Deny"])
def test_reasons_and_a_decision_that_disagree_are_no_judgement(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    other = "forbid (principal, action, resource);" if answer == "Allow" else OPEN
    judging = room(other)
    lie = {"decision": answer, "diagnostics": {"reason": ["policy0"], "errors": []}}
    monkeypatch.setattr(cedarpy, "is_authorized", lambda *_: cedarpy.AuthzResult(lie))
    with pytest.raises(ValueError, match="disagree"):
        asked(judging)


def test_an_error_that_names_no_policy_is_no_judgement(monkeypatch: pytest.MonkeyPatch) -> None:
    odd = {"decision": "Allow", "diagnostics": {"reason": [], "errors": ["something else"]}}
    monkeypatch.setattr(cedarpy, "is_authorized", lambda *_: cedarpy.AuthzResult(odd))
    with pytest.raises(ValueError, match="names no policy"):
        asked(room(OPEN))


def test_an_attribute_named_like_a_policy_misleads_nobody() -> None:
    judging = room(OPEN, "forbid (principal, action, resource) when { context.policy0 };")
    judged = judging.judge(REQUEST, KEYS, world.build([], None))
    assert [rule.id for rule in judged.failed] == [judging.slices.rules[1].id]


@pytest.mark.parametrize(
    ("entities", "absent"),
    [
        ([], {("A", "a")}),
        ([{"uid": {"type": "A", "id": "a"}, "attrs": {}, "parents": []}], set()),
        ([{"uid": {"type": "A", "id": "a"}, "attrs": {}, "parents": [{"type": "G", "id": "g"}]}], {("G", "g")}),
        ([{"uid": {"type": "A", "id": "a"}, "attrs": {"x": [{"y": {"__entity": {"type": "G", "id": "g"}}}]}, "parents": []}], {("G", "g")}),
        ([{"uid": {"type": "A", "id": "a"}, "attrs": {}, "parents": [], "tags": {"t": {"__entity": {"type": "G", "id": "g"}}}}], {("G", "g")}),
        ([{"uid": {"__entity": {"type": "A", "id": "a"}}, "attrs": {"uid": {"__extn": {"fn": "ip", "arg": "::1"}}}, "parents": []}], set()),
        ([{"uid": {"type": "A", "id": "a"}, "attrs": {"r": {"uid": 1, "parents": 2, "z": {"__entity": {"type": "G", "id": "g"}}}}, "parents": []}], {("G", "g")}),
    ],
)  # fmt: skip
def test_whatever_is_referred_to_and_is_not_there_is_missed(
    entities: list[dict[str, object]], absent: set[tuple[str, str]]
) -> None:
    assert world.missing([("A", "a")], entities) == absent


def test_a_ring_of_references_is_followed_once() -> None:
    ring = [
        {"uid": {"type": "A", "id": one}, "attrs": {"next": {"__entity": {"type": "A", "id": other}}}, "parents": []}
        for one, other in (("a", "b"), ("b", "a"))
    ]
    assert world.missing([("A", "a")], ring) == set()


def test_generated_sets_reach_every_form_of_scope_and_kind_of_answer() -> None:
    """The comparison above is worth what it is fed with."""
    forms = {type(policy.node.principal) for policy in generated.pool()}
    assert forms == {pst.ScopeAny, pst.ScopeEq, pst.ScopeIn, pst.ScopeIs, pst.ScopeIsIn}
    assert {type(policy.node.resource) for policy in generated.pool()} == forms
    assert {type(policy.node.action) for policy in generated.pool()} >= {pst.ActionEq, pst.ActionIn}
    assert Said("allow") != Said("deny")
