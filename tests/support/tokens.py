"""A token issuer for tests: its keys, its JWKS file, good tokens, and the means to make every kind of bad one."""

from __future__ import annotations

import base64
import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from sallyport.pep.authn import Authenticators, build
from sallyport.pep.model import Caller, Peer, Request
from sallyport.pep.refusal import Reason, Refusal
from sallyport.pep.settings import PepSettings

PrivateKey: TypeAlias = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey

RESOURCE = "https://localhost:8443/mcp"
NOW = 1_800_000_000.0  # seconds since the epoch; the clock of every test that needs no certificate
LEEWAY = 30
_CURVES: dict[str, ec.EllipticCurve] = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def compact(header: bytes, payload: bytes, key: Any, algorithm: str) -> str:
    """Sign these very bytes, whatever they are."""
    signed = f"{b64(header)}.{b64(payload)}"
    signer = jwt.get_algorithm_by_name(algorithm)
    return f"{signed}.{b64(signer.sign(signed.encode(), signer.prepare_key(key)))}"


@functools.cache
def private_key(algorithm: str = "ES256", which: int = 0) -> PrivateKey:
    """One key a process for each (algorithm, which): making RSA keys is slow."""
    del which
    if algorithm in _CURVES:
        return ec.generate_private_key(_CURVES[algorithm])
    return ed25519.Ed25519PrivateKey.generate() if algorithm == "EdDSA" else rsa_key()


@functools.cache
def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


def public_jwk(key: PrivateKey, **members: Any) -> dict[str, Any]:
    algorithm = "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"
    algorithm = "EdDSA" if isinstance(key, ed25519.Ed25519PrivateKey) else algorithm
    made: dict[str, Any] = json.loads(jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key()))
    made.pop("key_ops", None)
    made.update(members)
    return {name: value for name, value in made.items() if value is not None}


@dataclass(frozen=True)
class TestIssuer:
    """Signs as one issuer. `claims` and `header` stand over the good defaults; a None takes the member away."""

    __test__ = False
    name: str = "laptop"
    url: str = "https://issuer.sallyport.test"
    algorithm: str = "ES256"
    kid: str | None = "key-1"
    which: int = 0
    extra: Mapping[str, Any] = field(default_factory=dict)  # of its entry in pep.yaml

    @property
    def key(self) -> PrivateKey:
        return private_key(self.algorithm, self.which)

    def jwks(self) -> dict[str, Any]:
        return {"keys": [public_jwk(self.key, kid=self.kid, alg=self.algorithm, use="sig")]}

    def claims(self, **changes: Any) -> dict[str, Any]:
        good: dict[str, Any] = {
            "iss": self.url,
            "aud": RESOURCE,
            "sub": "alice",
            "client_id": "coding-bot",
            "azp": "coding-bot",
            "act": {"sub": "coding-bot"},
            "org_id": "acme",
            "roles": ["developer"],
            "scope": "tools:call tools:list",
            "jti": "token-1",
            "iat": int(NOW),
            "exp": int(NOW) + 300,
        }
        return _changed(good, changes)

    def header(self, **changes: Any) -> dict[str, Any]:
        return _changed({"typ": "at+jwt", "alg": self.algorithm, "kid": self.kid}, changes)

    def mint(self, header: Mapping[str, Any] | None = None, /, *, key: Any = None, **claims: Any) -> str:
        head = self.header(**(header or {}))
        return compact(dump(head), dump(self.claims(**claims)), key or self.key, self.algorithm)

    def entry(self, directory: Path) -> dict[str, Any]:
        """Write the JWKS, and give the entry for pep.yaml."""
        file = directory / f"{self.name}.jwks.json"
        file.write_bytes(dump(self.jwks()))
        return {
            "name": self.name,
            "issuer": self.url,
            "jwks": str(file),
            "algorithms": [self.algorithm],
            "orgs": ["acme"],
            "roles": {"claim": "roles", "map": {"developer": "developer", "admins": "admin"}},
            "leeway_seconds": LEEWAY,
            **self.extra,
        }


def settings(directory: Path, issuers: Sequence[TestIssuer] = (), tls: Mapping[str, Any] | None = None) -> PepSettings:
    """pep.yaml's model with these issuers and these changes to `tls`."""
    document = {
        "listen": "127.0.0.1:0",
        "management": "127.0.0.1:0",
        "resource": RESOURCE,
        "tls": {"certificate": "c", "key": "k", "client_ca": "ca", "client_certificate": "optional", **(tls or {})},
        "pdp": {"address": "127.0.0.1:1", "hop_key": "h"},
        "policies": "p",
        "issuers": [issuer.entry(directory) for issuer in issuers],
        "audit": {"directory": "a", "signing_key": "s", "masking_key": "m"},
        "files": {"root": "f"},
        "database": {"url": "sqlite:///d"},
    }
    return PepSettings.model_validate_json(json.dumps(document))


def room(
    directory: Path, *issuers: TestIssuer, now: float = NOW, tls: Mapping[str, Any] | None = None
) -> Authenticators:
    return build(settings(directory, issuers or (TestIssuer(),), tls), lambda: now)


def request(
    token: str | None = None,
    *headers: tuple[str, str],
    certificate: bytes | None = None,
    address: str = "192.0.2.7",
    secure: bool = True,
) -> Request:
    """POST /mcp with this bearer token and these headers."""
    all_headers = [("host", "localhost"), *headers]
    if token is not None:
        all_headers.append(("authorization", f"Bearer {token}"))
    raw = tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in all_headers)
    return Request(Peer(address, certificate, secure), "POST", raw, b"{}")


def caller(found: Caller | Refusal) -> Caller:
    """The caller, or a failure that says why not."""
    assert isinstance(found, Caller), found
    return found


def refused(found: Caller | Refusal, why: str = "") -> Refusal:
    """The refusal as it must be: unauthenticated, nothing public, and for the reason `why` (a part of the detail)."""
    assert isinstance(found, Refusal), found
    assert found.reason is Reason.UNAUTHENTICATED
    assert not found.public
    assert not found.data
    assert why in found.detail, found.detail
    return found


def dump(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _changed(good: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**good, **changes}.items() if value is not None}
