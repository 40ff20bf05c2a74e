"""The PDP's own audit stream, the second witness: what the PEP's record says of a decision, this one says or denies.

A decision is handed over before its answer leaves, and not waited for: group commit makes it durable within 5 ms. What
can't be handed over is denied. Arguments never stand here; the question and what it asks for do as keyed hashes.
"""

from __future__ import annotations

import asyncio
import functools
import json
import re
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import Future
from contextlib import asynccontextmanager
from itertools import islice
from typing import Any, Final

import structlog

from sallyport.audit.errors import AuditUnavailable, KeyRefused, RecordRefused
from sallyport.audit.ledger import Receipt
from sallyport.audit.masker import Masker
from sallyport.audit.record import MAX_INTEGER, clean, escape
from sallyport.audit.signer import Signer
from sallyport.audit.writer import Writer
from sallyport.authz.v1 import authz_pb2 as pb
from sallyport.contract.limits import MAX_REASONS, MAX_RESOURCE_ID_BYTES, MAX_RESOURCE_TYPE_BYTES, MAX_ROLES, MAX_SCOPES
from sallyport.pdp.model import Effect, Principal, Purpose, Query, Session, Verdict
from sallyport.pdp.observer import Decision, Reloaded
from sallyport.pdp.settings import Audit
from sallyport.runtime import canonical_json
from sallyport.runtime.ending import opened
from sallyport.runtime.problems import ConfigError, Problem

SERVICE: Final = "pdp"
_VERSION: Final = "0.1.0"
_GATHER: Final = 0.005  # seconds: nobody waits for these records, and a flush for each would hold up the questions
_LATE: Final = 0.8  # seconds any record may wait for the disk; so never is more than a second answered and not recorded
_MAX_RESOURCES: Final = 64  # as many as the PEP asks for in one call
_MAX_PROBLEMS: Final = 32
_MAX_TEXT: Final = 512  # characters
_MAX_RESOURCE: Final = MAX_RESOURCE_TYPE_BYTES + MAX_RESOURCE_ID_BYTES + 2
# Bytes of each list as a line spells it. Together with roles and scopes at their longest, and all of it escaped, they
# stay below a record's end: a text that a stranger chose must not be what makes a decision unrecordable.
_RESOURCES_ROOM, _REASONS_ROOM, _OBLIGATIONS_ROOM, _ACTIONS_ROOM = 265 << 10, 96 << 10, 16 << 10, 8 << 10
_LIST_ROOM: Final = 49 << 10  # of roles, of scopes: 64 of 128 bytes, each byte escaped
_PLAIN: Final = re.compile(r"[ !#-\[\]-~]*")  # a line spells these as they are

Fields = dict[str, Any]
_log: Final = structlog.get_logger()


class Recorder:
    """An Observer. `decided` raises AuditUnavailable where a decision can't be recorded, and the service denies."""

    def __init__(self, writer: Writer, masker: Masker, clock: Callable[[], float] = time.monotonic) -> None:
        self._writer = writer
        self._masker = masker
        self._clock = clock
        # When each was handed over, oldest first, as far as not known to be durable: each flush makes a batch's age anew,
        # so one of them can't speak for the rest. The event loop's alone; the writer's queue bounds it.
        self._waiting: deque[tuple[float, Future[Receipt]]] = deque()

    def decided(self, decision: Decision) -> None:
        if not self._writer.healthy or self._hangs():
            self._writer.count_lost("decision")
            raise AuditUnavailable(self._writer.failure or "the audit record waits for the disk")
        since = self._clock()
        try:
            written = self._writer.append("decision", _decided(decision, self._masker))
        except RecordRefused:
            self._writer.count_lost("decision")
            raise
        if written.done() and (refused := written.exception()) is not None:
            raise refused
        self._waiting.append((since, written))

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
        while self._waiting and self._waiting[0][1].done():
            self._waiting.popleft()
        return bool(self._waiting) and self._clock() - self._waiting[0][0] > _LATE


