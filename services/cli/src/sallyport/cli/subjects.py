"""Whom policies name: the users, roles, scopes and resources that must be asked about so that nobody is overlooked.

A policy tells callers apart by what it names of them. Two callers of one org and agent of whom all that holds alike are
decided alike, so one of each kind is enough; what can't be listed so is `unlisted`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final, TypeAlias

from cedarpy import pst

from sallyport.pdp.policy import Policy, nodes
from sallyport.pdp.roles import Role, closure
from sallyport.runtime import strict_json

MOST_SETS: Final = 64  # kinds of callers told apart by their roles; and by their scopes
_PRINCIPAL: Final = pst.Var("principal")
_USER: Final = pst.GetAttr(_PRINCIPAL, "user_id")
_SCOPES: Final = pst.GetAttr(_PRINCIPAL, "scopes")
_EQUAL: Final = frozenset({"eq", "not_eq"})
_HAVE: Final = frozenset({"contains", "contains_all", "contains_any"})
Path: TypeAlias = tuple[str, ...]
Roles: TypeAlias = tuple[str, ...]  # of one user
_Passes: TypeAlias = frozenset[frozenset[str]]  # the groups of roles that they count for


@dataclass(frozen=True, slots=True)
class Named:
    """What the policies about one tool name."""

    identities: tuple[tuple[str, str], ...]  # issuer and subject, out of User and Compound literals
    users: tuple[str, ...]  # what `principal.user_id` is compared with
    paths: tuple[Path, ...]  # where in a resource stands what it is compared with
    roles: tuple[frozenset[str], ...]  # each group of roles that is asked for as one
    scopes: tuple[tuple[str, ...], ...]  # each set of scopes that may be told apart from the others, none first
    resources: tuple[tuple[str, str], ...]
    unlisted: frozenset[str]  # ids of policies that ask of users or scopes what no list answers


def named(policies: Iterable[Policy]) -> Named:
    """What all of them name."""
    inside = {policy.id: _inside(policy) for policy in policies}
    found = [node for held in inside.values() for node in held]
    uids = sorted((node for node in found if isinstance(node, pst.EntityUid)), key=str)
    asked = [one for node in found for one in _compared(node)]
    scopes, complete = _scope_sets(tuple(dict.fromkeys(scope for node in found for scope in _scopes(node))))
    return Named(
        tuple(dict.fromkeys(_identity(uid.id) for uid in uids if str(uid.type) in {"User", "Compound"})),
        tuple(dict.fromkeys(one for one in asked if isinstance(one, str))),
        tuple(dict.fromkeys(one for one in asked if isinstance(one, tuple))),
        tuple(dict.fromkeys(group for group in _role_groups(found) if group)),
        scopes,
        tuple(dict.fromkeys((str(uid.type), uid.id) for uid in uids)),
        frozenset(name for name, held in inside.items() if not _listed(held, scopes=complete)),
    )


def role_kinds(groups: Sequence[frozenset[str]], roles: Mapping[str, Role]) -> tuple[list[list[Roles]], bool]:
    """Roles that policies don't tell apart, together; then what several roles of one user make. And: are these all?"""
    kinds: dict[_Passes, list[Roles]] = {}
    for name in roles:
        kinds.setdefault(_passes(name, groups, roles), []).append((name,))
    alone = [(passes, names[0]) for passes, names in kinds.items()]
    waiting = list(alone)
    while waiting:
        mine, held = waiting.pop(0)
        for theirs, more in alone:
            if (both := mine | theirs) not in kinds:
                if len(kinds) >= MOST_SETS + len(alone):
                    return list(kinds.values()), False
                kinds[both] = [(*held, *more)]
                waiting.append((both, (*held, *more)))
    return list(kinds.values()), True


def users_of(attributes: Mapping[str, Any], paths: Iterable[Path]) -> Iterator[str]:
    """Whom a resource's attributes name, where policies look for users."""
    for path in paths:
        value: Any = attributes
        for step in path:
            value = value.get(step) if isinstance(value, dict) else None
        yield from (one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str) and one)


def stranger(word: str, known: Iterable[str]) -> str:
    """A name that nothing names."""
    taken = frozenset(known)
    while word in taken:
        word += " else"
    return word


