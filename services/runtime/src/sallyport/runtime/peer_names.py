"""Whom a verified client certificate names: its subject alternative names, never the CN (RFC 9525 §2)."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Self, TypeVar

from cryptography import x509
from pydantic import AfterValidator, model_validator

from sallyport.runtime.settings import Settings

_SPIFFE: Final = re.compile(r"spiffe://[a-z0-9._-]{1,255}(/[A-Za-z0-9._-]+)+")  # SPIFFE-ID §2
_DNS: Final = re.compile(r"(?=.{1,253}$)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")


def _spiffe(value: str) -> str:
    if not _SPIFFE.fullmatch(value):
        raise ValueError(f"{value!r} is not a SPIFFE id; write spiffe://trust-domain/path, without wildcards")
    return value


def _dns(value: str) -> str:
    if not _DNS.fullmatch(value):
        raise ValueError(f"{value!r} is not a DNS name in lower case; wildcards are not accepted")
    return value


class PeerName(Settings):
    """Whom a client certificate names: one SPIFFE id or one DNS name, compared exactly; never the CN."""

    spiffe: Annotated[str, AfterValidator(_spiffe)] | None = None
    dns: Annotated[str, AfterValidator(_dns)] | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.spiffe is None) == (self.dns is None):
            raise ValueError("name the peer by exactly one of `spiffe` and `dns`")
        return self


P = TypeVar("P", bound=PeerName)


@dataclass(frozen=True, slots=True)
class Names:
    spiffe: str | None  # only where there is exactly one URI (X.509-SVID §2)
    dns: frozenset[str]
    not_after: float  # seconds since the epoch


def find(certificate: bytes, allowed: Sequence[P], now: float) -> P | None:
    """The one listed peer that a certificate (DER, verified by the TLS layer) names; None for none, or for several."""
    found = names(certificate)
    if found is None or found.not_after <= now:  # it may have expired since the handshake
        return None
    matching = [peer for peer in allowed if (peer.spiffe and peer.spiffe == found.spiffe) or peer.dns in found.dns]
    return matching[0] if len(matching) == 1 else None


@functools.lru_cache(maxsize=256)  # by the whole certificate; one that our CA didn't sign never gets here
def names(certificate: bytes) -> Names | None:
    """None where the certificate or its names can't be read."""
    try:
        parsed = x509.load_der_x509_certificate(certificate)
        alternative = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return None
    uris = alternative.get_values_for_type(x509.UniformResourceIdentifier)
    dns = alternative.get_values_for_type(x509.DNSName)
    not_after = parsed.not_valid_after_utc.timestamp()
    return Names(uris[0] if len(uris) == 1 else None, frozenset(dns), not_after)
