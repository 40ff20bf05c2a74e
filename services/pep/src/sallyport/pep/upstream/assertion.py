"""The gate's signed word, to one upstream, about one call: who asks, by which agent, and what was judged.

Read at the start: a key is published before it signs, so a change is one of pep.yaml, not of a file alone.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol, TypeAlias

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from jwt.algorithms import ECAlgorithm, OKPAlgorithm

from sallyport.pep.model import Identity, Json
from sallyport.runtime import atomic_file, canonical_json
from sallyport.runtime.problems import ConfigError

PrivateKey: TypeAlias = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

HEADER: Final = "Sallyport-Identity"
TYPE: Final = "sallyport-identity+jwt"  # no verifier of access tokens takes it for one (RFC 8725 §3.11)
_MOST_SECONDS: Final = 60


class Given(Protocol):
    """`assertion` of the settings."""

    @property
    def key(self) -> tuple[Path, ...]: ...
    @property
    def issuer(self) -> str: ...
    @property
    def ttl_seconds(self) -> int: ...


@dataclass(frozen=True, slots=True)
class _Key:
    private: PrivateKey = field(repr=False)
    algorithm: str
    public: dict[str, Json]  # as a JWK

    @property
    def id(self) -> str:
        return str(self.public["kid"])


class OwnIdentity:
    def __init__(self, given: Given, clock: Callable[[], float] = time.time) -> None:
        """Raises ConfigError where a key can't be used. It reads files, so not on the loop."""
        self._keys = [_load(path) for path in given.key]
        twice = [path for path, key in zip(given.key, self._keys, strict=True) if self._count(key) > 1]
        if twice:
            raise ConfigError.about(twice[-1], "holds the same key as another file of assertion.key; leave one out")
        self._issuer, self._seconds, self._clock = given.issuer, min(given.ttl_seconds, _MOST_SECONDS), clock

    def sign(self, identity: Identity, audience: str, digest: str) -> str:
        """A JWT for this upstream and call, which is no other upstream's and no other call's."""
        key, now = self._keys[0], int(self._clock())
        claims = {
            "iss": self._issuer,
            "aud": audience,
            "iat": now,
            "exp": now + self._seconds,
            "jti": secrets.token_urlsafe(16),
            "sub": identity.user,
            "act": {"sub": identity.agent},
            "org_id": identity.org,
            "sallyport_issuer": identity.issuer,  # whose `sub` it is: two issuers' alices are two people
            "sallyport_decision": identity.decision_id,
            "sallyport_digest": digest,
        }
        return jwt.encode(claims, key.private, key.algorithm, headers={"typ": TYPE, "kid": key.id})

    def jwks(self) -> dict[str, Json]:
        """Every key, also one that signs no longer or not yet: public halves only (RFC 7517 §5)."""
        return {"keys": [dict(key.public) for key in self._keys]}

    def _count(self, wanted: _Key) -> int:
        return sum(key.id == wanted.id for key in self._keys)


def published(own: OwnIdentity | None) -> dict[str, Json]:
    """/.well-known/jwks.json; a gate that signs nothing has no keys."""
    return own.jwks() if own is not None else {"keys": []}


def _load(path: Path) -> _Key:
    try:
        private = serialization.load_pem_private_key(atomic_file.read_private(path), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ConfigError.about(path, "holds no unencrypted private key in PEM that can be read") from None
    match private:
        case ed25519.Ed25519PrivateKey():
            return _Key(private, "EdDSA", _jwk(OKPAlgorithm.to_jwk(private.public_key(), as_dict=True), "EdDSA"))
        case ec.EllipticCurvePrivateKey(curve=ec.SECP256R1()):
            return _Key(private, "ES256", _jwk(ECAlgorithm.to_jwk(private.public_key(), as_dict=True), "ES256"))
    raise ConfigError.about(path, "is neither a P-256 nor an Ed25519 key; make one of these")


def _jwk(public: dict[str, Json], algorithm: str) -> dict[str, Json]:
    """`kid` is the thumbprint (RFC 7638 §3.2): over what makes the key, and nothing else."""
    needed: Sequence[str] = ("crv", "kty", "x", "y")
    made_of = {member: public[member] for member in needed if member in public}
    digest = hashlib.sha256(canonical_json.encode(made_of)).digest()
    kid = urlsafe_b64encode(digest).rstrip(b"=").decode()
    return {**made_of, "alg": algorithm, "use": "sig", "kid": kid}
