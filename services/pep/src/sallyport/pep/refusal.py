"""The closed list of refusals, and what the client sees of each (design: what the client sees).

The public text never holds an internal reason: that goes to the audit record alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from sallyport.pep.model import Answer, Era, Json


class Reason(StrEnum):
    """Why a message was refused. The value stands in the audit record and in metrics."""

    UNAUTHENTICATED = "unauthenticated"
    MALFORMED = "malformed"  # not JSON as RFC 8259 and we understand it
    INVALID_REQUEST = "invalid_request"  # JSON, but not one JSON-RPC request or notification
    INVALID_PARAMS = "invalid_params"  # the method's own parameters are wrong
    HEADER_MISMATCH = "header_mismatch"
    UNSUPPORTED_VERSION = "unsupported_version"
    FORBIDDEN_ORIGIN = "forbidden_origin"
    UNKNOWN_METHOD = "unknown_method"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    NOT_FOUND = "not_found"
    NOT_ACCEPTABLE = "not_acceptable"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    TOO_LARGE = "too_large"
    TIMEOUT = "timeout"
    OVERLOADED = "overloaded"
    TLS = "tls"
    UNKNOWN_TOOL = "unknown_tool"
    INVALID_ARGUMENTS = "invalid_arguments"
    DENIED = "denied"
    INSUFFICIENT_SCOPE = "insufficient_scope"  # denied, but not with another scope in the token
    NO_DECISION = "no_decision"
    UNKNOWN_OBLIGATION = "unknown_obligation"
    AUDIT_UNAVAILABLE = "audit_unavailable"
    EXPIRED = "expired"  # the permit or the token died before the effect
    TOOL_UNAVAILABLE = "tool_unavailable"  # the tool refused before its effect began
    CANCELLED = "cancelled"  # the client went, or gave it up
    INTERNAL = "internal"
    EFFECT_UNKNOWN = "effect_unknown"  # broke after the effect began: the truth, not a refusal
    FOREIGN_HANDLE = "foreign_handle"  # a state, task or cursor that wasn't given to this caller for this request
    NOT_SERVED = "not_served"  # the catalog has it, and this gate can't serve it
    QUARANTINED = "quarantined"  # its definition isn't the one that was approved
    REVOKED = "revoked"  # the token or a policy ended a stream
    WITHHELD = "withheld"  # the effect is done, its result isn't released


@dataclass(frozen=True, slots=True)
class Refusal:
    """A denial as a value. `detail` is for the record only; `public` may be shown to this very caller."""

    reason: Reason
    detail: str
    public: str = ""
    advice: tuple[str, ...] = ()
    data: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Shape:
    status: int
    code: int
    text: str
    legacy_status: int | None = None


_UNAVAILABLE: Final = _Shape(200, -32603, "authorization unavailable")
_DENIED: Final = _Shape(200, -32010, "denied by policy")
_BAD_REQUEST: Final = _Shape(400, -32600, "invalid request")

# A reason without a row is a KeyError in a test, never a comfortable default at run time (see respond).
SHAPES: Final[Mapping[Reason, _Shape]] = {
    Reason.UNAUTHENTICATED: _Shape(401, -32600, "authentication required"),
    Reason.MALFORMED: _Shape(400, -32700, "malformed JSON"),
    Reason.INVALID_REQUEST: _BAD_REQUEST,
    Reason.INVALID_PARAMS: _Shape(400, -32602, "invalid params", legacy_status=200),
    Reason.HEADER_MISMATCH: _Shape(400, -32020, "headers and body disagree"),
    Reason.UNSUPPORTED_VERSION: _Shape(400, -32022, "protocol version not spoken"),
    Reason.FORBIDDEN_ORIGIN: _Shape(403, -32600, "origin not allowed"),
    Reason.UNKNOWN_METHOD: _Shape(404, -32601, "method not found", legacy_status=200),
    Reason.METHOD_NOT_ALLOWED: _Shape(405, -32600, "use POST"),
    Reason.NOT_FOUND: _Shape(404, -32600, "not found"),
    Reason.NOT_ACCEPTABLE: _Shape(406, -32600, "accept application/json and text/event-stream"),
    Reason.UNSUPPORTED_MEDIA_TYPE: _Shape(415, -32600, "send application/json"),
    Reason.TOO_LARGE: _Shape(413, -32600, "request too large"),
    Reason.TIMEOUT: _Shape(408, -32600, "request not received in time"),
    Reason.OVERLOADED: _Shape(503, -32603, "too many connections"),
    Reason.TLS: _BAD_REQUEST,
    Reason.UNKNOWN_TOOL: _DENIED,
    Reason.INVALID_ARGUMENTS: _DENIED,  # shown as a tool error only where the tool is visible: see pipeline
    Reason.DENIED: _DENIED,
    Reason.INSUFFICIENT_SCOPE: _Shape(403, -32010, "insufficient scope", legacy_status=200),  # RFC 6750 §3.1
    Reason.NO_DECISION: _UNAVAILABLE,
    Reason.UNKNOWN_OBLIGATION: _UNAVAILABLE,
    Reason.AUDIT_UNAVAILABLE: _UNAVAILABLE,
    Reason.EXPIRED: _Shape(200, -32603, "the permit or the token expired before the tool ran; call again"),
    Reason.TOOL_UNAVAILABLE: _Shape(200, -32603, "the tool is busy or unavailable; nothing was done, call again"),
    Reason.CANCELLED: _Shape(200, -32603, "cancelled by the client"),
    Reason.INTERNAL: _UNAVAILABLE,
    Reason.EFFECT_UNKNOWN: _Shape(200, -32603, "the tool broke after its effect began"),
    Reason.FOREIGN_HANDLE: _Shape(200, -32602, "unknown or expired handle"),
    Reason.NOT_SERVED: _DENIED,
    Reason.QUARANTINED: _DENIED,
    Reason.REVOKED: _DENIED,
    Reason.WITHHELD: _Shape(200, -32603, "the result was withheld"),
}
# Who gets one of these should come again with a token, or a better one.
_CHALLENGED: Final = {(Reason.UNAUTHENTICATED, 401), (Reason.INSUFFICIENT_SCOPE, 403)}
_JSON_HEADER: Final = (b"content-type", b"application/json")


def respond(
    refusal: Refusal,
    *,
    request_id: str | int | None,
    era: Era | None,
    decision_id: str,
    challenge: str = "",
) -> Answer:
    """Map a refusal to HTTP and JSON-RPC. `challenge` is the WWW-Authenticate value that may go with it."""
    shape = SHAPES[refusal.reason]
    status = shape.legacy_status if era is Era.LEGACY and shape.legacy_status is not None else shape.status
    headers = [_JSON_HEADER]
    if (refusal.reason, status) in _CHALLENGED:
        headers.append((b"www-authenticate", challenge.encode("latin-1")))
    if status == 405:  # noqa: PLR2004 — RFC 9110 §15.5.6
        headers.append((b"allow", b"POST"))
    data: dict[str, Json] = {**refusal.data, "decision_id": decision_id}
    if refusal.advice:
        data["advice"] = list(refusal.advice)
    text = f"{shape.text}: {refusal.public}" if refusal.public else shape.text
    body = {"jsonrpc": "2.0", "id": request_id, "error": {"code": shape.code, "message": text, "data": data}}
    return Answer(status, tuple(headers), json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode())
