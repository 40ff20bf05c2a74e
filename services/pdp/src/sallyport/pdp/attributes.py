"""Attributes that a policy asks a principal or a resource for with `has`, and that no type it can match has.

Cedar's validator takes such a `has` for plain false, so a slip of the pen makes a forbid that never forbids.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping

from cedarpy import pst

from sallyport.pdp.base_schema import MODEL, EntityType
from sallyport.pdp.context_paths import may_match
from sallyport.pdp.policy import Policy, nodes
from sallyport.pdp.schema import Action
from sallyport.runtime.problems import Problem


def check(policy: Policy, actions: Mapping[str, Action], resources: Mapping[str, EntityType]) -> Iterator[Problem]:
    """Every `principal has x` and `resource has x` that can only be false."""
    asked = [node for node in nodes(policy.node.clauses) if isinstance(node, pst.HasAttr)]
    for node in asked:
        if node.base not in (pst.Var("principal"), pst.Var("resource")):
            continue
        known = _names({"Compound"} if node.base == pst.Var("principal") else _types(policy, actions), resources)
        name = node.attrs[0]
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(sorted(known)) or 'none'}"
            message = f"no {node.base.name} that this policy can match has an attribute {name!r}; {hint}"
            yield policy.problem(policy.statement.find("has", name), message)


def _types(policy: Policy, actions: Mapping[str, Action]) -> set[str]:
    reached = {
        kind for action in actions.values() if may_match(policy.node.action, action) for kind in action.resource_types
    }
    match policy.node.resource:
        case pst.ScopeIs(kind) | pst.ScopeIsIn(kind, _):
            return reached & {str(kind)}
        case pst.ScopeEq(pst.EntityUid() as uid) | pst.ScopeIn(pst.EntityUid() as uid):
            return reached & {str(uid.type)}
        case _:
            return reached


def _names(types: set[str], resources: Mapping[str, EntityType]) -> set[str]:
    declared = {**MODEL, **resources}
    return {name for kind in types if kind in declared for name in declared[kind].attributes.fields}
