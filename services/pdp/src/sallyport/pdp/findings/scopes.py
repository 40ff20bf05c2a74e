"""Findings about which requests policies are for: too many, the same twice, or only what is forbidden anyway."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from cedarpy import pst

from sallyport.contract.catalog import Effect
from sallyport.pdp import gates
from sallyport.pdp.findings.finding import Finding, about
from sallyport.pdp.findings.parts import Parts
from sallyport.pdp.findings.reach import is_open, kinds, written
from sallyport.pdp.policy import Policy
from sallyport.pdp.schema import CALL_TOOL, MCP, group_of

MOST_OPEN: Final = 100  # policies that every request of an action looks at; a few microseconds each
_SHOWN: Final = 5


def open_scope(parts: Parts) -> Iterator[Finding]:
    """A permit for whatever is there also permits whatever will be there."""
    for policy in written(parts):
        node = policy.node
        anybody = isinstance(node.principal, pst.ScopeAny | pst.ScopeIs)  # every principal is a Compound
        if policy.permits and anybody and isinstance(node.resource, pst.ScopeAny) and _takes_all(node.action):
            message = "it permits every action on every resource, also of tools that are added later"
            mend = 'name the actions: action in [Action::"read_file", ...], or a group and a type of resource'
            yield about(policy, "open-scope", policy.statement.find("permit"), message, mend)


def _takes_all(scope: pst.ActionConstraint) -> bool:
    """Every tool, of whatever effect."""
    named = {uid.id for uid in scope.entities} if isinstance(scope, pst.ActionIn) else set[str]()
    every = {group_of(effect) for effect in Effect}
    return isinstance(scope, pst.ScopeAny) or not named.isdisjoint({MCP, CALL_TOOL}) or named >= every


def same_text(parts: Parts) -> Iterator[Finding]:
    """One rule under two names: who mends the one believes that both are mended."""
    seen: dict[object, Policy] = {}
    for policy in written(parts):
        node = policy.node
        said = (node.effect, node.principal, node.action, node.resource, node.clauses, policy.obligation)
        first = seen.setdefault(said, policy)
        if first is not policy:
            place = f"{first.statement.file}:{first.statement.start[0]}"
            message = f"it says the same as {first.id} ({place})"
            yield about(policy, "same-text", policy.statement.find("id"), message, "keep one of the two")


def overridden(parts: Parts) -> Iterator[Finding]:
    """A permit for nothing but what some forbid forbids to everybody, whatever the circumstances."""
    closed = walls(parts)
    for policy in written(parts):
        found = kinds(policy, parts) if policy.permits else ()
        against = [closed.get((kind.action.name, kind.types.resource)) for kind in found]
        forbids = list(dict.fromkeys(wall.id for wall in against if wall is not None))
        if found and all(against):
            message = f"it never permits anything: {', '.join(forbids[:_SHOWN])} forbids all that is within its scope"
            gated = any(name.startswith("role:gate:") for name in forbids)
            mend = (
                "give a role what these tools need in roles.yaml" if gated else "narrow the forbid, or drop the permit"
            )
            yield about(policy, "overridden", policy.statement.find("permit"), message, mend)


def open_policies(parts: Parts) -> Mapping[str, tuple[Policy, ...]]:
    """For each action the policies that every request for it looks at, on the type of resource that has most."""
    found: dict[str, dict[str, list[Policy]]] = {name: {} for name in parts.snapshot.rules}
    for policy in parts.snapshot.policies:
        if is_open(policy.node.principal) and is_open(policy.node.resource):
            for kind in kinds(policy, parts):
                found[kind.action.name].setdefault(kind.types.resource, []).append(policy)
    return {name: max(map(tuple, by_type.values()), key=len, default=()) for name, by_type in found.items()}


def unbounded(parts: Parts) -> Iterator[Finding]:
    """Slicing helps only where scopes name something; one finding, at the action that is worst."""
    slices = open_policies(parts)
    worst = max(slices, key=lambda name: len(slices[name]))
    policies = [policy for policy in slices[worst] if policy.statement.file != gates.FILE]
    if len(slices[worst]) > MOST_OPEN and policies:
        names = ", ".join(policy.id for policy in policies[:_SHOWN])
        more = f" and {len(slices[worst]) - _SHOWN} more" if len(slices[worst]) > _SHOWN else ""
        message = f"every request of {worst} looks at {len(slices[worst])} policies: {names}{more}"
        mend = "name a principal or a resource in their scopes (principal in Role::..., resource == ...), or merge them"
        yield about(policies[0], "unbounded", policies[0].statement.start, message, mend)


def walls(parts: Parts) -> Mapping[tuple[str, str], Policy]:
    """What is forbidden to everybody: an action on a type of resource, and by which policy."""
    found: dict[tuple[str, str], Policy] = {}
    for policy in parts.snapshot.policies:
        node = policy.node
        if policy.permits or node.clauses or not isinstance(node.principal, pst.ScopeAny) or not is_open(node.resource):
            continue
        for kind in kinds(policy, parts):
            found.setdefault((kind.action.name, kind.types.resource), policy)
    return found
