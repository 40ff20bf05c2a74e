"""The PDP's own audit stream, the second witness: what the PEP's record says of a decision, this one says or denies.

A decision is handed over before its answer leaves, and not waited for: group commit makes it durable within 5 ms. What
can't be handed over is denied. Arguments never stand here; the question and what it asks for do as keyed hashes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import Future
from contextlib import asynccontextmanager
from itertools import islice
from typing import Any, Final

import structlog

from sallyport.audit.errors import AuditUnavailable, KeyRefused, RecordRefused
from sallyport.audit.ledger import Receipt
from sallyport.audit.masker import Masker
from sallyport.audit.record import clean
from sallyport.audit.signer import Signer
from sallyport.audit.writer import Writer
from sallyport.authz.v1 import authz_pb2 as pb
from sallyport.contract.limits import MAX_REASONS, MAX_RESOURCE_ID_BYTES, MAX_RESOURCE_TYPE_BYTES, MAX_ROLES, MAX_SCOPES
from sallyport.pdp.model import Effect, Principal, Purpose, Query, Session, Verdict
from sallyport.pdp.observer import Decision, Reloaded
from sallyport.pdp.settings import Audit
from sallyport.runtime import canonical_json
from sallyport.runtime.problems import ConfigError, Problem

SERVICE: Final = "pdp"
_VERSION: Final = "0.1.0"
_LATE: Final = 0.8  # seconds a record may wait for the disk; so no more than a second is ever answered and not recorded
_MAX_LISTED: Final = 1024  # reasons of one decision, over all its resources
_MAX_RESOURCES: Final = 64  # as many as the PEP asks for in one call
_MAX_TOLD: Final = 256 << 10  # characters of all resources together: a record has an end
_MAX_PROBLEMS: Final = 32
_MAX_TEXT: Final = 512  # characters
_MAX_RESOURCE: Final = MAX_RESOURCE_TYPE_BYTES + MAX_RESOURCE_ID_BYTES + 2

Fields = dict[str, Any]
_log: Final = structlog.get_logger()


class Recorder:
    """An Observer. `decided` raises AuditUnavailable where a decision can't be recorded, and the service denies."""

    def __init__(self, writer: Writer, masker: Masker, clock: Callable[[], float] = time.monotonic) -> None:
        self._writer = writer
        self._masker = masker
        self._clock = clock
        self._oldest: Future[Receipt] | None = None  # not known to be durable yet
        self._since = 0.0

    def decided(self, decision: Decision) -> None:
        if not self._writer.healthy or self._hangs():
            self._writer.count_lost("decision")
            raise AuditUnavailable(self._writer.failure or "the audit record waits for the disk")
        try:
            written = self._writer.append("decision", _decided(decision, self._masker))
        except RecordRefused:
            self._writer.count_lost("decision")
            raise
        if written.done() and (refused := written.exception()) is not None:
            raise refused
        if self._oldest is None or self._oldest.done():
            self._oldest, self._since = written, self._clock()

    def reloaded(self, event: Reloaded) -> None:
        """Never raises: the set is in force already, or isn't. A loss is counted by the writer, and told by a gap."""
        try:
            self._writer.append("policy", _reloaded(event)).add_done_callback(_alarm)
        except (AuditUnavailable, RecordRefused) as error:
            _log.error("a policy change couldn't be recorded", error=type(error).__name__)

    def failure(self) -> str:
        """Why nothing can be recorded, or empty."""
        return self._writer.failure or ("the audit record waits for the disk" if self._hangs() else "")

    def _hangs(self) -> bool:
        """A disk that takes writes and never finishes fails nothing; the clock says what it doesn't."""
        return self._oldest is not None and not self._oldest.done() and self._clock() - self._since > _LATE


@asynccontextmanager
async def open_stream(settings: Audit) -> AsyncIterator[Recorder]:
    """A new stream for this process, accounting for the ones before it; closed and signed on leaving.

    Raises ConfigError: without a record there is no PDP.
    """
    try:
        signer, masker = Signer.from_file(settings.signing_key), Masker.from_file(settings.masking_key)
        writer = await asyncio.to_thread(Writer.open, settings.directory, SERVICE, signer, version=_VERSION)
    except (KeyRefused, AuditUnavailable) as error:
        raise ConfigError.about("audit", f"{error}; mend it, or correct `audit` in pdp.yaml") from None
    try:
        yield Recorder(writer, masker)
    finally:
        await asyncio.to_thread(_close, writer)


def _close(writer: Writer) -> None:
    """An end that can't be signed is said, and leaves the process's other ends alone."""
    try:
        writer.close()
    except AuditUnavailable as error:
        _log.error("the audit stream has no signed close", why=str(error))


