"""Our values put into the contract's words."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sallyport.authz.v1 import authz_pb2 as pb
from sallyport.pep.model import Caller, CheckedCall, Identity, Resolved, ResourceRef
from sallyport.runtime import canonical_json


@dataclass(frozen=True, slots=True)
class Sought:
    """Calls that may come: which of them would be permitted?"""

    action: str
    refs: Sequence[ResourceRef]
    arguments: bytes = b"{}"


def identity(caller: Caller, decision_id: str, traceparent: str) -> Identity:
    return Identity(caller.issuer, caller.user, caller.agent, caller.org, decision_id, traceparent)


def about_call(
    caller: Caller,
    who: Identity,
    call: CheckedCall,
    resolved: Iterable[Resolved],
    catalog_digest: str,
    call_count: int | None,
) -> pb.Question:
    """One evaluation per resource: all of them must be permitted. `call_count`: see counts.py."""
    question = _question(caller, who, pb.PURPOSE_CALL, catalog_digest)
    if call_count is not None:
        question.session.call_count = call_count
    for item in resolved:
        attributes = canonical_json.encode(dict(item.attributes)) if item.attributes else b""
        resource = pb.Resource(type=item.ref.type, id=item.ref.id, attributes=attributes)
        # Once is enough: 64 times the same arguments would be more than a question may hold.
        arguments = b"" if question.evaluations else call.canonical
        question.evaluations.append(pb.Evaluation(action=call.action, resource=resource, input=arguments))
    return question


def about_method(
    caller: Caller, who: Identity, method: str, resource: tuple[str, str], catalog_digest: str
) -> pb.Question:
    """May this caller use a method at all?"""
    question = _question(caller, who, pb.PURPOSE_CALL, catalog_digest)
    target = pb.Resource(type=resource[0], id=resource[1])
    question.evaluations.append(pb.Evaluation(action=method, resource=target, input=b"{}"))
    return question


def about_each(
    caller: Caller, who: Identity, sought: Sought, catalog_digest: str, call_count: int | None
) -> pb.Question:
    """Which of these may this caller touch by this action? Each is answered by itself."""
    question = _question(caller, who, pb.PURPOSE_FILTER, catalog_digest)
    if call_count is not None:
        question.session.call_count = call_count
    arguments = sought.arguments
    for ref in sought.refs:
        target = pb.Resource(type=ref.type, id=ref.id)
        question.evaluations.append(pb.Evaluation(action=sought.action, resource=target, input=arguments))
        arguments = b""  # once is enough, as for a call
    return question


def about_visibility(caller: Caller, who: Identity, names: Iterable[str], catalog_digest: str) -> pb.Question:
    """May some call of each of these tools be permitted?"""
    question = _question(caller, who, pb.PURPOSE_VISIBILITY, catalog_digest)
    question.evaluations.extend(pb.Evaluation(action=name) for name in names)
    return question


def _question(caller: Caller, who: Identity, purpose: pb.Purpose.ValueType, catalog_digest: str) -> pb.Question:
    subject = pb.Subject(
        issuer=caller.issuer,
        user_id=caller.user,
        agent_id=caller.agent,
        org=caller.org,
        roles=caller.roles,
        scopes=caller.scopes,
    )
    # Unknown stays absent: a comfortable default would disarm a policy that asks.
    session = pb.Session(ip=caller.ip or "")
    if caller.risk is not None:
        session.risk = caller.risk
    if caller.mfa_at is not None:
        session.mfa_age = max(0, int(time.time() - caller.mfa_at))
    return pb.Question(
        decision_id=who.decision_id,
        purpose=purpose,
        subject=subject,
        session=session,
        catalog_digest=catalog_digest,
        traceparent=who.traceparent,
    )
