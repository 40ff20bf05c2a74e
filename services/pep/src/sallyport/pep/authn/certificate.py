"""Whom a verified client certificate names: its subject alternative names, never the CN (RFC 9525 §2)."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from cryptography import x509

from sallyport.pep.authn.evidence import Rejected
from sallyport.pep.model import Peer
from sallyport.pep.settings import Orchestrator, PeerName, Tls

P = TypeVar("P", bound=PeerName)


@dataclass(frozen=True, slots=True)
class Names:
    spiffe: str | None  # only where there is exactly one URI (X.509-SVID §2)
    dns: frozenset[str]
    not_after: float  # seconds since the epoch


class Precondition:
    """mTLS makes no caller: it only decides which peers may try to name one."""

    def __init__(self, tls: Tls) -> None:
        self._required = tls.client_certificate == "required"
        self._orchestrators = tls.orchestrators

    def admit(self, peer: Peer, now: float) -> Orchestrator | None:
        """The listed orchestrator that this peer is, None for a peer that needs to be none; raises Rejected."""
        if peer.certificate is None or not peer.secure:
            if self._required:
                raise Rejected("no client certificate, and one is required")
            return None
        found = find(peer.certificate, self._orchestrators, now)
        if found is None and self._orchestrators:
            raise Rejected("the client certificate names no listed orchestrator")
        return found


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
