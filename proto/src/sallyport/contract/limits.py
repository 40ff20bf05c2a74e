"""The limits that stand beside the fields in authz.proto, as code. Both sides enforce them; a breach is a denial."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Final

from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from sallyport.authz.v1 import authz_pb2 as pb

MAX_QUESTION_BYTES: Final = 256 << 10  # Evaluate
MAX_BATCH_QUESTION_BYTES: Final = 1 << 20  # EvaluateBatch
MAX_BATCH_MESSAGE_BYTES: Final = MAX_BATCH_QUESTION_BYTES + MAX_QUESTION_BYTES  # on the wire: room for MAC and answer
MAX_EVALUATIONS: Final = 1024
NONCE_BYTES: Final = 16
MAC_BYTES: Final = 32

MAX_ISSUER_BYTES: Final = 128
MAX_USER_BYTES: Final = 256
MAX_AGENT_BYTES: Final = 256
MAX_ORG_BYTES: Final = 128
MAX_ROLES: Final = 64
MAX_ROLE_BYTES: Final = 128
MAX_SCOPES: Final = 64
MAX_SCOPE_BYTES: Final = 128
MAX_IP_BYTES: Final = 45
MAX_RISK: Final = 100
MAX_ACTION_BYTES: Final = 128
MAX_INPUT_BYTES: Final = 192 << 10
MAX_RESOURCE_TYPE_BYTES: Final = 128
MAX_RESOURCE_ID_BYTES: Final = 4096
MAX_ATTRIBUTES_BYTES: Final = 16 << 10
TRACEPARENT_CHARACTERS: Final = 55

MAX_REASONS: Final = 256
MAX_REASON_BYTES: Final = 256
MAX_ERRORS: Final = 16
MAX_OBLIGATIONS: Final = 16
MAX_OBLIGATION_BYTES: Final = 256
MAX_ADVICE: Final = 16
MAX_ADVICE_BYTES: Final = 1024
MAX_RESULT_SCOPES: Final = 16
MAX_PROBLEMS: Final = 100
MAX_PROBLEM_BYTES: Final = 2048
MAX_CATALOG_BYTES: Final = 1 << 20
RELOAD_SECONDS: Final = 60  # how far a ReloadQuestion's clock may be from ours

_DECISION_ID: Final = re.compile(r"[0-9a-f]{32}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_ENTITY_TYPE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:::[A-Za-z_][A-Za-z0-9_]*)*")
_PURPOSES: Final = frozenset(
    {pb.PURPOSE_CALL, pb.PURPOSE_VISIBILITY, pb.PURPOSE_FILTER}
)  # an unknown number, or zero, is in neither


def check_question(question: pb.Question, *, batch: bool) -> str | None:
    """Give the first reason why a parsed question may not be judged, or None. The reason holds no value of a field.

    `batch` says by which method it came: EvaluateBatch takes 1 to 1024 evaluations, Evaluate exactly one. The size of
    the serialised question is the caller's to check, before it is parsed.
    """
    most = MAX_EVALUATIONS if batch else 1
    if not 1 <= len(question.evaluations) <= most:
        return f"evaluations: {len(question.evaluations)}, not 1 to {most}"
    return (
        _check_envelope(question)
        or _check_subject(question.subject)
        or _check_session(question.session)
        or _check_evaluations(question.evaluations, visibility=question.purpose == pb.PURPOSE_VISIBILITY)
    )


def check_answer(answer: pb.Answer) -> str | None:
    """Give the first reason why a parsed answer may not be believed, or None. A revision is empty where none serves."""
    if _has_unknown_fields(answer):
        return "answer: unknown field"
    if not _DECISION_ID.fullmatch(answer.decision_id):
        return "decision_id: not 32 lower-case hex digits"
    for digest in (answer.revision, answer.catalog_digest):
        if digest and not _SHA256.fullmatch(digest):
            return "revision or catalog_digest: not 64 lower-case hex digits"
    return next((reason for result in answer.results if (reason := _check_result(result))), None)


def check_revision(answer: pb.RevisionAnswer) -> str | None:
    """The same for the answer about the revision in force."""
    if _has_unknown_fields(answer):
        return "revision answer: unknown field"
    for digest in (answer.revision, answer.catalog_digest):
        if (answer.ready or digest) and not _SHA256.fullmatch(digest):
            return "revision or catalog_digest: not 64 lower-case hex digits"
    return _check_texts("problems", answer.problems, MAX_PROBLEMS, MAX_PROBLEM_BYTES)


def check_catalog(answer: pb.CatalogAnswer) -> str | None:
    """The same for the answer with the catalog's bytes."""
    if _has_unknown_fields(answer):
        return "catalog answer: unknown field"
    return f"catalog: over {MAX_CATALOG_BYTES} bytes" if len(answer.catalog) > MAX_CATALOG_BYTES else None


def _check_result(result: pb.Result) -> str | None:
    if _has_unknown_fields(result):
        return "result: unknown field"
    if len(result.errors) > MAX_ERRORS:
        return f"errors: more than {MAX_ERRORS}"
    return (
        _check_texts("reasons", result.reasons, MAX_REASONS, MAX_REASON_BYTES)
        or _check_texts("obligations", result.obligations, MAX_OBLIGATIONS, MAX_OBLIGATION_BYTES)
        or _check_texts("advice", result.advice, MAX_ADVICE, MAX_ADVICE_BYTES)
        or _check_texts("scopes", result.scopes, MAX_RESULT_SCOPES, MAX_SCOPE_BYTES)
    )


def _check_envelope(question: pb.Question) -> str | None:
    if _has_unknown_fields(question):
        return "question: unknown field"
    if not _DECISION_ID.fullmatch(question.decision_id):
        return "decision_id: not 32 lower-case hex digits"
    if question.purpose not in _PURPOSES:
        return "purpose: unknown or unspecified"
    if not _SHA256.fullmatch(question.catalog_digest):
        return "catalog_digest: not 64 lower-case hex digits"
    if question.traceparent and _size(question.traceparent) != TRACEPARENT_CHARACTERS:
        return f"traceparent: not empty or {TRACEPARENT_CHARACTERS} characters"
    return None if question.HasField("subject") else "subject: missing"


def _check_subject(subject: pb.Subject) -> str | None:
    if _has_unknown_fields(subject):
        return "subject: unknown field"
    return (
        _check_text("subject.issuer", subject.issuer, MAX_ISSUER_BYTES)
        or _check_text("subject.user_id", subject.user_id, MAX_USER_BYTES)
        or _check_text("subject.agent_id", subject.agent_id, MAX_AGENT_BYTES)
        or _check_text("subject.org", subject.org, MAX_ORG_BYTES)
        or _check_texts("subject.roles", subject.roles, MAX_ROLES, MAX_ROLE_BYTES)
        or _check_texts("subject.scopes", subject.scopes, MAX_SCOPES, MAX_SCOPE_BYTES)
    )


def _check_session(session: pb.Session) -> str | None:
    if _has_unknown_fields(session):
        return "session: unknown field"
    if session.ip and not _is_address(session.ip):
        return "session.ip: not a textual address"
    if not 0 <= session.risk <= MAX_RISK:
        return f"session.risk: not 0 to {MAX_RISK}"
    if session.mfa_age < 0:
        return "session.mfa_age: negative"
    return "session.call_count: negative" if session.call_count < 0 else None


def _check_evaluations(evaluations: Iterable[pb.Evaluation], *, visibility: bool) -> str | None:
    for number, evaluation in enumerate(evaluations):
        if _has_unknown_fields(evaluation):
            return "evaluation: unknown field"
        reason = _check_text("action", evaluation.action, MAX_ACTION_BYTES)
        reason = reason or (_check_bare(evaluation) if visibility else _check_call(evaluation, first=not number))
        if reason:
            return reason
    return None


def _check_bare(evaluation: pb.Evaluation) -> str | None:
    if evaluation.HasField("resource"):
        return "resource: present in a question of visibility"
    return "input: present in a question of visibility" if evaluation.input else None


def _check_call(evaluation: pb.Evaluation, *, first: bool) -> str | None:
    if not evaluation.HasField("resource"):
        return "resource: missing"
    resource = evaluation.resource
    if _has_unknown_fields(resource):
        return "resource: unknown field"
    if _size(resource.type) > MAX_RESOURCE_TYPE_BYTES or not _ENTITY_TYPE.fullmatch(resource.type):
        return f"resource.type: not a Cedar entity type of 1 to {MAX_RESOURCE_TYPE_BYTES} bytes"
    return (
        _check_text("resource.id", resource.id, MAX_RESOURCE_ID_BYTES)
        or (
            _check_object("resource.attributes", resource.attributes, MAX_ATTRIBUTES_BYTES)
            if resource.attributes
            else None
        )
        or (_check_object("input", evaluation.input, MAX_INPUT_BYTES) if first or evaluation.input else None)
    )


def _check_text(name: str, text: str, most: int) -> str | None:
    return None if 1 <= _size(text) <= most else f"{name}: not 1 to {most} bytes"


def _check_texts(name: str, texts: Iterable[str], most: int, most_bytes: int) -> str | None:
    found = tuple(texts)
    if len(found) > most:
        return f"{name}: more than {most}"
    return next((reason for text in found if (reason := _check_text(name, text, most_bytes))), None)


def _check_object(name: str, data: bytes, most: int) -> str | None:
    """Only the outline: whoever uses the object parses it, strictly."""
    if len(data) > most:
        return f"{name}: over {most} bytes"
    return None if data[:1] == b"{" and data[-1:] == b"}" else f"{name}: not a JSON object"


def _is_address(text: str) -> bool:
    if _size(text) > MAX_IP_BYTES or "%" in text:  # a zone id means nothing to another host, and nothing to Cedar
        return False
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8"))


def _has_unknown_fields(message: Message) -> bool:
    """Protobuf keeps and echoes fields it doesn't know; here each one is something that nobody judged."""
    return len(UnknownFieldSet(message)) > 0
