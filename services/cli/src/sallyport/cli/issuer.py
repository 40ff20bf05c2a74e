"""Signs access tokens as the directory's own issuer (RFC 9068 `at+jwt`, RFC 8693 `act` for the agent)."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sallyport.cli import console, keys, settings
from sallyport.cli.complaint import Complaint
from sallyport.cli.laptop import Laptop
from sallyport.cli.people import PEOPLE
from sallyport.runtime import atomic_file


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the token is for. Org and roles are the sample person's unless they are given."""

    user: str
    agent: str
    org: str | None = None
    roles: tuple[str, ...] | None = None
    scopes: tuple[str, ...] = ()
    ttl: int = 300  # seconds; a negative one makes an expired token, for tests
    overrides: Mapping[str, Any] = field(default_factory=dict)  # claim -> value, None removes it

    def resolved_org(self) -> str:
        if self.org is not None:
            return self.org
        if self.user in PEOPLE:
            return PEOPLE[self.user].org
        raise Complaint(f"{self.user} is no sample person, so the org isn't known", "name it: --org ORG")

    def resolved_roles(self) -> tuple[str, ...]:
        if self.roles is not None:
            return self.roles
        return PEOPLE[self.user].roles if self.user in PEOPLE else ()


def mint(laptop: Laptop, identity: Identity) -> str:
    return sign(_key(laptop), settings.issuing(laptop), identity)


def sign(key: ec.EllipticCurvePrivateKey, issuing: settings.Issuing, identity: Identity) -> str:
    claims = {**_claims(issuing, identity), **identity.overrides}
    kept = {name: value for name, value in claims.items() if value is not None}
    headers = {"typ": "at+jwt", "kid": keys.key_id(key.public_key())}
    # PyJWT insists on types of some claims; a test's wrong one must still be signed.
    return jwt.PyJWS().encode(json.dumps(kept).encode(), key, algorithm="ES256", headers=headers)


def _claims(issuing: settings.Issuing, identity: Identity) -> dict[str, Any]:
    now = int(time.time())
    return {
        "iss": issuing.issuer,
        "aud": issuing.audience,
        "sub": identity.user,
        "client_id": identity.agent,
        "azp": identity.agent,
        "act": {"sub": identity.agent},
        "org_id": identity.resolved_org(),
        "roles": list(identity.resolved_roles()),
        "scope": " ".join(identity.scopes) or None,
        "jti": secrets.token_hex(16),
        "iat": now,
        "exp": now + identity.ttl,
    }


def _key(laptop: Laptop) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(atomic_file.read_private(laptop.issuer_key), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise Complaint(
            f"{laptop.issuer_key} is not a P-256 key", f"make a new directory: {console.command('init', 'DIR')}"
        )
    return key