def _inside(policy: Policy) -> list[object]:
    return list(nodes((policy.node.principal, policy.node.resource, policy.node.clauses)))


def _passes(name: str, groups: Sequence[frozenset[str]], roles: Mapping[str, Role]) -> _Passes:
    held = closure((name,), roles)
    return frozenset(group for group in groups if not group.isdisjoint(held))


def _scope_sets(scopes: tuple[str, ...]) -> tuple[tuple[tuple[str, ...], ...], bool]:
    if 2 ** len(scopes) > MOST_SETS:
        return ((), *((scope,) for scope in scopes), scopes), False
    return tuple(some for size in range(len(scopes) + 1) for some in combinations(scopes, size)), True


def _role_groups(found: Iterable[object]) -> Iterator[frozenset[str]]:
    """`principal in [a, b]` asks for either: who has one passes as who has the other."""
    for node in found:
        match node:
            case pst.BinaryOp("in", _, pst.Set(elements)) if all(isinstance(one, pst.EntityLit) for one in elements):
                yield frozenset(_roles_in(elements))
            case pst.BinaryOp("in", _, right) | pst.Is(_, _, right):
                yield from (frozenset({name}) for name in _roles_in(right))
            case pst.ScopeIn(uid) | pst.ScopeIsIn(_, uid):
                yield from (frozenset({name}) for name in _roles_in(uid))


def _roles_in(part: object) -> Iterator[str]:
    return (node.id for node in nodes(part) if isinstance(node, pst.EntityUid) and str(node.type) == "Role")


def _compared(node: object) -> Iterator[str | Path]:
    """What the user's id is compared with: a text, or an attribute of the resource."""
    match node:
        case pst.BinaryOp(op, one, other) if op in _EQUAL and _USER in (one, other):
            yield from _users(other if one == _USER else one)
        case pst.BinaryOp("contains", held, other) if other == _USER:
            yield from _users(held)


def _users(part: pst.Expr) -> Iterator[str | Path]:
    match part:
        case pst.StringLit(value):
            yield value
        case pst.Set(elements):
            for one in elements:
                yield from _users(one)
        case pst.GetAttr():
            path = _path(part)
            if path:
                yield path


def _path(part: pst.Expr) -> Path:
    """`resource.about.owner` as its steps; nothing where it isn't the resource's."""
    steps: list[str] = []
    while isinstance(part, pst.GetAttr):
        steps.insert(0, part.attr)
        part = part.base
    return tuple(steps) if part == pst.Var("resource") else ()


def _scopes(node: object) -> Iterator[str]:
    match node:
        case pst.BinaryOp(op, held, right) if op in _HAVE and held == _SCOPES:
            elements = right.elements if isinstance(right, pst.Set) else (right,)
            yield from (one.value for one in elements if isinstance(one, pst.StringLit))


def _listed(inside: Sequence[object], *, scopes: bool) -> bool:
    """Is all that is asked of users and scopes taken up above? `scopes`: every set of those that are named is."""
    users = sum(node == _USER for node in inside)
    of_users = sum(any(True for _ in _compared(node)) and _written_out(node) for node in inside)
    of_scopes = sum(any(True for _ in _scopes(node)) and _written_out(node) for node in inside)
    all_scopes = sum(node == _SCOPES for node in inside)
    # `(if … then principal else principal).user_id` is the user's id, too.
    hidden = any(
        isinstance(node, pst.GetAttr) and node.attr in {"user_id", "scopes"} and not isinstance(node.base, pst.Var)
        for node in inside
    )
    return users == of_users and all_scopes == of_scopes and (scopes or not all_scopes) and not hidden


def _written_out(node: object) -> bool:
    """No side of it hides something that isn't written there."""
    sides = (node.left, node.right) if isinstance(node, pst.BinaryOp) else ()
    elements = (one for side in sides for one in (side.elements if isinstance(side, pst.Set) else (side,)))
    return all(isinstance(one, pst.StringLit) or one in (_USER, _SCOPES) or bool(_path(one)) for one in elements)


def _identity(text: str) -> tuple[str, str]:
    """Loading has seen to its form."""
    parts = strict_json.parse(text.encode())
    issuer, subject, *_ = parts if isinstance(parts, list) else ["", ""]
    return str(issuer), str(subject)