@asynccontextmanager
async def open_stream(settings: Audit) -> AsyncIterator[Recorder]:
    """A new stream for this process, accounting for the ones before it; closed and signed on leaving.

    Raises ConfigError: without a record there is no PDP.
    """
    try:
        signer, masker = Signer.from_file(settings.signing_key), Masker.from_file(settings.masking_key)
        open_ = functools.partial(Writer.open, version=_VERSION, gather=_GATHER)
        writer = await opened(functools.partial(open_, settings.directory, SERVICE, signer), _close)
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
        "errors": _union(
            (pb.ErrorCode.Name(pb.ErrorCode.ValueType(code)) for code in v.errors) for v in decision.verdicts
        ),
    }
    if decision.client:
        fields["client"] = clean(decision.client)
    if decision.traceparent:
        fields["traceparent"] = clean(decision.traceparent)
    if decision.principal is not None:
        fields |= _who(decision.principal)
    if decision.purpose in {Purpose.VISIBILITY, Purpose.FILTER}:
        return fields | _counted(decision, decision.purpose)
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
        "roles": _listed(principal.roles[:MAX_ROLES], _LIST_ROOM),
        "scopes": _listed(principal.scopes[:MAX_SCOPES], _LIST_ROOM),
    }


def _session(session: Session) -> Fields:
    """What is unknown is absent here too."""
    numbers = {"risk": session.risk, "mfa_age": session.mfa_age, "call_count": session.call_count}
    facts: Fields = {name: _number(fact) for name, fact in numbers.items() if fact is not None}
    return facts if session.ip is None else facts | {"ip": clean(session.ip)}


def _number(value: int) -> int | str:
    """The contract carries 64 bits, a record 53."""
    return value if abs(value) <= MAX_INTEGER else str(value)


def _counted(decision: Decision, purpose: Purpose) -> Fields:
    """For a whole listing the counts: a line for each tool would tell no more than the revision does."""
    shown = sum(verdict.effect is not Effect.DENY and not verdict.errors for verdict in decision.verdicts)
    counts = {"purpose": purpose.name.lower(), "shown": shown, "hidden": len(decision.verdicts) - shown}
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
        fields["obligations"] = _listed(_union(one.obligations for one in decision.verdicts), _OBLIGATIONS_ROOM)
    if decision.queries and decision.source == "grpc":  # nobody else asks as the PEP does
        fields["request_hmac"] = _request(decision.queries[0], masker)
    return fields


def _request(query: Query, masker: Masker) -> str:
    """The PEP's hash of the same call: what was judged is what ran, or the two records differ (N27)."""
    return masker.request(
        b"\0".join((query.action.encode("utf-8", "replace"), canonical_json.encode(dict(query.input))))
    )


def _actions(queries: Iterable[Query]) -> list[str]:
    return _listed(_union((query.action,) for query in queries)[:_MAX_RESOURCES], _ACTIONS_ROOM)


def _resources(queries: Iterable[Query]) -> list[str]:
    named = (f"{query.resource_type}::{query.resource_id}" for query in islice(queries, _MAX_RESOURCES))
    return _listed(named, _RESOURCES_ROOM, _MAX_RESOURCE)


def _reasons(verdicts: Iterable[Verdict]) -> list[str]:
    """As far as the answer names them."""
    return _listed(_union(verdict.reasons[:MAX_REASONS] for verdict in verdicts), _REASONS_ROOM)


def _listed(texts: Iterable[str], room: int, longest: int = 256) -> list[str]:
    """The first of them, as many as fit."""
    told: list[str] = []
    for text in texts:
        cleaned = clean(text, longest)
        room -= _spelled(cleaned)
        if room < 0:
            break
        told.append(cleaned)
    return told


def _spelled(text: str) -> int:
    """Bytes in a line, quotes and comma included."""
    if _PLAIN.fullmatch(text):
        return len(text) + 3
    return len(escape(json.dumps(text, ensure_ascii=False)).encode()) + 1


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
