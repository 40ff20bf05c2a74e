"""Why a decision came out as it did, in order of importance."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sallyport.pdp.context_paths import may_match
from sallyport.pdp.decider import decide
from sallyport.pdp.explain.prepared import prepare
from sallyport.pdp.explain.trace import Node, Outcome, Trace, stands_against, trace
from sallyport.pdp.explain.values import Values
from sallyport.pdp.model import ErrorCode, Principal, Purpose, Query, Verdict
from sallyport.pdp.policy import Policy
from sallyport.pdp.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Explanation:
    verdict: Verdict  # exactly what `decide` says
    traces: tuple[Trace, ...]  # every policy about the action, the weightiest first
    others: int  # policies about other actions alone
    refused: bool  # denied before any policy was looked at: the verdict's errors say why


def explain(snapshot: Snapshot, principal: Principal, query: Query, now: datetime) -> Explanation:
    """The decision, and every policy whose scope takes the action in. Never raises for a bad request: it is denied."""
    verdict = decide(snapshot, principal, [query], Purpose.CALL, catalog_digest=snapshot.catalog_digest, now=now)[0]
    looked_at = about(snapshot, query.action)
    others = len(snapshot.policies) - len(looked_at)
    if set(verdict.errors) - {ErrorCode.POLICY_ERROR}:
        unasked = tuple(Trace(policy, Outcome.UNASKED, ()) for policy in looked_at)
        return Explanation(verdict, unasked, others, refused=True)
    values = Values(prepare(snapshot, principal, query, now))
    traces = trace(looked_at, values)
    return Explanation(verdict, tuple(sorted(traces, key=_weight)), others, refused=False)


def nearest(explanation: Explanation) -> Trace | None:
    """The permit that came nearest to matching."""
    missed = (Outcome.CONDITION, Outcome.SCOPE)
    return next(
        (found for found in explanation.traces if found.policy.permits and found.outcome in missed),
        None,
    )


def about(snapshot: Snapshot, action: str) -> tuple[Policy, ...]:
    rules = snapshot.rules.get(action)
    if rules is None:
        return ()
    return tuple(policy for policy in snapshot.policies if may_match(policy.node.action, rules.action))


def _weight(found: Trace) -> tuple[int, bool, float]:
    """Failures, then forbids and permits that matched, then permits by how near they came, then the rest."""
    if found.outcome in (Outcome.FAILED, Outcome.MATCHED):
        return (0 if found.outcome is Outcome.FAILED else 1, found.policy.permits, 0.0)
    return (2 if found.policy.permits else 3, found.outcome is Outcome.SCOPE, -_met(found))


def _met(found: Trace) -> float:
    """Which share of its parts held, up to the first that didn't."""
    pieces = [piece for node in found.nodes for piece in _pieces(node)]
    against = next((at for at, piece in enumerate(pieces) if stands_against(piece)), len(pieces))
    return against / len(pieces) if pieces else 1.0


def _pieces(node: Node) -> tuple[Node, ...]:
    """`when { a && b }` is as good as two conditions."""
    inner = node.parts[0] if node.word == "when" and node.parts else None
    return inner.parts if inner is not None and inner.word == "&&" else (node,)
