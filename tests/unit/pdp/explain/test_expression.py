"""A condition written out from its tree is the same condition."""

from __future__ import annotations

import cedarpy
import pytest
from cedarpy import pst

from sallyport.cli import shipped
from sallyport.pdp.explain import expression
from sallyport.runtime import mounted_dir

CONDITIONS = [
    "resource.owner == principal.user_id && !(context.s has risk && context.s.risk + 1 * 2 - -3 > 5) || principal.b",
    'if principal.b then ["x", 1].contains(2) else {"a b": 1, c: 2} == principal.getTag("x")',
    '(if principal.b then true else false) && principal has "a b" && principal["a b"].x like "x*\\*\\"é"',
    'resource is Table in Server::"s" && ip("1.2.3.4").isInRange(ip("1.0.0.0/8")) && !ip("::1").isLoopback()',
    'context.now.toTime() > duration("1h") && context.now.offset(duration("1h")) < datetime("2026-01-01")',
    'decimal("1.0").lessThan(decimal("2.0")) || decimal("1.0").greaterThanOrEqual(decimal("2.0"))',
    "principal has a.b.c && (1 - (2 - 3)) == 4 && 1 - 2 - 3 == 4 && true == (1 < 2) && !(!true)",
    "-(resource.x) > 1 && -(3) == 3 && (1 + 2) * 3 == 9 && -9223372036854775808 < 0",
    'principal in [Role::"a", Role::"b\\"\\\\"] && principal["if"] == "\\n\\u{1f600}" && principal has "in"',
    "(principal.b || principal.c) && (principal.d || (principal.e && principal.f)) && [].isEmpty()",
    'principal.hasTag("k") && principal.tags.containsAll([1]) && principal.tags.containsAny([2])',
]


def _parsed(condition: str) -> pst.Expr:
    policies = cedarpy.policies_to_pst(f"permit (principal, action, resource) when {{ {condition} }};")
    return next(iter(policies.static_policies.values())).clauses[0].expr


@pytest.mark.parametrize("condition", CONDITIONS)
def test_what_is_written_out_parses_to_the_same_tree(condition: str) -> None:
    tree = _parsed(condition)
    assert _parsed(expression.text(tree)) == tree


def test_every_shipped_condition_too_and_as_it_is_written() -> None:
    for name, data in mounted_dir.read(shipped.find()).files.items():
        if name.endswith(".cedar"):
            for policy in cedarpy.policies_to_pst(data.decode()).static_policies.values():
                for clause in policy.clauses:
                    assert _parsed(expression.text(clause.expr)) == clause.expr


def test_a_part_whose_value_is_known_stands_as_its_value() -> None:
    tree = _parsed("resource.owner == principal.user_id")
    assert expression.text(tree, lambda part: '"bob"' if part == _parsed("resource.owner") else None) == (
        '"bob" == principal.user_id'
    )
