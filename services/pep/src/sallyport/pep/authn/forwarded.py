"""Identity and facts that a trusted orchestrator forwards. Off unless an orchestrator is named for it."""

from __future__ import annotations

import re
import secrets
from dataclasses import replace
from typing import Final

from sallyport.pep.authn import claims
from sallyport.pep.authn.bearer import OnDroppedRoles
from sallyport.pep.authn.evidence import Rejected, address, name
from sallyport.pep.authn.fields import AGENT, FORWARDED_FOR, ORG, RISK, ROLES, USER, Fields
from sallyport.pep.model import Caller, Peer, VouchedFor
from sallyport.pep.settings import ForwardIdentity

_LIFETIME: Final = 60.0  # seconds: the header has no end of its own
_RISK: Final = re.compile(r"0|[1-9][0-9]?|100")


class Forwarded:
    """Reads the headers only with the `ForwardIdentity` of the very peer that sent them."""

    def __init__(self, on_dropped_roles: OnDroppedRoles) -> None:
        self._dropped = on_dropped_roles

    def identify(self, fields: Fields, named: ForwardIdentity, peer: Peer, now: float) -> Caller:
        """Raises Rejected."""
        user, agent, org = (_one_name(fields, field) for field in (USER, AGENT, ORG))
        if user == agent:
            raise Rejected("the user is the agent itself: an agent without a user")
        listed = [role.strip() for role in (fields.one(ROLES) or "").split(",")]
        roles, dropped = claims.mapped([role for role in listed if role], named.roles)
        caller = Caller(
            issuer=named.issuer,
            user=user,
            agent=agent,
            org=org,
            roles=roles,
            scopes=(),
            token_id=secrets.token_hex(16),
            expires_at=now + _LIFETIME,
            authenticator="forwarded",
            proof=VouchedFor(named.issuer),
            ip=address(peer.address),
        )
        if dropped:
            self._dropped(named.issuer, dropped)
        return caller


def with_facts(caller: Caller, fields: Fields, named: ForwardIdentity) -> Caller:
    """Add what the orchestrator knows of the session, for a caller in its orgs only; raises Rejected."""
    if caller.org not in named.orgs:
        raise Rejected("the org is not one of this orchestrator's")
    ip, score = fields.one(FORWARDED_FOR), fields.one(RISK)
    if ip is not None:
        # A list would leave open which of its addresses is the client's; the last hop knows just one.
        ip = address(ip)
        if ip is None:
            raise Rejected(f"{FORWARDED_FOR} is not one IP address")
    if score is not None and not _RISK.fullmatch(score):
        raise Rejected(f"{RISK} is not an integer from 0 to 100")
    risks = [risk for risk in (caller.risk, int(score) if score else None) if risk is not None]
    return replace(caller, ip=ip or caller.ip, risk=max(risks, default=None))  # a header never lowers a signed score


def _one_name(fields: Fields, field: str) -> str:
    value = name(fields.need(field), field)
    if "," in value:
        raise Rejected(f"{field} holds a comma")  # a proxy joins a repeated field with commas (RFC 9110 §5.3)
    return value
