"""From what a client says to what the engine is asked. Only what this client was granted becomes a fact."""

from __future__ import annotations

from dataclasses import dataclass
from json import JSONEncoder
from typing import Final

from sallyport.authz.v1 import authz_pb2 as pb
from sallyport.contract.limits import MAX_BATCH_QUESTION_BYTES, check_question
from sallyport.pdp.authzen.request import Entity, Evaluation, Object
from sallyport.pdp.authzen.settings import Client
from sallyport.pdp.model import ErrorCode, Json, Principal, Query, Session

_CALL_TOOL: Final = "tools/call"  # COAZ names the method; here each tool is an action
_NO_DIGEST: Final = "0" * 64
_MAX_INPUTS: Final = 4 * MAX_BATCH_QUESTION_BYTES  # of one request; a shared one counts as often as it is judged
# Not the canonical form, which for numbers takes eight times as long: only the size is looked at.
_JSON: Final = JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":"))


class Unasked(Exception):
    """Denied before the engine is asked. The text holds none of the client's values."""

    def __init__(self, code: ErrorCode, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


@dataclass(frozen=True, slots=True)
class _Read:
    """An object of the request as it is judged; most of a batch's evaluations have one of them in common."""

    source: Object  # held, so that its identity isn't another's
    value: Object
    data: bytes


class Questions:
    """Of one request: what its evaluations share is read and written once."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._read: dict[tuple[int, str], _Read] = {}  # by the source's identity, and what is taken of it
        self._sessions: dict[int, tuple[Object, Session]] = {}
        self._left = _MAX_INPUTS

    def question(self, evaluation: Evaluation, decision_id: str) -> tuple[Principal, Query]:
        """Raises Unasked."""
        principal = _principal(self._client, evaluation)
        arguments, attributes = self._input(evaluation), self._attributes(evaluation.resource)
        query = _query(self._client, evaluation, arguments.value, attributes.value, self._session(evaluation.context))
        self._left -= len(arguments.data)
        if self._left < 0:
            raise Unasked(ErrorCode.INVALID_QUESTION, f"the arguments of all evaluations are over {_MAX_INPUTS} bytes")
        _check_limits(principal, query, decision_id, arguments.data, attributes.data)
        return principal, query

    def _input(self, evaluation: Evaluation) -> _Read:
        """The arguments: context.input, or else the action's properties. Policies see what the catalog types of them."""
        found: Json | Object = evaluation.context.get("input", evaluation.action.properties)
        if not isinstance(found, dict):
            raise Unasked(ErrorCode.INVALID_QUESTION, "context.input is not an object")
        return self._once(found, "", found)

    def _attributes(self, resource: Entity) -> _Read:
        kind = _kind(self._client, resource)
        names = self._client.resource_attributes.get(kind, ())
        believed = {name: resource.properties[name] for name in names if name in resource.properties}
        return self._once(resource.properties, kind, believed)

    def _session(self, context: Object) -> Session:
        found = self._sessions.get(id(context))
        if found is None:
            found = self._sessions[id(context)] = context, _session(self._client, context)
        return found[1]

    def _once(self, source: Object, part: str, value: Object) -> _Read:
        found = self._read.get((id(source), part))
        if found is None:
            data = _JSON.encode(value).encode("utf-8")
            found = self._read[id(source), part] = _Read(source, value, data)
        return found


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


def _kind(client: Client, resource: Entity) -> str:
    return client.resource_types.get(resource.type, resource.type)


def _query(client: Client, evaluation: Evaluation, arguments: Object, attributes: Object, session: Session) -> Query:
    resource, kind = evaluation.resource, _kind(client, evaluation.resource)
    called = evaluation.action.id == _CALL_TOOL and kind == "Tool"
    return Query(
        action=resource.id if called else evaluation.action.id,
        resource_type=kind,
        resource_id=resource.id,
        resource_attributes=attributes,
        input=arguments,
        session=session,
    )


def _session(client: Client, context: Object) -> Session:
    """What isn't there is unknown; null is there, and no fact: taken for unknown, it would lift a forbid."""

    def integer(name: str) -> int | None:
        if name not in client.session or name not in context:
            return None
        value = context[name]
        if type(value) is not int:
            raise Unasked(ErrorCode.INVALID_QUESTION, f"context.{name} is not an integer")
        return value

    return Session(ip=_ip(client, context), risk=integer("risk"), mfa_age=integer("mfa_age"))


def _ip(client: Client, context: Object) -> str | None:
    if "ip" not in client.session or "ip" not in context:
        return None
    ip = context["ip"]
    if not isinstance(ip, str):
        raise Unasked(ErrorCode.INVALID_QUESTION, "context.ip is not a text")
    return ip


def _check_limits(principal: Principal, query: Query, decision_id: str, arguments: bytes, attributes: bytes) -> None:
    """The contract's limits, by the contract's code: what a PEP couldn't ask, nobody can."""
    try:
        reason = check_question(_as_contract(principal, query, decision_id, arguments, attributes), batch=False)
    except (ValueError, TypeError):  # a number that no field of the contract holds
        reason = "a value that the contract can't carry"
    if reason is not None:
        raise Unasked(ErrorCode.INVALID_QUESTION, reason)


def _as_contract(
    principal: Principal, query: Query, decision_id: str, arguments: bytes, attributes: bytes
) -> pb.Question:
    session = query.session
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
                resource=pb.Resource(type=query.resource_type, id=query.resource_id, attributes=attributes),
                input=arguments,
            )
        ],
    )
