"""Conditions that ask of the principal alone: the same for every call, so they tell what a caller can't ever do.

A policy's condition is a conjunction, taken apart into the parts that Cedar evaluates one after the other: `when {A &&
B} unless {C || D}` is A, B, not C, not D. One part that is false, and the policy doesn't match, whatever the others say.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import cedarpy
from cedarpy import pst

from sallyport.pdp.policy import Policy, nodes
from sallyport.pdp.world import Uid

_AT_HAND: Final = frozenset({"Role", "User", "Agent", "AgentGroup", "Org", "Compound"})
_ANYTHING: Final = pst.ScopeAny()


class Conditions:
    """Numbers each such part; the gates of many tools ask the same, which then has one number."""

    __slots__ = ("_compiled", "_numbers", "_parts")

    def __init__(self) -> None:
        self._numbers: dict[pst.Expr, int] = {}
        self._parts: list[pst.Expr] = []
        self._compiled: dict[int, cedarpy.PolicySet] = {}

    def conjuncts(self, policy: Policy) -> tuple[int | None, ...]:
        """The policy's condition in the order of its evaluation: a number for each part on the principal alone."""
        return tuple(self._number(part) if _asks_principal_alone(part) else None for part in parts(policy.node))

    def holds(self, number: int, uid: Uid, entities: cedarpy.Entities) -> bool | None:
        """Does it hold for this principal? None: it can't be evaluated. Raises ValueError where Cedar gives no answer."""
        request = {"principal": _named(uid), "action": _named(("Action", "-")), "resource": _named(("Tool", "-"))}
        result = cedarpy.is_authorized(request, self._policy(number), entities)
        if result.decision is cedarpy.Decision.NoDecision:
            raise ValueError("no decision on a principal")
        return None if result.diagnostics.errors else result.decision is cedarpy.Decision.Allow

    def _number(self, part: pst.Expr) -> int:
        number = self._numbers.setdefault(part, len(self._parts))
        if number == len(self._parts):
            self._parts.append(part)
        return number

    def _policy(self, number: int) -> cedarpy.PolicySet:
        """Compiled when it is first asked: most are of callers who never come."""
        if number not in self._compiled:
            self._compiled[number] = alone(self._parts[number])
        return self._compiled[number]


def alone(condition: pst.Expr) -> cedarpy.PolicySet:
    """One policy that permits wherever the condition holds."""
    when = (pst.When(condition),)
    policy = pst.Template("p", "permit", _ANYTHING, _ANYTHING, _ANYTHING, when, pst.FrozenMap())
    return cedarpy.PolicySet.from_pst(pst.PolicySet(pst.FrozenMap(), pst.FrozenMap({"p": policy}), ()))


def parts(node: pst.Template) -> Iterator[pst.Expr]:
    """What a policy's condition is the conjunction of, in the order in which Cedar evaluates it."""
    for clause in node.clauses:
        if isinstance(clause, pst.When):
            yield from _split(clause.expr, "and")
        else:
            yield from (pst.UnaryOp("not", part) for part in _split(clause.expr, "or"))


def _split(expression: pst.Expr, operator: str) -> Iterator[pst.Expr]:
    waiting = [expression]
    while waiting:
        found = waiting.pop()
        if isinstance(found, pst.BinaryOp) and found.op == operator:
            waiting += [found.right, found.left]
        else:
            yield found


def _asks_principal_alone(part: pst.Expr) -> bool:
    """No other variable, and no entity but those at hand here: of a Table or an Action nothing is known."""
    if any(str(uid.type) not in _AT_HAND for uid in pst.entity_uids(part)):
        return False
    return all(node.name == "principal" for node in nodes(part) if isinstance(node, pst.Var))


def _named(uid: Uid) -> dict[str, str]:
    return {"type": uid[0], "id": uid[1]}
