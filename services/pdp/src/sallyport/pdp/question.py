"""The contract's bytes read strictly into the engine's values, and its verdicts put back into the contract's words.

Whatever isn't exactly what our own PEP writes is refused: a second reading of the same bytes (unknown or doubled
fields, JSON that isn't canonical) would be one that nobody judged.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from google.protobuf.message import DecodeError

from sallyport.authz.v1 import authz_pb2 as pb
from sallyport.contract.limits import (
    MAX_ADVICE,
    MAX_BATCH_QUESTION_BYTES,
    MAX_EVALUATIONS,
    MAX_QUESTION_BYTES,
    MAX_REASONS,
    MAX_RESULT_SCOPES,
    check_question,
)
from sallyport.pdp.model import Effect, ErrorCode, Json, Principal, Purpose, Query, Session, Verdict
from sallyport.pdp.snapshot import Snapshot
from sallyport.runtime import canonical_json, strict_json

_DECISION_ID: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Asked:
    """A question as the engine takes it."""

    principal: Principal
    purpose: Purpose
    catalog_digest: str
    queries: tuple[Query, ...]


@dataclass(frozen=True, slots=True)
class Envelope:
    """A question that can be answered, if only by a denial: `asked` is what to judge, or why it isn't judged."""

    decision_id: str
    traceparent: str
    results: int  # how many results the answer must have
    asked: Asked | str


def read(payload: bytes, *, batch: bool) -> Envelope | None:
    """None where there is no decision id to echo, and so nothing to answer."""
    if len(payload) > (MAX_BATCH_QUESTION_BYTES if batch else MAX_QUESTION_BYTES):
        return None
    question = pb.Question()
    try:
        question.ParseFromString(payload)
    except DecodeError:
        return None
    if not _DECISION_ID.fullmatch(question.decision_id):
        return None
    # A result each, so that the asker can match them, but never more than a question may ask for.
    results = min(max(len(question.evaluations), 1), MAX_EVALUATIONS) if batch else 1
    return Envelope(question.decision_id, question.traceparent, results, _asked(question, payload, batch=batch))


def answer(envelope: Envelope, payload: bytes, verdicts: Sequence[Verdict], snapshot: Snapshot | None) -> pb.Answer:
    """The answer to this very payload; revision and catalog are empty where no policy set serves."""
    return pb.Answer(
        decision_id=envelope.decision_id,
        revision=snapshot.revision if snapshot else "",
        question_sha256=hashlib.sha256(payload).digest(),
        results=[_result(verdict) for verdict in verdicts],
        catalog_digest=snapshot.catalog_digest if snapshot else "",
    )


def denied(envelope: Envelope, code: ErrorCode) -> tuple[Verdict, ...]:
    return (Verdict(Effect.DENY, errors=(code,)),) * envelope.results


def _asked(question: pb.Question, payload: bytes, *, batch: bool) -> Asked | str:
    reason = check_question(question, batch=batch)
    if reason is not None:
        return reason
    # Protobuf takes the last of two values for one field, and merges doubled messages: no such bytes are ours.
    if question.SerializeToString(deterministic=True) != payload:
        return "not the canonical encoding"
    try:
        purpose = Purpose(question.purpose)
        queries = tuple(_queries(question, purpose))
    except ValueError as error:
        return str(error)
    return Asked(_principal(question.subject), purpose, question.catalog_digest, queries)


def _principal(subject: pb.Subject) -> Principal:
    return Principal(
        issuer=subject.issuer,
        user_id=subject.user_id,
        agent_id=subject.agent_id,
        org=subject.org,
        roles=tuple(subject.roles),
        scopes=tuple(subject.scopes),
    )


def _session(session: pb.Session) -> Session:
    return Session(
        ip=session.ip or None,
        risk=session.risk if session.HasField("risk") else None,
        mfa_age=session.mfa_age if session.HasField("mfa_age") else None,
        call_count=session.call_count if session.HasField("call_count") else None,
    )


def _queries(question: pb.Question, purpose: Purpose) -> Iterator[Query]:
    """An evaluation of a call without an input of its own has the first one's; it is parsed once."""
    session = _session(question.session)
    if purpose is Purpose.VISIBILITY:
        yield from (Query(evaluation.action) for evaluation in question.evaluations)
        return
    data = question.evaluations[0].input
    first = _object(data, "input")
    for evaluation in question.evaluations:
        own = evaluation.input not in {b"", data}
        yield _query(evaluation, session, _object(evaluation.input, "input") if own else first)


def _query(evaluation: pb.Evaluation, session: Session, arguments: dict[str, Json]) -> Query:
    resource = evaluation.resource
    return Query(
        action=evaluation.action,
        resource_type=resource.type,
        resource_id=resource.id,
        resource_attributes=_object(resource.attributes, "attributes") if resource.attributes else {},
        input=arguments,
        session=session,
    )


def _object(data: bytes, what: str) -> dict[str, Json]:
    """ValueError unless `data` is the one canonical form (RFC 8785) of a JSON object."""
    value = strict_json.parse(data)
    if not isinstance(value, dict):
        raise ValueError(f"{what} is not an object")  # noqa: TRY004 — the bytes are wrong, not a type
    if canonical_json.encode(value) != data:
        raise ValueError(f"{what} is not canonical")
    return value


def _result(verdict: Verdict) -> pb.Result:
    # Obligations are never cut: too many of them make the answer one that isn't sent, and so a denial.
    return pb.Result(
        effect=pb.Effect.ValueType(verdict.effect),
        reasons=verdict.reasons[:MAX_REASONS],
        errors=[pb.ErrorCode.ValueType(code) for code in verdict.errors],
        obligations=verdict.obligations,
        advice=verdict.advice[:MAX_ADVICE],
        scopes=verdict.scopes[:MAX_RESULT_SCOPES],
    )
