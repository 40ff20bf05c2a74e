"""Development keys and certificates, as bytes: who makes them says where they go. All are made anew (N7)."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SERVER: Final = ExtendedKeyUsageOID.SERVER_AUTH
CLIENT: Final = ExtendedKeyUsageOID.CLIENT_AUTH
_LIFETIME: Final = dt.timedelta(days=825)
_BACKDATED: Final = dt.timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two halves in PEM: a certificate, or a public key, beside its private key."""

    public: bytes
    private: bytes


@dataclass(frozen=True, slots=True)
class Authority:
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    def pair(self) -> Pair:
        return Pair(self.certificate.public_bytes(serialization.Encoding.PEM), private_pem(self.key))

    def issue(self, holder: str, names: Sequence[x509.GeneralName], usage: x509.ObjectIdentifier) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Sallyport development {holder}")])
        certificate = (
            _builder(subject, self.certificate.subject, key.public_key(), self.key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        return Pair(certificate.public_bytes(serialization.Encoding.PEM), private_pem(key))


def authority() -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Sallyport development CA")])
    certificate = (
        _builder(name, name, key.public_key(), key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Authority(key, certificate)


def token_issuer() -> Pair:
    """A signing key, and the JWKS that tells it."""
    key = ec.generate_private_key(ec.SECP256R1())
    jwk = {**_jwk(key.public_key()), "kid": key_id(key.public_key()), "alg": "ES256", "use": "sig"}
    return Pair(json.dumps({"keys": [jwk]}, indent=2).encode() + b"\n", private_pem(key))


def assertion_signer() -> Pair:
    """ES256: what every upstream's JWT library knows."""
    key = ec.generate_private_key(ec.SECP256R1())
    return Pair(_public_pem(key.public_key()), private_pem(key))


def audit_signer() -> Pair:
    key = ed25519.Ed25519PrivateKey.generate()
    return Pair(_public_pem(key.public_key()), private_pem(key))


def _public_pem(key: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def secret() -> bytes:
    """256 random bits, in hex: a masking key, or an operator's."""
    return secrets.token_hex(32).encode() + b"\n"


def key_id(key: ec.EllipticCurvePublicKey) -> str:
    """The JWK thumbprint of a P-256 key (RFC 7638), base64url."""
    canonical = json.dumps(_jwk(key), sort_keys=True, separators=(",", ":"))
    return _base64url(hashlib.sha256(canonical.encode()).digest())


def private_pem(key: PrivateKeyTypes) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, issuer_key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    """What every certificate has; the two key identifiers are what strict verification asks for (RFC 5280 §4.2.1)."""
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder(subject_name=subject, issuer_name=issuer, public_key=key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _jwk(key: ec.EllipticCurvePublicKey) -> dict[str, str]:
    """The members that RFC 7638 §3.2 requires of an EC key."""
    numbers = key.public_numbers()
    x, y = (_base64url(number.to_bytes(32, "big")) for number in (numbers.x, numbers.y))
    return {"crv": "P-256", "kty": "EC", "x": x, "y": y}


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
