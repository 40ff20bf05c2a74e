"""The development keys of one directory: a CA, certificates, token issuer, signer of assertions, audit signer, masking key, operator.

Everything is made anew for each directory and never leaves it; private keys are written 0600 (N7: no default secret).
"""

from __future__ import annotations

import ipaddress
from typing import Final

from cryptography import x509

from sallyport.cli import keys
from sallyport.cli.configs import GATEWAY
from sallyport.cli.keys import Pair, key_id
from sallyport.cli.laptop import Laptop
from sallyport.runtime import atomic_file

__all__ = ["key_id", "write"]

_LOOPBACK: Final = (
    x509.DNSName("localhost"),
    *(x509.IPAddress(ipaddress.ip_address(address)) for address in ("127.0.0.1", "::1")),
)
_GATEWAY: Final = x509.UniformResourceIdentifier(GATEWAY)


def write(laptop: Laptop) -> None:
    for name in ("ca", "server", "authzen", "gateway", "issuer", "assertion", "audit"):
        (laptop.pki / name).mkdir(mode=0o700)
    ca = keys.authority()
    _write(laptop, "ca/ca.crt", "ca/ca.key", ca.pair())
    _write(laptop, "server/tls.crt", "server/tls.key", ca.issue("server", _LOOPBACK, keys.SERVER))
    _write(laptop, "authzen/tls.crt", "authzen/tls.key", ca.issue("authzen", _LOOPBACK, keys.SERVER))  # the PDP's own
    gateway = ca.issue("gateway", (_GATEWAY,), keys.CLIENT)  # whom pdp.yaml's example lists
    _write(laptop, "gateway/tls.crt", "gateway/tls.key", gateway)
    _write(laptop, "issuer/jwks.json", "issuer/signing.key", keys.token_issuer())
    _write(laptop, "assertion/signing.pub", "assertion/signing.key", keys.assertion_signer())
    _write(laptop, "audit/signing.pub", "audit/signing.key", keys.audit_signer())
    atomic_file.write(laptop.audit_keys / "masking.key", keys.secret())
    atomic_file.write(laptop.pki / "operator.key", keys.secret())  # its holder may have the PDP read its policies again


def _write(laptop: Laptop, public: str, private: str, pair: Pair) -> None:
    atomic_file.write(laptop.pki / private, pair.private)
    atomic_file.write(laptop.pki / public, pair.public, 0o644)
