"""A bearer JWT (RFC 6750, RFC 9068): from `Authorization`, signed by a listed issuer, meant for us."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from sallyport.pep.authn import claims as read
from sallyport.pep.authn import jwks, jws
from sallyport.pep.authn.evidence import Rejected, address
from sallyport.pep.authn.jwks import KeySet
from sallyport.pep.model import Caller, Json, Peer, SignedBy
from sallyport.pep.settings import Issuer, PepSettings
from sallyport.runtime.followed import Followed

OnDroppedRoles: TypeAlias = Callable[[str, int], None]  # the issuer's configured name, how many

_CREDENTIALS: Final = re.compile(r"(?i:bearer) +([A-Za-z0-9._~+/=-]+)")  # RFC 6750 §2.1; the scheme's case is free


@dataclass(frozen=True, slots=True)
class _Trusted:
    issuer: Issuer
    keys: Followed[KeySet]
    algorithms: frozenset[str]
    types: frozenset[str]


class Bearer:
    """All listed issuers with their keys. Building it raises ConfigError for a JWKS that can't be used."""

    def __init__(self, settings: PepSettings, on_dropped_roles: OnDroppedRoles) -> None:
        self._ours = frozenset({settings.resource, *settings.also_known_as})
        self._dropped = on_dropped_roles
        self._trusted = {issuer.issuer: _trust(issuer) for issuer in settings.issuers}
        self._by_name = {trusted.issuer.name: trusted for trusted in self._trusted.values()}

    @property
    def keys(self) -> tuple[Followed[KeySet], ...]:
        """Each issuer's, for who watches the files."""
        return tuple(trusted.keys for trusted in self._trusted.values())

    def identify(self, authorization: str, peer: Peer, now: float, server: str = "") -> Caller:
        """Raises Rejected. A token for one named set of the gate is good there, and nowhere else (RFC 8707)."""
        credentials = _CREDENTIALS.fullmatch(authorization)
        if credentials is None:
            raise Rejected("Authorization is not `Bearer` and one token")
        token = jws.read(credentials[1])
        claims = jws.json_object(token.payload, "the claims")
        trusted = self._choose(token, claims.get("iss"))
        signature = jws.verify(token, trusted.keys.value, trusted.algorithms)
        signed = read.SignedClaims(claims)
        read.audience(signed, self._ours | {f"{one}/{server}" for one in self._ours if server})
        return self._caller(signed, token, SignedBy(trusted.issuer.name, signature), trusted.issuer, peer, now)

    def still(self, proof: SignedBy) -> bool:
        """Whether the key that signed is still one of that issuer's; no look at any file."""
        trusted = self._by_name.get(proof.issuer)
        return trusted is not None and trusted.keys.value.holds(proof.signature)

    def _choose(self, token: jws.Unverified, issuer: Json) -> _Trusted:
        """`iss` before it is verified picks among listed issuers, whose key then has to verify it."""
        trusted = self._trusted.get(issuer) if isinstance(issuer, str) else None
        if trusted is None:
            raise Rejected("iss is not a listed issuer")
        if _type(token.header.get("typ")) not in trusted.types:
            raise Rejected("typ is not one of the issuer's token types")  # an ID token is no access token
        return trusted

    def _caller(
        self,
        claims: read.SignedClaims,
        token: jws.Unverified,
        proof: SignedBy,
        issuer: Issuer,
        peer: Peer,
        now: float,
    ) -> Caller:
        times = read.times(claims, now, issuer.leeway_seconds)
        read.confirmation(claims, peer.certificate)
        user, agent = read.user_and_agent(claims)
        org = read.org(claims, issuer)
        roles, dropped = read.mapped(read.claimed_roles(claims, issuer.roles.claim), issuer.roles.map)
        caller = Caller(
            issuer=issuer.name,
            user=user,
            agent=agent,
            org=org,
            roles=roles,
            scopes=read.scopes(claims),
            token_id=read.token_id(claims, token.signed_part),
            expires_at=times.expires_at,
            authenticator="bearer",
            proof=proof,
            ip=address(peer.address),
            risk=read.risk(claims, issuer.risk_claim),
            mfa_at=times.mfa_at,
        )
        if dropped:
            self._dropped(issuer.name, dropped)
        return caller


def _trust(issuer: Issuer) -> _Trusted:
    algorithms = frozenset(issuer.algorithms)
    types = frozenset(_type(name) for name in issuer.token_types)
    return _Trusted(issuer, jwks.follow(issuer.jwks, algorithms), algorithms, types)


def _type(name: object) -> str:
    """RFC 7515 §4.1.9: a media type, without regard to case, whose `application/` may be left out."""
    return name.lower().removeprefix("application/") if isinstance(name, str) and name.isascii() else ""
