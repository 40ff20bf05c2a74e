"""TLS 1.3, or 1.2 to servers that aren't ours, certificates checked strictly; every fault says what to do (ConfigError)."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final, Literal

from sallyport.runtime import atomic_file
from sallyport.runtime.problems import ConfigError

ClientCertificate = Literal["none", "optional", "required"]

_VERIFY: Final = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}
_OLDER: Final = "ECDHE+AESGCM:ECDHE+CHACHA20:@SECLEVEL=2"  # of TLS 1.2 what has forward secrecy and AEAD
_MODERN: Final = "DEFAULT:@SECLEVEL=2"  # no SHA-1, no RSA below 2048 bits, whatever the system's default


def server_context(
    certificate: Path, key: Path, client_ca: Path | None, client_certificate: ClientCertificate
) -> ssl.SSLContext:
    """Listen with `certificate` (PEM, the chain included); `client_ca` is what client certificates must come from."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _harden(context)
    context.num_tickets = 0  # a resumed session would outlive a certificate's removal
    context.set_alpn_protocols(["http/1.1"])
    _load_own(context, certificate, key)
    if client_certificate != "none":
        if client_ca is None:
            raise ConfigError.about("tls.client_ca", f"is missing, and client_certificate is {client_certificate}")
        _load_ca(context, client_ca)
    context.verify_mode = _VERIFY[client_certificate]
    return context


def client_context(
    ca: Path | None,
    certificate: Path | None = None,
    key: Path | None = None,
    *,
    oldest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
) -> ssl.SSLContext:
    """Connect to what `ca`, and only `ca`, has signed under the name asked for; None: whom the system believes.

    `oldest` is for servers that aren't ours and can't do better than TLS 1.2.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _harden(context)
    if oldest < ssl.TLSVersion.TLSv1_3:
        context.minimum_version = oldest
        context.set_ciphers(_OLDER)
    context.check_hostname = True
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["http/1.1"])
    if ca is None:
        context.load_default_certs()
    else:
        _load_ca(context, ca)
    if (certificate is None) != (key is None):
        raise ConfigError.about(certificate or key, "a client certificate needs its key, and the key its certificate")
    if certificate is not None and key is not None:
        _load_own(context, certificate, key)
    return context


def _harden(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.maximum_version = ssl.TLSVersion.TLSv1_3
    context.set_ciphers(_MODERN)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET


def _load_own(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    atomic_file.read_private(key)
    atomic_file.read_public(certificate)
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ConfigError.about(
                key, f"is not the key of {certificate}; give the two that belong together"
            ) from None
        raise ConfigError.about(certificate, f"this certificate and {key} can't be used: {_why(error)}") from None


def _no_password() -> str:
    """Without this OpenSSL would ask at the terminal and wait."""
    raise ConfigError.about("tls.key", "is encrypted; give it unencrypted with mode 0600")


def _load_ca(context: ssl.SSLContext, ca: Path) -> None:
    atomic_file.read_public(ca)
    try:
        context.load_verify_locations(ca)
    except ssl.SSLError as error:
        raise ConfigError.about(ca, f"holds no usable CA certificates in PEM: {_why(error)}") from None
    if not context.cert_store_stats()["x509_ca"]:  # empty means refuse: a leaf alone can vouch for nobody
        raise ConfigError.about(ca, "holds no CA certificate; give the CA's, in PEM")


def _why(error: ssl.SSLError) -> str:
    return (error.reason or "not PEM").lower().replace("_", " ")
