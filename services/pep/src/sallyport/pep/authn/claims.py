"""What a signed token's claims say, each read strictly: present but unusable is a refusal, never a guess."""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NewType

from sallyport.pep.authn.evidence import Rejected, name
from sallyport.pep.model import SCOPE_TOKEN, Json
from sallyport.pep.settings import Issuer

SignedClaims = NewType("SignedClaims", dict[str, Json])

MAX_LIST: Final = 64  # roles and scopes, as in the contract
_LATEST: Final = 253402300800  # the year 10000: arithmetic on any date before it is exact
_MAX_RISK: Final = 100


@dataclass(frozen=True, slots=True)
class Times:
    """When a token ends and its user last proved more than a password, in seconds since the epoch."""

    expires_at: float
    mfa_at: float | None


def audience(claims: SignedClaims, ours: frozenset[str]) -> None:
    """RFC 8707 §2, RFC 7519 §4.1.3: among those meant must be us, by one of our names."""
    meant = claims.get("aud")
    if ours.isdisjoint([meant] if isinstance(meant, str) else _strings(meant, "aud")):
        raise Rejected("aud doesn't name this resource")


def times(claims: SignedClaims, now: float, leeway: float) -> Times:
    """Check `exp`, `iat` and `nbf` against the clock. A token in its leeway ends with the leeway, not before now."""
    expires_at = _date(claims, "exp") + leeway
    if now >= expires_at:
        raise Rejected("expired")
    for claim in ("iat", "nbf", "auth_time"):
        if (claim == "iat" or claim in claims) and _date(claims, claim) > now + leeway:
            raise Rejected(f"{claim} lies in the future")
    methods = _strings(claims.get("amr", []), "amr")
    proven = "auth_time" in claims and "mfa" in methods
    return Times(expires_at, _date(claims, "auth_time") if proven else None)


def user_and_agent(claims: SignedClaims) -> tuple[str, str]:
    """`sub`, and `act.sub` (RFC 8693 §4.1) or else `azp`/`client_id`; a client that speaks for itself is no user."""
    user = name(claims.get("sub"), "sub")
    clients = {name(claims[claim], claim) for claim in ("azp", "client_id") if claim in claims}
    if len(clients) > 1:
        raise Rejected("azp and client_id differ")
    agents = {_actor(claims)} if "act" in claims else clients
    if not agents:
        raise Rejected("no agent: neither act, azp nor client_id")
    if user in agents | clients:
        raise Rejected("sub is the agent itself: an agent without a user")
    return user, agents.pop()


def org(claims: SignedClaims, issuer: Issuer) -> str:
    found = name(claims.get("org_id"), "org_id")
    if found not in issuer.orgs:
        raise Rejected("org_id is not one of this issuer's orgs")
    return found


def scopes(claims: SignedClaims) -> tuple[str, ...]:
    """RFC 8693 §4.2: one string with single spaces between; some issuers send a list."""
    given = claims.get("scope", "")
    found = (given.split(" ") if given else []) if isinstance(given, str) else _strings(given, "scope")
    if len(found) > MAX_LIST or not all(SCOPE_TOKEN.fullmatch(scope) for scope in found):
        raise Rejected(f"scope is not at most {MAX_LIST} scope tokens")
    return tuple(dict.fromkeys(found))


def claimed_roles(claims: SignedClaims, path: str) -> list[str]:
    """The strings under the configured claim; absent means none."""
    found: Json = dict(claims)
    for member in [path] if "://" in path else path.split("."):
        if not isinstance(found, dict):
            raise Rejected("the role claim's parent is not an object")
        if member not in found:
            return []
        found = found[member]
    return _strings(found, "the role claim")


def mapped(claimed: list[str], table: Mapping[str, str]) -> tuple[tuple[str, ...], int]:
    """Our roles, and how many claimed ones have none and were dropped."""
    known = [table[role] for role in claimed if role in table]
    roles = tuple(sorted(set(known)))
    if len(roles) > MAX_LIST:
        raise Rejected(f"more than {MAX_LIST} roles")
    return roles, len(claimed) - len(known)


def token_id(claims: SignedClaims, signed_part: str) -> str:
    if "jti" in claims:
        return name(claims["jti"], "jti")
    return hashlib.sha256(signed_part.encode()).hexdigest()[:32]


def risk(claims: SignedClaims, claim: str | None) -> int | None:
    if claim is None or claim not in claims:
        return None
    score = claims[claim]
    if not isinstance(score, int) or isinstance(score, bool) or not 0 <= score <= _MAX_RISK:
        raise Rejected(f"the risk claim is not an integer from 0 to {_MAX_RISK}")
    return score


def confirmation(claims: SignedClaims, certificate: bytes | None) -> None:
    """A token bound to a certificate is good only from its holder (RFC 8705 §3.1); other bindings we can't check."""
    if "cnf" not in claims:
        return
    match claims["cnf"]:
        case {"x5t#S256": str(expected), **others} if not others:
            actual = urlsafe_b64encode(hashlib.sha256(certificate).digest()).rstrip(b"=") if certificate else b""
            if not certificate or not hmac.compare_digest(actual, expected.encode()):
                raise Rejected("cnf: the token is bound to another certificate")
        case _:
            raise Rejected("cnf: a confirmation that can't be checked")


def _actor(claims: SignedClaims) -> str:
    actor = claims["act"]
    if not isinstance(actor, dict):
        raise Rejected("act is not an object")
    if actor.get("iss", claims.get("iss")) != claims.get("iss"):
        raise Rejected("act names an agent of another issuer")
    return name(actor.get("sub"), "act.sub")


def _date(claims: SignedClaims, claim: str) -> float:
    value = claims.get(claim)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _LATEST:
        raise Rejected(f"{claim} is not a date")
    return float(value)


def _strings(value: Json, what: str) -> list[str]:
    if not isinstance(value, list):
        raise Rejected(f"{what} is not a list of strings")
    strings = [item for item in value if isinstance(item, str)]
    if len(strings) != len(value):
        raise Rejected(f"{what} is not a list of strings")
    return strings
