"""What a peer looks at in a certificate before it believes it: when it is valid, for what, and for which names."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from sallyport.runtime.problems import ConfigError

_NAMES = (x509.DNSName, x509.IPAddress, x509.UniformResourceIdentifier)


@dataclass(frozen=True, slots=True)
class Period:
    """Seconds since the epoch."""

    begins: float
    ends: float

    def outside(self, now: float) -> str:
        """Why it isn't valid now, or ""."""
        if self.ends <= now:
            return f"expired on {_day(self.ends)}"
        return f"isn't valid before {_day(self.begins)}" if self.begins > now else ""


@dataclass(frozen=True, slots=True)
class Own:
    """A server's certificate. What stands behind it in its file is judged by clients, who may know another way."""

    source: Path
    period: Period
    behind: tuple[Period, ...]
    names: frozenset[str]
    for_servers: bool

    def refused(self, now: float) -> str:
        """Why every client refuses it now, or ""."""
        if outside := self.period.outside(now):
            return f"{outside}, and clients refuse it; renew it"
        if not self.for_servers:
            return "its extended key usage lacks serverAuth, and clients refuse it; have it issued for a server"
        return ""

    def lost(self, older: Own) -> list[str]:
        """The names by which clients may know the older one, and wouldn't find this one."""
        return sorted(name for name in older.names if not self._answers_to(name))

    def _answers_to(self, name: str) -> bool:
        return name in self.names or f"*.{name.partition('.')[2]}" in self.names

    def warnings(self, now: float) -> Iterator[str]:
        if refused := self.refused(now):
            yield f"{self.source}: {refused}"
        for outside in filter(None, (period.outside(now) for period in self.behind)):
            yield f"{self.source}: a certificate behind the first {outside}; leave it out or renew it"


@dataclass(frozen=True, slots=True)
class ClientCa:
    """Who vouches for clients."""

    name: str
    der: bytes = field(repr=False)
    period: Period


def own(source: Path, pem: bytes) -> Own:
    """Raises ConfigError where it is none that clients could read."""
    try:
        leaf, *behind = x509.load_pem_x509_certificates(pem)
        usage, names = _extension(leaf, x509.ExtendedKeyUsage), _extension(leaf, x509.SubjectAlternativeName)
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        raise ConfigError.about(source, "holds no certificates in PEM that can be read") from None
    return Own(
        source=source,
        period=_period(leaf),
        behind=tuple(_period(one) for one in behind),
        names=frozenset(str(name).lower() for kind in _NAMES for name in names.get_values_for_type(kind))
        if names
        else frozenset(),
        for_servers=usage is None or ExtendedKeyUsageOID.SERVER_AUTH in usage,
    )


def client_cas(context: ssl.SSLContext) -> Iterator[ClientCa]:
    """Whom OpenSSL took from the file."""
    for der, told in zip(context.get_ca_certs(binary_form=True), context.get_ca_certs(), strict=True):
        begins, ends = (float(ssl.cert_time_to_seconds(str(told[end]))) for end in ("notBefore", "notAfter"))
        yield ClientCa(_name(told), der, Period(begins, ends))


def _extension(leaf: x509.Certificate, kind: type[x509.ExtensionType]) -> Any:
    try:
        return leaf.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _period(certificate: x509.Certificate) -> Period:
    return Period(certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp())


def _name(told: Any) -> str:
    """The most particular part of its subject."""
    parts = [value for part in told["subject"] for _, value in part]
    return parts[-1] if parts else "without a name"


def _day(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
