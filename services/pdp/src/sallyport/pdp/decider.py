"""The one door of the engine room: the service asks here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from sallyport.pdp.engine import Shared, evaluate
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
    return tuple(verdicts(snapshot, principal, queries, purpose, catalog_digest=catalog_digest, now=now))


def verdicts(
    snapshot: Snapshot | None,
    principal: Principal,
    queries: Sequence[Query],
    purpose: Purpose,
    *,
    catalog_digest: str,
    now: datetime | None = None,
) -> Iterator[Verdict]:
    """The same one by one, for whoever has others to attend to in between."""
    if snapshot is None:
        yield from _all_denied(queries, ErrorCode.NO_POLICIES)
    elif catalog_digest != snapshot.catalog_digest:
        yield from _all_denied(queries, ErrorCode.CATALOG_MISMATCH)
    elif purpose not in {Purpose.CALL, Purpose.FILTER}:  # whatever else is asked can't be answered with a permit
        for query in queries:
            yield from visible(snapshot, principal, [query.action])
    else:
        instant, shared = now or datetime.now(UTC), Shared()
        for query in queries:
            yield evaluate(snapshot, principal, query, instant, shared)


def _all_denied(queries: Sequence[Query], code: ErrorCode) -> Iterator[Verdict]:
    yield from (Verdict(Effect.DENY, errors=(code,)) for _ in queries)
