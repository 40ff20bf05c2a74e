"""The context of a question: the session's facts and the typed part of the arguments. What is unknown is absent."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime
from typing import Any

from sallyport.pdp.carry import NotCarriedError, carry
from sallyport.pdp.model import Denied, ErrorCode, Query, Session
from sallyport.pdp.schema import Action
from sallyport.pdp.types import Record

_MAX_RISK = 100
_MAX_AGE = 2**53 - 1  # seconds; as milliseconds it still fits Cedar's duration
_MAX_COUNT = 2**53 - 1


class Contexts:
    """The context of the resource before: all resources of one call have one, and its arguments are checked once."""

    __slots__ = ("_held", "_of")

    def __init__(self) -> None:
        self._of: tuple[Action, Query, datetime] | None = None
        self._held: dict[str, Any] = {}

    def build(self, action: Action, query: Query, now: datetime) -> dict[str, Any]:
        """As `build`. Raises Denied."""
        before = self._of
        if before is None or not _same(before, action, query, now):
            self._held = build(action, query, now)
            self._of = action, query, now
        return self._held


def _same(before: tuple[Action, Query, datetime], action: Action, query: Query, now: datetime) -> bool:
    """By identity: to compare the arguments would cost what it saves."""
    return (
        before[0] is action
        and before[1].input is query.input
        and before[1].session is query.session
        and before[2] is now
    )


def build(action: Action, query: Query, now: datetime) -> dict[str, Any]:
    """Cedar's JSON for the whole context. Raises Denied."""
    if action.tool is not None:
        for name in action.tool.required_context:
            if getattr(query.session, name) is None:
                raise Denied(ErrorCode.CONTEXT_MISSING)
    facts = _session(query.session, now)
    declared = action.session.fields
    context: dict[str, Any] = {"session": {name: fact for name, fact in facts.items() if name in declared}}
    if action.tool is not None:
        try:
            context["input"] = carry(action.input, query.input)
        except NotCarriedError:
            raise Denied(ErrorCode.VALUE_NOT_CARRIED) from None
    return context


def trim(context: dict[str, Any], read: Record) -> dict[str, Any]:
    """The context without what no policy reads."""
    return {
        part: {name: facts[name] for name in kept.type.fields if name in facts}
        for part, facts in context.items()
        if isinstance((kept := read.fields[part]).type, Record)
    }


def _session(session: Session, now: datetime) -> dict[str, Any]:
    moment = now.astimezone(UTC).replace(tzinfo=None)
    facts: dict[str, Any] = {
        "now": f"{moment.isoformat(timespec='milliseconds')}Z",
        "hour_utc": moment.hour,
    }
    if session.ip is not None:
        facts["ip"] = _address(session.ip)
    if session.risk is not None:
        facts["risk"] = _within(session.risk, _MAX_RISK)
    if session.mfa_age is not None:
        facts["mfa_age"] = f"{_within(session.mfa_age, _MAX_AGE // 1000)}s"
    if session.call_count is not None:
        facts["call_count"] = _within(session.call_count, _MAX_COUNT)
    return facts


def _address(text: str) -> str:
    """Normal form; an IPv4 address in IPv6's clothes (::ffff:10.0.0.1) would dodge every isInRange of IPv4."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise Denied(ErrorCode.INVALID_QUESTION) from None
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            raise Denied(ErrorCode.INVALID_QUESTION)
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
    return str(address)


def _within(value: int, highest: int) -> int:
    if type(value) is not int or not 0 <= value <= highest:
        raise Denied(ErrorCode.INVALID_QUESTION)
    return value
