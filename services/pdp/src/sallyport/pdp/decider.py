"""The one door of the engine room: the service asks here and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from sallyport.pdp.engine import evaluate
from sallyport.pdp.model import Effect, ErrorCode, Principal, Purpose, Query, Verdict
from sallyport.pdp.snapshot import Snapshot
from sallyport.pdp.visibility import visible


def decide(
    snapshot: Snapshot | None,
    principal: Principal,
    queries: Sequence[Query],
    purpose: Purpose,
    *,
    catalog_digest: str,
    now: datetime | None = None,
) -> tuple[Verdict, ...]:
    """One verdict per query, in order, all on one snapshot and at one instant; never raises."""
    if snapshot is None:
        return _all_denied(queries, ErrorCode.NO_POLICIES)
    if catalog_digest != snapshot.catalog_digest:
        return _all_denied(queries, ErrorCode.CATALOG_MISMATCH)
    if purpose is not Purpose.CALL:  # whatever else is asked can't be answered with a permit
        return visible(snapshot, principal, [query.action for query in queries])
    instant = now or datetime.now(UTC)
    return tuple(evaluate(snapshot, principal, query, instant) for query in queries)


def _all_denied(queries: Sequence[Query], code: ErrorCode) -> tuple[Verdict, ...]:
    return tuple(Verdict(Effect.DENY, errors=(code,)) for _ in queries)
