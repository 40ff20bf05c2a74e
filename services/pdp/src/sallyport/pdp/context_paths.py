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

_EQUAL = frozenset({"eq", "not_eq"})
_CONTAINS = frozenset({"contains", "contains_all", "contains_any"})
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
_UNORDERED = (
    "compares an array of {action} as a whole, but a policy sees it as a set, without order and repetitions; "
    "ask with contains, containsAll, containsAny or isEmpty"
)


@dataclass(frozen=True, slots=True)
class _Named:
    """An attribute named beneath the context: what stands there for one action."""

    where: object  # the expression that names it, the same for every action
    name: str
    declared: bool
    complaint: str = ""


@dataclass(frozen=True, slots=True)
class _Written(SetOf):
    """A set that the policy itself writes down: it has no order to lose."""


def check(policy: Policy, actions: Mapping[str, Action]) -> Iterator[Problem]:
    """Every name that would silently be absent."""
    if pst.Var("context") not in nodes(policy.node.clauses):
        return
    matched = [action for action in actions.values() if may_match(policy.node.action, action)]
    found = [named for action in matched for named in _named(policy, action)]
    # By place, not by name: what the session declares excuses no `context.input has risk`.
    declared = {named.where for named in found if named.declared}
    told = set()
    for named in found:
        message = named.complaint or ("" if named.where in declared else _UNDECLARED.format(name=named.name))
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
            yield from _step(node, _types(node.base, action), node.attr, action)
        elif isinstance(node, pst.HasAttr):
            bases = _types(node.base, action)
            for at, name in enumerate(node.attrs):
                yield from _step((node, at), bases, name, action)
                bases = _attribute(bases, name)
        elif isinstance(node, pst.BinaryOp):
            compared = list(_compared(node, action))
            if not all(map(exact, compared)):
                yield _Named(node, "context", declared=False, complaint=_WHOLE.format(action=action.name))
            elif not all(map(_plain, compared)):
                yield _Named(node, "context", declared=False, complaint=_UNORDERED.format(action=action.name))


def _step(where: object, bases: Iterable[CedarType], name: str, action: Action) -> Iterator[_Named]:
    for base in bases:
        if not isinstance(base, Record):
            continue
        if name in base.fields:
            yield _Named(where, name, declared=True)
        elif name in base.left_out:
            yield _Named(where, name, declared=False, complaint=_LEFT_OUT.format(name=name, action=action.name))
        elif base.open:
            yield _Named(where, name, declared=False, complaint=_OPEN.format(name=name, action=action.name))
        else:
            yield _Named(where, name, declared=False)


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
        case pst.Set(elements):  # one set for each type that an element may have
            return tuple(_Written(kind) for element in elements for kind in _types(element, action))
        case _:
            return ()


def _attribute(bases: Iterable[CedarType], name: str) -> tuple[CedarType, ...]:
    return tuple(base.fields[name].type for base in bases if isinstance(base, Record) and name in base.fields)


def _compared(operation: pst.BinaryOp, action: Action) -> Iterator[CedarType]:
    """The types of what the operation compares as wholes: its sides, or the elements of those that are sets."""
    if operation.op in _EQUAL:
        yield from (*_types(operation.left, action), *_types(operation.right, action))
    elif operation.op in _CONTAINS:
        sets, others = [operation.left], [operation.right]
        if operation.op != "contains":
            sets, others = sets + others, []
        yield from (kind.element for side in sets for kind in _types(side, action) if isinstance(kind, SetOf))
        yield from (kind for side in others for kind in _types(side, action))


def _plain(cedar_type: CedarType) -> bool:
    """No array anywhere in it: of one, only what it contains is faithful."""
    match cedar_type:
        case _Written(element):
            return _plain(element)
        case SetOf():
            return False
        case Record(fields):
            return all(_plain(field.type) for field in fields.values())
        case _:
            return True
