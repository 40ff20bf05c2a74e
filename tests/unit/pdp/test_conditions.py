"""Conditions taken apart: each part in Cedar's order, and of the principal alone only where it surely is."""

from __future__ import annotations

import random

import cedarpy
import pytest
from cedarpy import pst

from sallyport.pdp import conditions
from sallyport.pdp.conditions import Conditions, alone, parts
from sallyport.pdp.engine import Prepared, prepare
from sallyport.pdp.model import Effect
from sallyport.pdp.policy import Policy
from sallyport.runtime.problems import ConfigError
from tests.support import policy_dir as sample
from tests.support.policy_dir import alice, ask, sees, snapshot
from tests.unit.pdp import generated
from tests.unit.pdp.generated import policies_of

KINDS = [
    ("true", True),
    ("principal.agent_trust_level > 3", True),
    ('principal in [Role::"user", Role::"guest"]', True),
    ('principal.org == Org::"acme"', True),
    ('if principal has org then principal.scopes.contains("x") else false', True),
    ('Role::"user" in Role::"guest"', True),
    ('Compound::"x".agent_trust_level > 3', True),
    ('ip("10.0.0.1").isLoopback()', True),
    ("resource.owner == principal.user_id", False),
    ("principal == resource", False),
    ("[principal, resource].contains(principal)", False),
    ("{a: action}.a == principal", False),
    ("context.session.hour_utc > 3", False),
    ("context has input", False),
    ('principal in Action::"read_file"', False),
    ('Tool::"status".orgs.contains(principal.org)', False),
    ('Table::"orders".environment == "staging"', False),
    ("if resource is File then principal.agent_trust_level > 3 else false", False),
]


def one(condition: str, clause: str = "when") -> Policy:
    (policy,) = policies_of(f'@id("p") permit (principal, action, resource) {clause} {{ {condition} }};')
    return policy


@pytest.mark.parametrize(("condition", "of_principal"), KINDS)
def test_a_part_is_of_the_principal_alone_only_if_it_names_nothing_else(condition: str, of_principal: bool) -> None:
    for clause in ("when", "unless"):
        (number,) = Conditions().conjuncts(one(condition, clause))
        assert (number is not None) is of_principal


def test_parts_come_in_the_order_in_which_cedar_evaluates_them() -> None:
    (policy,) = policies_of(
        '@id("p") permit (principal, action, resource) when { (context.a && context.b) && context.c } '
        "unless { context.d || (context.e || context.f && context.g) } when { context.h || context.i };"
    )
    found = list(parts(policy.node))
    assert [negated(part) for part in found] == [False, False, False, True, True, True, False]
    assert [first(part) for part in found] == ["a", "b", "c", "d", "e", "f", "h"]


def negated(part: object) -> bool:
    return isinstance(part, pst.UnaryOp) and part.op == "not"


def first(part: object) -> str:
    while not isinstance(part, pst.GetAttr):
        part = part.arg if isinstance(part, pst.UnaryOp) else part.left if isinstance(part, pst.BinaryOp) else None
    return part.attr


def test_one_condition_in_many_policies_has_one_number() -> None:
    held = Conditions()
    text = " && ".join(f"principal.agent_trust_level > {level}" for level in (1, 2, 1))
    assert held.conjuncts(one(text)) == (0, 1, 0)
    assert held.conjuncts(one("principal.agent_trust_level > 2")) == (1,)
    assert held.conjuncts(one("principal.agent_trust_level > 2", "unless")) == (2,)


@pytest.mark.parametrize("seed", range(2))
def test_the_parts_together_say_what_the_policy_says(seed: int) -> None:
    """Each part alone in Cedar, until one is false or fails, against the whole policy in Cedar."""
    choose = random.Random(seed)
    asked = [policy for policy in generated.pool() if policy.node.clauses]
    for policy in choose.sample(asked, 60):
        held = generated.held([policy])
        for who, query in generated.queries(choose, 6):
            prepared = prepare(held, who, query, sample.NOON, whole=True)
            # The scope matches everything here: only conditions are compared.
            open_node = pst.Template("p", "permit", pst.ScopeAny(), pst.ScopeAny(), pst.ScopeAny(), policy.node.clauses, pst.FrozenMap())  # fmt: skip
            whole = cedarpy.PolicySet.from_pst(pst.PolicySet(pst.FrozenMap(), pst.FrozenMap({"p": open_node}), ()))
            expected = outcome(whole, prepared)
            found: bool | None = True
            for part in parts(policy.node):
                found = outcome(alone(part), prepared)
                if found is not True:
                    break
            assert found is expected, policy.statement.text


def outcome(policies: cedarpy.PolicySet, prepared: Prepared) -> bool | None:
    result = cedarpy.is_authorized(dict(prepared.request), policies, prepared.world.handle)
    return None if result.diagnostics.errors else result.allowed


TRUST = "principal.agent_trust_level"
DEEP = {
    "nested": lambda depth: f"{'(if ' * depth}{TRUST} > 0{' then true else false)' * depth}",
    "negated": lambda depth: f"{'!(' * (2 * depth)}{TRUST} > 0{')' * (2 * depth)}",
    "chained": lambda depth: f"{TRUST}{' + 1' * depth} > 0",
    "many": lambda depth: " && ".join([f"{TRUST} > 0"] * depth),
}


@pytest.mark.parametrize("form", sorted(DEEP))
def test_a_condition_as_deep_as_load_admits_can_be_asked_alone(form: str) -> None:
    """Else one such policy would hide every tool, though calls go on."""
    admitted = 0
    for depth in (*range(1, 16), 20, 24, 28, 30, 31, 48, 90, *range(94, 102)):
        condition = f"when {{ {DEEP[form](depth)} }} unless {{ !({DEEP[form](depth - 1)}) }}"
        text = f'@id("deep") permit (principal, action == Action::"read_file", resource) {condition};'
        try:
            held = snapshot(policies={"x.cedar": text})
        except ConfigError:
            continue
        admitted = depth
        assert ask(held, "read_file", ("File", "alice/a"), {"path": "alice/a"}).effect is Effect.PERMIT
        assert sees(held, "read_file"), depth
    assert admitted > 10


def test_a_principal_of_whom_cedar_says_nothing_is_an_error() -> None:
    held = Conditions()
    (number,) = held.conjuncts(one("principal.agent_trust_level > 3"))
    assert number is not None
    handle = cedarpy.Entities.from_json_str("[]")
    assert held.holds(number, ("Compound", "gone"), handle) is None
    with pytest.raises(ValueError, match="no decision"):
        held.holds(number, ("not a type", "x"), handle)


def test_a_condition_is_compiled_and_asked_once_for_a_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    compile_one = conditions.alone

    def compiling(part: pst.Expr) -> cedarpy.PolicySet:
        made.append(part)
        return compile_one(part)

    monkeypatch.setattr(conditions, "alone", compiling)
    text = '@id("p") permit (principal, action, resource) when { principal.agent_trust_level > 3 };'
    held = generated.held(policies_of(text))
    for _ in range(2):
        for tool in generated.TOOLS:
            assert sees(held, tool["name"], alice())
    assert len(made) == 1
