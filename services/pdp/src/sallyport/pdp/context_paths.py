"""What a policy names in its context, checked against each action it can match.

Cedar's validator takes `has` of an attribute that no type declares for plain false. A property that was left out of
the type is dropped from every request, so `forbid … when { context.input has it }` would never forbid.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from cedarpy import pst

from sallyport.pdp.policy import Policy, nodes
from sallyport.pdp.schema import Action
from sallyport.pdp.types import STRING, CedarType, Field, Record, SetOf, exact
from sallyport.runtime.problems import Problem

_WHOLES = frozenset({"eq", "not_eq", "contains", "contains_all", "contains_any"})
_LEFT_OUT = (
    "property {name!r} has no faithful Cedar type in the input of {action}, so it never reaches a policy; "
    "give it one type in catalog.yaml, or drop the condition"
)
_OPEN = (
    "property {name!r} isn't declared in the input of {action}, which takes undeclared ones too; "
    "declare it in catalog.yaml or set additionalProperties: false, or drop the condition"
)
_UNDECLARED = (
    "property {name!r} isn't declared by any action that this policy can match; correct it, or drop the condition"
)
_WHOLE = (
    "compares an object of which parts never reach a policy ({action}); compare its properties one by one, "
    "or type them all and set additionalProperties: false in catalog.yaml"
)


@dataclass(frozen=True, slots=True)
class _Named:
    """An attribute named beneath the context: what stands there for one action."""

    name: str
    declared: bool
    complaint: str = ""


def check(policy: Policy, actions: Mapping[str, Action]) -> Iterator[Problem]:
    """Every name that would silently be absent."""
    if pst.Var("context") not in nodes(policy.node.clauses):
        return
    matched = [action for action in actions.values() if may_match(policy.node.action, action)]
    found = [named for action in matched for named in _named(policy, action)]
    declared = {named.name for named in found if named.declared}
    told = set()
    for named in found:
        message = named.complaint or ("" if named.name in declared else _UNDECLARED.format(name=named.name))
        if message and message not in told:
            told.add(message)
            yield policy.problem(policy.statement.find(named.name), message)


def may_match(scope: pst.ActionConstraint, action: Action) -> bool:
    """Does the policy's scope take in this action?"""
    match scope:
        case pst.ActionEq(entity):
            return entity.id == action.name
        case pst.ActionIn(entities):
            return any(entity.id == action.name or entity.id in action.parents for entity in entities)
        case _:
            return True


def _named(policy: Policy, action: Action) -> Iterator[_Named]:
    for node in nodes(policy.node.clauses):
        if isinstance(node, pst.GetAttr):
            yield from _step(_types(node.base, action), node.attr, action)
        elif isinstance(node, pst.HasAttr):
            bases = _types(node.base, action)
            for name in node.attrs:
                yield from _step(bases, name, action)
                bases = _attribute(bases, name)
        elif isinstance(node, pst.BinaryOp) and node.op in _WHOLES and not _comparable(node, action):
            yield _Named("context", declared=False, complaint=_WHOLE.format(action=action.name))


def _step(bases: Iterable[CedarType], name: str, action: Action) -> Iterator[_Named]:
    for base in bases:
        if not isinstance(base, Record):
            continue
        if name in base.fields:
            yield _Named(name, declared=True)
        elif name in base.left_out:
            yield _Named(name, declared=False, complaint=_LEFT_OUT.format(name=name, action=action.name))
        elif base.open:
            yield _Named(name, declared=False, complaint=_OPEN.format(name=name, action=action.name))
        else:
            yield _Named(name, declared=False)


def _types(expression: pst.Expr, action: Action) -> tuple[CedarType, ...]:
    """Every type the expression can have, as far as it comes from the context; nothing else can hold a part of it."""
    match expression:
        case pst.Var("context"):
            return (action.context,)
        case pst.GetAttr(base, name):
            return _attribute(_types(base, action), name)
        case pst.IfThenElse(_, then, otherwise):
            return _types(then, action) + _types(otherwise, action)
        case pst.Record(parts):  # one record for each attribute and each type it may have
            return tuple(
                Record({name: Field(kind, required=True)})
                for name, part in parts.items()
                for kind in _types(part, action) or (STRING,)
            )
        case _:
            return ()


def _attribute(bases: Iterable[CedarType], name: str) -> tuple[CedarType, ...]:
    return tuple(base.fields[name].type for base in bases if isinstance(base, Record) and name in base.fields)


def _comparable(operation: pst.BinaryOp, action: Action) -> bool:
    return all(_whole(side, action) for side in (operation.left, operation.right))


def _whole(expression: pst.Expr, action: Action) -> bool:
    match expression:
        case pst.Set(elements):
            return all(_whole(element, action) for element in elements)
        case pst.Record(parts):
            return all(_whole(part, action) for part in parts.values())
        case _:
            return all(exact(kind) for kind in _types(expression, action) if isinstance(kind, Record | SetOf))
