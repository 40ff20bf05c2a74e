"""From what a client says to what the engine is asked. Only what this client was granted becomes a fact."""

from __future__ import annotations

from typing import Final

from sallyport.authz.v1 import authz_pb2 as pb
from sallyport.contract.limits import check_question
from sallyport.pdp.authzen.request import Entity, Evaluation, Object
from sallyport.pdp.authzen.settings import Client
from sallyport.pdp.model import ErrorCode, Json, Principal, Query, Session
from sallyport.runtime import canonical_json

_CALL_TOOL: Final = "tools/call"  # COAZ names the method; here each tool is an action
_NO_DIGEST: Final = "0" * 64


class Unasked(Exception):
    """Denied before the engine is asked. The text holds none of the client's values."""

    def __init__(self, code: ErrorCode, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


def question(client: Client, evaluation: Evaluation, decision_id: str) -> tuple[Principal, Query]:
    """Raises Unasked."""
    principal, query = _principal(client, evaluation), _query(client, evaluation)
    _check_limits(principal, query, decision_id)
    return principal, query


def _principal(client: Client, evaluation: Evaluation) -> Principal:
    subject = evaluation.subject
    if subject.type not in client.subject_types:
        raise Unasked(ErrorCode.INVALID_QUESTION, "subject.type is not one that this client may speak for")
    return Principal(
        issuer=client.issuer,
        user_id=subject.id,
        agent_id=_agent(client, evaluation.context),
        org=_org(client, subject),
        roles=_roles(client, subject),
        scopes=tuple(scope for scope in _texts(subject.properties, "scopes") if scope in client.scopes),
    )


def _agent(client: Client, context: Object) -> str:
    """A configured agent that context contradicts isn't taken: somebody else may be behind the gateway."""
    said = context.get("agent", client.agent)
    allowed = (client.agent,) if client.agent is not None else client.agents
    if not isinstance(said, str) or said not in allowed:
        raise Unasked(ErrorCode.UNKNOWN_AGENT, "context.agent is not one that this client may name")
    return said


def _org(client: Client, subject: Entity) -> str:
    said = subject.properties.get("org", client.orgs[0] if len(client.orgs) == 1 else None)
    if not isinstance(said, str) or said not in client.orgs:
        raise Unasked(ErrorCode.UNKNOWN_ORG, "subject.properties.org is not one that this client may speak for")
    return said


def _roles(client: Client, subject: Entity) -> tuple[str, ...]:
    claimed = _texts(subject.properties, client.roles.property)
    mapped = (client.roles.map[role] for role in claimed if role in client.roles.map)
    return tuple(dict.fromkeys((*client.roles.everyone, *mapped)))


def _texts(properties: Object, name: str) -> tuple[str, ...]:
    value = properties.get(name, [])
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or not all(isinstance(text, str) for text in listed):
        raise Unasked(ErrorCode.INVALID_QUESTION, "a subject's property is neither a text nor an array of texts")
    return tuple(str(text) for text in listed)


def _query(client: Client, evaluation: Evaluation) -> Query:
    resource = evaluation.resource
    kind = client.resource_types.get(resource.type, resource.type)
    called = evaluation.action.id == _CALL_TOOL and kind == "Tool"
    believed = client.resource_attributes.get(kind, ())
    return Query(
        action=resource.id if called else evaluation.action.id,
        resource_type=kind,
        resource_id=resource.id,
        resource_attributes={name: resource.properties[name] for name in believed if name in resource.properties},
        input=_input(evaluation),
        session=_session(client, evaluation.context),
    )


def _input(evaluation: Evaluation) -> Object:
    """The arguments: context.input, or else the action's properties. Policies see what the catalog types of them."""
    found: Json = evaluation.context.get("input", dict(evaluation.action.properties))
    if not isinstance(found, dict):
        raise Unasked(ErrorCode.INVALID_QUESTION, "context.input is not an object")
    return found


def _session(client: Client, context: Object) -> Session:
    def integer(name: str) -> int | None:
        value = context.get(name) if name in client.session else None
        if value is not None and type(value) is not int:
            raise Unasked(ErrorCode.INVALID_QUESTION, f"context.{name} is not an integer")
        return value

    ip = context.get("ip") if "ip" in client.session else None
    if ip is not None and not isinstance(ip, str):
        raise Unasked(ErrorCode.INVALID_QUESTION, "context.ip is not a text")
    return Session(ip=ip, risk=integer("risk"), mfa_age=integer("mfa_age"))


def _check_limits(principal: Principal, query: Query, decision_id: str) -> None:
    """The contract's limits, by the contract's code: what a PEP couldn't ask, nobody can."""
    try:
        reason = check_question(_as_contract(principal, query, decision_id), batch=False)
    except (ValueError, TypeError):  # a number that no field of the contract holds
        reason = "a value that the contract can't carry"
    if reason is not None:
        raise Unasked(ErrorCode.INVALID_QUESTION, reason)


def _as_contract(principal: Principal, query: Query, decision_id: str) -> pb.Question:
    session, attributes = query.session, query.resource_attributes
    return pb.Question(
        decision_id=decision_id,
        purpose=pb.PURPOSE_CALL,
        subject=pb.Subject(
            issuer=principal.issuer,
            user_id=principal.user_id,
            agent_id=principal.agent_id,
            org=principal.org,
            roles=principal.roles,
            scopes=principal.scopes,
        ),
        session=pb.Session(ip=session.ip or "", risk=session.risk, mfa_age=session.mfa_age),
        catalog_digest=_NO_DIGEST,  # a gateway holds no catalog: it is asked about the one in force
        evaluations=[
            pb.Evaluation(
                action=query.action,
                resource=pb.Resource(
                    type=query.resource_type,
                    id=query.resource_id,
                    attributes=canonical_json.encode(dict(attributes)) if attributes else b"",
                ),
                input=canonical_json.encode(dict(query.input)),
            )
        ],
    )
