"""Findings about what policies ask: conditions that can't be met, that ask nothing, or that silence disarms."""

from __future__ import annotations

from collections.abc import Iterator

from cedarpy import pst

from sallyport.pdp.explain.expression import text
from sallyport.pdp.findings.finding import Finding, about
from sallyport.pdp.findings.fold import fold
from sallyport.pdp.findings.parts import Parts
from sallyport.pdp.findings.reach import conditions, kinds, met, written
from sallyport.pdp.policy import Policy, nodes

_SESSION = pst.GetAttr(pst.Var("context"), "session")


def never_applies(parts: Parts) -> Iterator[Finding]:
    """No request can match: a permit that permits nothing, or worse, a forbid that forbids nothing."""
    for policy in written(parts):
        found = kinds(policy, parts)
        if not found and (policy.permits or _names_a_tool(policy, parts)):
            mend = "correct the scope: catalog.yaml says which tools there are and which type of resource each touches"
            yield about(policy, "never-applies", policy.statement.start, "no request is within its scope", mend)
        elif found and all(met(policy, kind) is False for kind in found):
            why, place = _obstacle(policy, parts)
            effect = "permits" if policy.permits else "forbids"
            message = f"it never {effect} anything, because {why} for all that is within its scope"
            yield about(policy, "never-applies", place, message, "correct the condition, or remove the policy")


def always_so(parts: Parts) -> Iterator[Finding]:
    """A part that asks nothing is one that was meant to ask something."""
    for policy in written(parts):
        found = kinds(policy, parts)
        if not found or all(met(policy, kind) is False for kind in found):
            continue
        for clause, part in conditions(policy):
            folded = {fold(part, kind.types) for kind in found}
            unless = isinstance(clause, pst.Unless)
            if folded == {not unless}:
                word = "never" if unless else "always"
                message = f"`{_cut(text(part))}` is {word} so, so it asks nothing"
                mend = "correct it, or leave it out if the policy is to hold without"
                yield about(policy, "asks-nothing", _place(policy, part), message, mend)


def disarmed(parts: Parts) -> Iterator[Finding]:
    """`forbid … when { session has risk && … }` is silent exactly where the risk is unknown."""
    for policy in written(parts):
        if policy.permits:
            continue
        for clause, part in conditions(policy):
            if isinstance(clause, pst.Unless) or not isinstance(part, pst.HasAttr) or part.base != _SESSION:
                continue
            if any(fold(part, kind.types) is None for kind in kinds(policy, parts)):
                name = part.attrs[0]
                message = f"this forbid says nothing while the session's {name} is unknown"
                mend = f"turn it round: unless {{ context.session has {name} && ... }} forbids also what nobody knows"
                yield about(policy, "disarmed", _place(policy, part), message, mend)


def _names_a_tool(policy: Policy, parts: Parts) -> bool:
    """A forbid over a group or a type that nothing is in yet guards what will come; over a tool, it is a slip."""
    named = {uid.id for uid in pst.entity_uids((policy.node.action,))}
    return any(parts.snapshot.catalog.tool(name) is not None for name in named)


def _obstacle(policy: Policy, parts: Parts) -> tuple[str, tuple[int, int]]:
    """What keeps it from matching, the smallest part that does by itself."""
    found = kinds(policy, parts)
    wholes = ((clause, clause.expr) for clause in policy.node.clauses)
    for clause, part in (*conditions(policy), *wholes):
        unless = isinstance(clause, pst.Unless)
        if all(fold(part, kind.types) is unless for kind in found):
            return f"`{_cut(text(part))}` is {'always' if unless else 'never'} so", _place(policy, part)
    return "its condition is never met", policy.statement.find("{")


def _place(policy: Policy, part: pst.Expr) -> tuple[int, int]:
    """Where a part stands in the condition, as its rarest words tell: a tree has no places."""
    begun = policy.statement.find("{")
    for words in _words(part):
        places = [
            (token.line, token.column)
            for token in policy.statement.tokens
            if token.value in words and (token.line, token.column) > begun
        ]
        if places:
            return places[0]
    return begun


def _words(part: pst.Expr) -> Iterator[frozenset[str]]:
    found = list(nodes(part))
    yield frozenset(str(node.value) for node in found if isinstance(node, pst.LongLit | pst.StringLit))
    yield frozenset(node.attrs[0] for node in found if isinstance(node, pst.HasAttr))
    yield frozenset(str(node.entity_type) for node in found if isinstance(node, pst.Is))
    yield frozenset(node.attr for node in found if isinstance(node, pst.GetAttr))
    yield frozenset(str(node.value).lower() for node in found if isinstance(node, pst.BoolLit))


def _cut(written_out: str) -> str:
    longest = 60
    return written_out if len(written_out) <= longest else written_out[: longest - 3] + "..."