def _decided(decision: Decision, masker: Masker) -> Fields:
    fields: Fields = {
        "decision_id": clean(decision.decision_id),
        "source": decision.source,
        "revision": decision.revision,
        "question_hmac": masker.question(decision.question_sha256),
        "took_us": max(0, int(decision.seconds * 1e6)),
        "errors": _union((pb.ErrorCode.Name(int(code)) for code in v.errors) for v in decision.verdicts),  # type: ignore[arg-type]
    }
    if decision.traceparent:
        fields["traceparent"] = clean(decision.traceparent)
    if decision.principal is not None:
        fields |= _who(decision.principal)
    if decision.purpose is Purpose.VISIBILITY:
        return fields | _visibility(decision)
    if decision.purpose is not None:
        fields["purpose"] = decision.purpose.name.lower()
    return fields | _call(decision, masker)


def _who(principal: Principal) -> Fields:
    user, agent = clean(principal.user_id), clean(principal.agent_id)
    return {
        "issuer": clean(principal.issuer),
        "user": user,
        "agent": agent,
        "org": clean(principal.org),
        "compound_id": f"{user} via {agent}",
        # What the policies saw of the caller: whoever asks why must be able to ask again.
        "roles": [clean(role) for role in principal.roles[:MAX_ROLES]],
        "scopes": [clean(scope) for scope in principal.scopes[:MAX_SCOPES]],
    }


def _session(session: Session) -> Fields:
    """What is unknown is absent here too."""
    facts: Fields = {"risk": session.risk, "mfa_age": session.mfa_age, "call_count": session.call_count}
    facts["ip"] = None if session.ip is None else clean(session.ip)
    return {name: fact for name, fact in facts.items() if fact is not None}


def _visibility(decision: Decision) -> Fields:
    """For a whole listing the counts: a line for each tool would tell no more than the revision does."""
    shown = sum(verdict.effect is not Effect.DENY and not verdict.errors for verdict in decision.verdicts)
    counts = {"purpose": "visibility", "shown": shown, "hidden": len(decision.verdicts) - shown}
    if len(decision.queries) != 1:
        return counts
    return counts | {"actions": _actions(decision.queries), "reasons": _reasons(decision.verdicts)}


def _call(decision: Decision, masker: Masker) -> Fields:
    """As the PEP reads the answer: a permit only if all are, and of a denial the reasons of what denies."""
    denying = [one for one in decision.verdicts if one.effect is not Effect.PERMIT or one.errors]
    permitted = bool(decision.verdicts) and not denying
    fields: Fields = {
        "effect": "permit" if permitted else "deny",
        "actions": _actions(decision.queries),
        "resources": _resources(decision.queries),
        "reasons": _reasons(decision.verdicts if permitted else denying),
        "evaluations": len(decision.queries),
        "session": _session(decision.queries[0].session) if decision.queries else {},
    }
    if permitted:
        fields["obligations"] = [clean(one) for one in _union(one.obligations for one in decision.verdicts)]
    if decision.queries and decision.source == "grpc":  # nobody else asks as the PEP does
        fields["request_hmac"] = _request(decision.queries[0], masker)
    return fields


def _request(query: Query, masker: Masker) -> str:
    """The PEP's hash of the same call: what was judged is what ran, or the two records differ (N27)."""
    return masker.request(
        b"\0".join((query.action.encode("utf-8", "replace"), canonical_json.encode(dict(query.input))))
    )


def _actions(queries: Iterable[Query]) -> list[str]:
    return _union((clean(query.action),) for query in queries)[:_MAX_RESOURCES]


def _resources(queries: Iterable[Query]) -> list[str]:
    told: list[str] = []
    left = _MAX_TOLD
    for query in islice(queries, _MAX_RESOURCES):
        text = clean(f"{query.resource_type}::{query.resource_id}", min(_MAX_RESOURCE, left))
        left -= len(text)
        told.append(text)
    return told


def _reasons(verdicts: Iterable[Verdict]) -> list[str]:
    """As far as the answer names them."""
    return [clean(one) for one in _union(verdict.reasons[:MAX_REASONS] for verdict in verdicts)[:_MAX_LISTED]]


def _reloaded(event: Reloaded) -> Fields:
    return {
        "serves": event.serves,
        "revision": event.revision,
        "in_force": event.in_force,
        "problems": [_problem(one) for one in event.problems[:_MAX_PROBLEMS]],
        "problem_count": len(event.problems),
        "trigger": event.trigger,
        "took_us": max(0, int(event.seconds * 1e6)),
    }


def _problem(problem: Problem) -> str:
    return clean(str(problem), _MAX_TEXT)


def _union(groups: Iterable[Iterable[str]]) -> list[str]:
    return list(dict.fromkeys(item for group in groups for item in group))


def _alarm(written: Future[Receipt]) -> None:
    if written.exception() is not None:
        _log.error("a policy change couldn't be recorded", error=type(written.exception()).__name__)
