"""The development keys of one directory: a CA, certificates, token issuer, audit signer, masking key, operator.

Everything is made anew for each directory and never leaves it; private keys are written 0600 (N7: no default secret).
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import ipaddress
import json
import secrets
from collections.abc import Sequence
from typing import Final, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sallyport.cli.configs import GATEWAY
from sallyport.cli.laptop import Laptop
from sallyport.runtime import atomic_file

_LIFETIME = dt.timedelta(days=825)
_BACKDATED = dt.timedelta(minutes=5)
_LOOPBACK: Final = (
    x509.DNSName("localhost"),
    *(x509.IPAddress(ipaddress.ip_address(address)) for address in ("127.0.0.1", "::1")),
)
_Authority: TypeAlias = tuple[ec.EllipticCurvePrivateKey, x509.Certificate]
_GATEWAY: Final = x509.UniformResourceIdentifier(GATEWAY)


def write(laptop: Laptop) -> None:
    for name in ("ca", "server", "authzen", "gateway", "issuer", "audit"):
        (laptop.pki / name).mkdir(mode=0o700)
    ca = _authority(laptop)
    _certificate(laptop, ca, "server", _LOOPBACK, ExtendedKeyUsageOID.SERVER_AUTH)
    _certificate(laptop, ca, "authzen", _LOOPBACK, ExtendedKeyUsageOID.SERVER_AUTH)  # the PDP's own
    _certificate(laptop, ca, "gateway", (_GATEWAY,), ExtendedKeyUsageOID.CLIENT_AUTH)  # whom pdp.yaml's example lists
    _issuer(laptop)
    _audit(laptop)
    _operator(laptop)


def key_id(key: ec.EllipticCurvePublicKey) -> str:
    """The JWK thumbprint of a P-256 key (RFC 7638), base64url."""
    canonical = json.dumps(_jwk(key), sort_keys=True, separators=(",", ":"))
    return _base64url(hashlib.sha256(canonical.encode()).digest())


def _authority(laptop: Laptop) -> _Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Sallyport development CA")])
    usage = _key_usage(signs_certificates=True)
    certificate = (
        _builder(name, name, key.public_key(), key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )
    _write_key(laptop, "ca/ca.key", key)
    atomic_file.write(laptop.ca_certificate, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
    return key, certificate


def _certificate(
    laptop: Laptop, authority: _Authority, holder: str, names: Sequence[x509.GeneralName], usage: x509.ObjectIdentifier
) -> None:
    ca_key, ca = authority
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Sallyport development {holder}")])
    certificate = (
        _builder(subject, ca.subject, key.public_key(), ca_key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    _write_key(laptop, f"{holder}/tls.key", key)
    path = laptop.pki / holder / "tls.crt"
    atomic_file.write(path, certificate.public_bytes(serialization.Encoding.PEM), 0o644)


def _issuer(laptop: Laptop) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    _write_key(laptop, "issuer/signing.key", key)
    jwk = {**_jwk(key.public_key()), "kid": key_id(key.public_key()), "alg": "ES256", "use": "sig"}
    atomic_file.write(laptop.issuer_jwks, json.dumps({"keys": [jwk]}, indent=2).encode() + b"\n", 0o644)


def _audit(laptop: Laptop) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    _write_key(laptop, "audit/signing.key", key)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    atomic_file.write(laptop.audit_keys / "signing.pub", public, 0o644)
    atomic_file.write(laptop.audit_keys / "masking.key", secrets.token_hex(32).encode() + b"\n")


def _operator(laptop: Laptop) -> None:
    """Who holds it may have the PDP read its policies again."""
    atomic_file.write(laptop.pki / "operator.key", secrets.token_hex(32).encode() + b"\n")


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


def _write_key(laptop: Laptop, name: str, key: PrivateKeyTypes) -> None:
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    atomic_file.write(laptop.pki / name, pem, 0o600)


def _jwk(key: ec.EllipticCurvePublicKey) -> dict[str, str]:
    """The members that RFC 7638 §3.2 requires of an EC key."""
    numbers = key.public_numbers()
    x, y = (_base64url(number.to_bytes(32, "big")) for number in (numbers.x, numbers.y))
    return {"crv": "P-256", "kty": "EC", "x": x, "y": y}


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
