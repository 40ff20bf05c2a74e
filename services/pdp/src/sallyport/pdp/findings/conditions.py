"""Findings about what policies ask: conditions that can't be met, that ask nothing, or that silence disarms."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import pairwise

from cedarpy import pst

from sallyport.pdp.explain.expression import text
from sallyport.pdp.findings.finding import Finding, about
from sallyport.pdp.findings.fold import Types, fold
from sallyport.pdp.findings.parts import Parts
from sallyport.pdp.findings.reach import SESSION, Kind, conditions, holds, is_open, kinds, met, written
from sallyport.pdp.policy import Policy, nodes
from sallyport.pdp.types import Field, Record


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
        dotted = _dotted(policy)
        for clause, part in conditions(policy):
            # `hour_utc >= 0 && hour_utc < 6` says nothing wrong, so bounds don't count here.
            folded = {None if part in dotted else fold(part, replace(kind.types, bounds={})) for kind in found}
            unless = isinstance(clause, pst.Unless)
            if folded == {not unless}:
                word = "never" if unless else "always"
                message = f"`{_cut(text(part))}` is {word} so, so it asks nothing"
                mend = "correct it, or leave it out if the policy is to hold without"
                yield about(policy, "asks-nothing", _place(policy, part), message, mend)


def disarmed(parts: Parts) -> Iterator[Finding]:
    """`forbid … when { session has risk && … }` is silent exactly where the risk is unknown."""
    for policy in written(parts):
        facts = _unknown(policy, parts) if not policy.permits else ()
        if facts:
            message = f"this forbid says nothing while the session's {' and '.join(facts)} {_are(facts)} unknown"
            mend = f"turn it round: unless {{ context.session has {facts[0]} && ... }} forbids also what nobody knows"
            yield about(policy, "disarmed", _place(policy, pst.HasAttr(SESSION, facts[:1])), message, mend)


def _unknown(policy: Policy, parts: Parts) -> tuple[str, ...]:
    """The fact, or else all facts together, without which it matches nothing although it could."""
    asked = [node for node in nodes(policy.node.clauses) if isinstance(node, pst.HasAttr) and node.base == SESSION]
    names = tuple(sorted({node.attrs[0] for node in asked}))
    for kind in kinds(policy, parts) if names else ():
        # Without a required fact a call is denied before any policy is looked at.
        required = kind.action.tool.required_context if kind.action.tool is not None else ()
        open_ = tuple(name for name in names if name not in required)
        for facts in (*((name,) for name in open_), open_):
            less = _without(kind.types, facts)
            if facts and met(policy, kind) is None and holds(policy, less) is False and not _walled(kind, less, parts):
                return facts
    return ()


def _walled(kind: Kind, types: Types, parts: Parts) -> bool:
    """Does another forbid keep everybody off such requests, such as `unless { context.session has risk }`?"""
    asked = (kind.action.name, types.resource)
    return any(
        holds(policy, types) and asked in {(found.action.name, found.types.resource) for found in kinds(policy, parts)}
        for policy in written(parts)
        if not policy.permits and is_open(policy.node.principal) and is_open(policy.node.resource)
    )


def _without(types: Types, facts: Iterable[str]) -> Types:
    """The same requests, as far as the session lacks these facts."""
    context = types.attributes["context"]
    session = context.fields["session"].type
    known = session.fields if isinstance(session, Record) else {}
    left = Record({name: field for name, field in known.items() if name not in set(facts)})
    less = Record({**context.fields, "session": Field(left, required=True)}, context.left_out, context.open)
    return replace(types, attributes={**types.attributes, "context": less})


def _dotted(policy: Policy) -> frozenset[pst.Expr]:
    """Of `context has session.risk` Cedar makes `context has session && context.session has risk`."""
    asked = [part for _, part in conditions(policy) if isinstance(part, pst.HasAttr)]
    return frozenset(one for one, other in pairwise(asked) if other.base == pst.GetAttr(one.base, one.attrs[0]))


def _are(names: tuple[str, ...]) -> str:
    return "is" if len(names) == 1 else "are"


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
