"""One policy in one request: what came out, and which of its parts made it so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from cedarpy import pst

from sallyport.pdp.explain import expression as cedar
from sallyport.pdp.explain import truth
from sallyport.pdp.explain.truth import Truth
from sallyport.pdp.explain.values import Values
from sallyport.pdp.policy import Policy


class Outcome(Enum):
    """What a policy came to, the weightiest first."""

    FAILED = "failed"  # it couldn't be evaluated: the request is denied
    MATCHED = "matched"
    CONDITION = "condition not met"
    SCOPE = "other scope"
    UNASKED = "not asked"  # the request was refused before any policy was looked at


@dataclass(frozen=True, slots=True)
class Node:
    """A part of a policy: its truth, and for the smallest parts what the values in it are."""

    text: str
    truth: Truth | None  # None: not reached
    values: str = ""
    parts: tuple[Node, ...] = ()
    word: str = ""  # scope, when or unless, at the top; &&, ||, ! or if beneath

    @property
    def holds(self) -> bool | None:
        return self.truth.holds if self.truth else None

    @property
    def error(self) -> str:
        return self.truth.error if self.truth else ""


@dataclass(frozen=True, slots=True)
class Trace:
    policy: Policy
    outcome: Outcome
    nodes: tuple[Node, ...]  # the parts of its scope that say something, then its clauses
    error: str = ""

    @property
    def blame(self) -> tuple[Node, ...]:
        """The smallest parts that made it so: of a match all, else those of the first part that stood against it."""
        if self.outcome is Outcome.MATCHED:
            return tuple(leaf for node in self.nodes for leaf in decisive(node))
        against = next((node for node in self.nodes if stands_against(node)), None)
        return tuple(decisive(against)) if against is not None else ()


def stands_against(node: Node) -> bool:
    """Does this part of a policy, at the top, keep it from matching?"""
    return node.truth is not None and node.holds is not (node.word != "unless")


def decisive(node: Node) -> Iterator[Node]:
    """The smallest parts that a part has its truth from."""
    reached = [part for part in node.parts if part.truth is not None]
    if not reached:
        yield node
        return
    # What ends a chain of && or || settles it; where nothing ended it, every part did.
    settled = node.word in {"&&", "||"} and node.holds is not (node.word == "&&")
    for part in reached[-1:] if settled else reached:
        yield from decisive(part)


def trace(policies: Iterable[Policy], values: Values) -> tuple[Trace, ...]:
    """Every policy with its parts, in the order given; Cedar is asked for all of them at once."""
    chosen = list(policies)
    asked = [part for policy in chosen for part in _parts(policy)]
    found = truth.truths(asked, values.prepared)
    return tuple(_Tracer(policy, found, values).trace() for policy in chosen)


def _parts(policy: Policy) -> Iterator[truth.Part]:
    node = policy.node
    yield _whole(policy)
    yield from (truth.principal(node.principal), truth.action(node.action), truth.resource(node.resource))
    for clause in node.clauses:
        yield from (truth.condition(part) for part in _steps(clause.expr))


def _whole(policy: Policy) -> truth.Part:
    node = policy.node
    return truth.whole(node.principal, node.action, node.resource, node.clauses)


def _steps(expression: pst.Expr) -> Iterator[pst.Expr]:
    """The expression and all that is true or false within it."""
    yield expression
    for part in _within(expression)[1]:
        yield from _steps(part)


def _within(expression: pst.Expr) -> tuple[str, tuple[pst.Expr, ...]]:
    """How an expression joins truths, and which."""
    match expression:
        case pst.BinaryOp("and" | "or" as op, _, _):
            return "&&" if op == "and" else "||", tuple(_chain(expression, op))
        case pst.UnaryOp("not", arg):
            return "!", (arg,)
        case pst.IfThenElse(cond, then, otherwise):
            return "if", (cond, then, otherwise)
        case _:
            return "", ()


def _chain(expression: pst.Expr, op: str) -> Iterator[pst.Expr]:
    """`a && b && c` is three parts, not two."""
    if isinstance(expression, pst.BinaryOp) and expression.op == op:
        yield from _chain(expression.left, op)
        yield from _chain(expression.right, op)
    else:
        yield expression


class _Tracer:
    def __init__(self, policy: Policy, found: Mapping[truth.Part, Truth], values: Values) -> None:
        self._policy = policy
        self._found = found
        self._values = values

    def trace(self) -> Trace:
        scope = tuple(self._scope())
        whole = self._found[_whole(self._policy)]
        if any(node.holds is False for node in scope):
            return Trace(self._policy, Outcome.SCOPE, scope)
        nodes = (*scope, *self._clauses())
        if whole.holds is None:
            return Trace(self._policy, Outcome.FAILED, nodes, whole.error)
        return Trace(self._policy, Outcome.MATCHED if whole.holds else Outcome.CONDITION, nodes)

    def _scope(self) -> Iterator[Node]:
        node = self._policy.node
        parts: tuple[tuple[pst.VarName, pst.PrincipalOrResourceConstraint | pst.ActionConstraint, truth.Part], ...] = (
            ("principal", node.principal, truth.principal(node.principal)),
            ("action", node.action, truth.action(node.action)),
            ("resource", node.resource, truth.resource(node.resource)),
        )
        for name, constraint, part in parts:
            if not isinstance(constraint, pst.ScopeAny):
                values = self._entity(pst.Var(name), constraint)
                yield Node(cedar.scope(name, constraint), self._found[part], values, word="scope")

    def _entity(self, expression: pst.Expr, asked: pst.PstNode) -> str:
        """What is asked of an entity is what it is, or what it is in."""
        match asked:
            case pst.ScopeIn() | pst.ScopeIsIn() | pst.BinaryOp() | pst.Is(_, _, pst.EntityLit() | pst.Set()):
                return self._values.within(expression, asked)
            case pst.ScopeEq() | pst.ScopeIs() | pst.Is():
                return self._values.named(expression)
            case _:
                return ""

    def _clauses(self) -> Iterator[Node]:
        """A clause after one that isn't met isn't looked at."""
        reached = True
        for clause in self._policy.node.clauses:
            word = "when" if isinstance(clause, pst.When) else "unless"
            inner = self._node(clause.expr, reached=reached)
            node = Node(inner.text, inner.truth, inner.values, (inner,) if inner.parts else (), word)
            yield node
            reached = reached and not stands_against(node)

    def _node(self, expression: pst.Expr, *, reached: bool) -> Node:
        found = self._found[truth.condition(expression)] if reached else None
        word, inner = _within(expression)
        values = "" if inner or not reached else self._told(expression)
        return Node(cedar.text(expression), found, values, tuple(self._nodes(word, inner, reached=reached)), word)

    def _nodes(self, word: str, inner: tuple[pst.Expr, ...], *, reached: bool) -> Iterator[Node]:
        """As far as Cedar goes: `&&` ends at the first that is false, `||` at the first that is true."""
        if word == "if":
            cond = self._node(inner[0], reached=reached)
            yield cond
            yield self._node(inner[1], reached=reached and cond.holds is True)
            yield self._node(inner[2], reached=reached and cond.holds is False)
            return
        for part in inner:
            node = self._node(part, reached=reached)
            yield node
            reached = reached and node.holds is (word == "&&")

    def _told(self, expression: pst.Expr) -> str:
        """The values that an operator needs to see why a part is true or false."""
        match expression:
            case pst.HasAttr(base, _):
                return self._values.has(base)
            case pst.BinaryOp("in", left, _) | pst.Is(left, _, _):
                return self._entity(left, expression)
            case _:
                shown = cedar.text(expression, self._values.written)
                return "" if shown == cedar.text(expression) else shown
