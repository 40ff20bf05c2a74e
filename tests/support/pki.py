"""A certificate authority for tests: good certificates, and every kind of bad one."""

from __future__ import annotations

import datetime as dt
import functools
import ipaddress
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PrivateKey: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

SERVER_AUTH = ExtendedKeyUsageOID.SERVER_AUTH
CLIENT_AUTH = ExtendedKeyUsageOID.CLIENT_AUTH


@dataclass(frozen=True)
class Pair:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: PrivateKey

    @property
    def certificate_pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def certificate_der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def key_pem(self) -> bytes:
        form = serialization.PrivateFormat.PKCS8
        return self.key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())

    def write(self, directory: Path, name: str) -> tuple[Path, Path]:
        """Write NAME.crt and NAME.key (0600) and give both paths."""
        directory.mkdir(parents=True, exist_ok=True)
        certificate, key = directory / f"{name}.crt", directory / f"{name}.key"
        certificate.write_bytes(self.certificate_pem)
        key.touch(mode=0o600)
        key.write_bytes(self.key_pem)
        return certificate, key


class Authority:
    """Issues certificates; P-256 unless `rsa_bits` says otherwise. Times are days from now."""

    def __init__(
        self, name: str = "Test CA", key: PrivateKey | None = None, *, begins: float = -1, ends: float = 30
    ) -> None:
        key = key or ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _builder(subject, subject, key, begins, ends)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_usage(ca=True), critical=True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        self.pair = Pair(builder.sign(key, hashes.SHA256()), key)

    @property
    def pem(self) -> bytes:
        return self.pair.certificate_pem

    def server(
        self, dns: tuple[str, ...] = ("localhost",), ips: tuple[str, ...] = ("127.0.0.1", "::1"), **how: object
    ) -> Pair:
        return self.issue("server", dns=dns, ips=ips, **{"usage": SERVER_AUTH, **how})  # type: ignore[arg-type]

    def client(self, spiffe: str = "spiffe://test/orchestrator", dns: tuple[str, ...] = (), **how: object) -> Pair:
        return self.issue("client", dns=dns, uris=(spiffe,) if spiffe else (), **how)  # type: ignore[arg-type]

    def issue(
        self,
        name: str,
        *,
        dns: tuple[str, ...] = (),
        ips: tuple[str, ...] = (),
        uris: tuple[str, ...] = (),
        usage: x509.ObjectIdentifier | None = CLIENT_AUTH,
        begins: float = -1,
        ends: float = 1,
        rsa_bits: int | None = None,
        sha1: bool = False,
    ) -> Pair:
        key: PrivateKey = _rsa_key(rsa_bits) if rsa_bits else ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _builder(subject, self.pair.certificate.subject, key, begins, ends)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_usage(ca=False), critical=True)
        if usage is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        ours = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.pair.key.public_key())
        builder = builder.add_extension(ours, critical=False)
        names: list[x509.GeneralName] = [x509.DNSName(n) for n in dns]
        names += [x509.IPAddress(ipaddress.ip_address(i)) for i in ips]
        names += [x509.UniformResourceIdentifier(u) for u in uris]
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(self.pair.key, hashes.SHA256())
        return Pair(_with_sha1(certificate, self.pair.key) if sha1 else certificate, key)

    def server_context(
        self, pair: Pair | None = None, verify: ssl.VerifyMode = ssl.CERT_OPTIONAL, also_trust: bytes = b""
    ) -> ssl.SSLContext:
        """A TLS 1.3 server as the services have it, which asks for a client certificate unless `verify` is off."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        context.load_verify_locations(cadata=(self.pem + also_trust).decode())
        context.verify_mode = verify
        with tempfile.TemporaryDirectory() as directory:
            context.load_cert_chain(*(pair or self.server()).write(Path(directory), "server"))
        return context

    def client_context(self, pair: Pair | None = None, *, weak: bool = False) -> ssl.SSLContext:
        """A client that trusts this authority. `weak`: offers whatever it has, for a server that must say no."""
        context = ssl.create_default_context(cadata=self.pem.decode())
        if weak:
            context.set_ciphers("ALL:@SECLEVEL=0")
        if pair is not None:
            with tempfile.TemporaryDirectory() as directory:
                context.load_cert_chain(*pair.write(Path(directory), "client"))
        return context


def bad_clients(authority: Authority) -> dict[str, Pair]:
    """Client certificates that no server may take, by what is wrong with them."""
    return {
        "expired": authority.client(begins=-3, ends=-1),
        "not yet valid": authority.client(begins=1, ends=3),
        "wrong usage": authority.client(usage=SERVER_AUTH),
        "sha-1": weak_authority().client(sha1=True),
        "1024 bit": authority.client(rsa_bits=1024),
        "other authority": other_authority().client(),
        "self-signed": Authority("orchestrator").pair,
    }


@functools.cache
def authority() -> Authority:
    """One authority a process: making keys is the slow part."""
    return Authority()


@functools.cache
def other_authority() -> Authority:
    return Authority("Another CA")


@functools.cache
def weak_authority() -> Authority:
    """An RSA key, which can still sign with SHA-1; trust its `pem` beside the good one's to test the digest alone."""
    return Authority("Old CA", _rsa_key(2048))


def _with_sha1(certificate: x509.Certificate, key: PrivateKey) -> x509.Certificate:
    """Sign again with SHA-1, which `cryptography` itself refuses: both algorithm ids have the same length."""
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError("sha1=True needs an authority with an RSA key: weak_authority()")
    sha256, sha1 = bytes.fromhex("2a864886f70d01010b"), bytes.fromhex("2a864886f70d010105")
    body = certificate.tbs_certificate_bytes
    weak = body.replace(sha256, sha1)
    signature = key.sign(weak, padding.PKCS1v15(), hashes.SHA1())
    der = certificate.public_bytes(serialization.Encoding.DER)
    der = der.replace(body, weak).replace(sha256, sha1).replace(certificate.signature, signature)
    return x509.load_der_x509_certificate(der)


@functools.cache
def _rsa_key(bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: PrivateKey, begins: float, ends: float
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + dt.timedelta(days=begins))
        .not_valid_after(now + dt.timedelta(days=ends))
    )


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )
