"""An explanation as an operator reads it: the decision in a sentence, then every policy with what in it was false."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from datetime import UTC, datetime

from sallyport.cli.plain import plain
from sallyport.pdp.cedar_text import entity
from sallyport.pdp.explain.explanation import Explanation, nearest
from sallyport.pdp.explain.refusals import why
from sallyport.pdp.explain.trace import Node, Outcome, Trace
from sallyport.pdp.model import Effect, Principal, Query
from sallyport.pdp.snapshot import Snapshot

_WIDTH = 100
_MARKS = {True: "true ", False: "FALSE", None: "ERROR"}
_JOINED = {"&&": "all of", "||": "one of", "!": "not", "if": "if, then, else"}
_OUTCOMES = {
    Outcome.FAILED: "FAILED",
    Outcome.MATCHED: "MATCHED",
    Outcome.CONDITION: "not met",
    Outcome.SCOPE: "other scope",
    Outcome.UNASKED: "not asked",
}


def lines(
    snapshot: Snapshot, principal: Principal, query: Query, at: datetime, explained: Explanation
) -> Iterator[str]:
    """The whole explanation; every line is plain text, whatever the names in it hold."""
    verdict = explained.verdict
    who = f"{principal.user_id} via {principal.agent_id} ({principal.org}; {_listed(principal.roles, 'no role')})"
    what = f"{query.action} {entity(query.resource_type or '?', query.resource_id)}"
    yield plain(f"{verdict.effect.name}  {who}")
    yield plain(f"  {what}, at {at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}")
    for name in ("reasons", "obligations", "advice", "scopes"):
        if values := getattr(verdict, name):
            yield plain(f"  {name + ':':<12} {'; '.join(values)}")
    if verdict.errors:
        yield f"  {'errors:':<12} {', '.join(code.name for code in verdict.errors)}"
    yield ""
    yield from map(plain, summary(snapshot, principal, query, explained))
    yield ""
    yield from _policies(query, explained)


def summary(snapshot: Snapshot, principal: Principal, query: Query, explained: Explanation) -> Iterator[str]:
    """Why, in plain words."""
    verdict = explained.verdict
    if explained.refused:
        for code in verdict.errors:
            yield f"Denied before any policy was looked at: {why(code, snapshot, principal, query)}."
        return
    by_outcome = {outcome: [one for one in explained.traces if one.outcome is outcome] for outcome in Outcome}
    if by_outcome[Outcome.FAILED]:
        yield "Denied: a policy couldn't be evaluated, and what Cedar skips is no ground for a permit."
        for one in by_outcome[Outcome.FAILED]:
            yield f"  {one.policy.id}: {one.error}"
    elif verdict.effect is Effect.PERMIT:
        yield f"Permitted by {_ids(by_outcome[Outcome.MATCHED])}; no forbid matched."
    elif forbids := [one for one in by_outcome[Outcome.MATCHED] if not one.policy.permits]:
        yield f"Denied: forbidden by {_ids(forbids)}."
        for one in forbids:
            yield from _because(one)
        if any(one.policy.permits for one in by_outcome[Outcome.MATCHED]):
            permits = [one for one in by_outcome[Outcome.MATCHED] if one.policy.permits]
            yield f"{_ids(permits)} would permit it, but a forbid always wins."
    else:
        yield from _unpermitted(explained)


def _unpermitted(explained: Explanation) -> Iterator[str]:
    near = nearest(explained)
    if near is None:
        yield "Denied: no policy permits this action at all. Write a permit for it."
        return
    yield f"Denied: no permit matched. The nearest is {near.policy.id}, of which this was not so:"
    yield from _because(near, heading=False)


def _because(one: Trace, *, heading: bool = True) -> Iterator[str]:
    """The smallest parts that made a policy match, or kept it from it."""
    leaves = [leaf for leaf in one.blame if leaf.word != "scope" or one.outcome is not Outcome.MATCHED]
    if not leaves:
        yield f"  {one.policy.id} has no condition: its scope alone decides."
    for leaf in leaves:
        name = f"{one.policy.id}: " if heading else ""
        truth = "failed" if leaf.holds is None else str(leaf.holds).lower()
        yield from _fitted(f"  {name}`{leaf.text}` is {truth}", ": ", leaf.error or leaf.values, 6)


def _policies(query: Query, explained: Explanation) -> Iterator[str]:
    others = f"; {explained.others} speak of other actions alone" if explained.others else ""
    yield plain(f"{len(explained.traces)} policies were looked at for {query.action}{others}.")
    for one in explained.traces:
        place = f"{one.policy.statement.file}:{one.policy.statement.start[0]}"
        if place.startswith("("):
            place = one.policy.statement.file
        effect = "permit" if one.policy.permits else "forbid"
        if one.nodes:
            yield ""
        yield plain(f"{_OUTCOMES[one.outcome]:<11}  {effect}  {one.policy.id}  {place}")
        for node in one.nodes:
            yield from map(plain, _node(node, 1))


def _node(node: Node, depth: int) -> Iterator[str]:
    """A part on its line; its own parts beneath, as far as there are any."""
    if node.word in {"when", "unless"}:
        yield "  " * depth + node.word
        inner = node.parts[0] if node.parts else Node(node.text, node.truth, node.values)
        for part in inner.parts if inner.word == "&&" else (inner,):
            yield from _node(part, depth + 1)
        return
    mark = "  -  " if node.truth is None else _MARKS[node.holds]
    if node.parts:
        yield f"{'  ' * depth}{mark}  {_JOINED[node.word]}"
        for part in node.parts:
            yield from _node(part, depth + 2)
        return
    text = f"{'  ' * depth}{mark}  {node.text}"
    told = "not reached" if node.truth is None else node.error or node.values
    yield from _fitted(text, "    ", told, 2 * depth + 9)


def _fitted(text: str, between: str, told: str, indent: int) -> Iterator[str]:
    """On one line where both have room."""
    if not told:
        yield from _folded(text, indent)
    elif len(text) + len(between) + len(told) <= _WIDTH:
        yield text + between + told
    else:
        yield from _folded(text + between.rstrip(), indent)
        yield " " * indent + told


def _folded(text: str, indent: int) -> list[str]:
    """A long part of a policy, in lines; a word that is longer stays whole."""
    begun = " " * indent
    return textwrap.wrap(
        text, _WIDTH, subsequent_indent=begun, replace_whitespace=False, break_long_words=False, break_on_hyphens=False
    )


def _ids(traces: list[Trace]) -> str:
    return ", ".join(one.policy.id for one in traces)


def _listed(names: tuple[str, ...], empty: str) -> str:
    return ", ".join(names) or empty
