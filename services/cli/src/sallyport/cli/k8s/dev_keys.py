"""All that a first try on a cluster needs in keys: made in memory, one file a name, and written only when all is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sallyport.cli import configs, issuer, keys
from sallyport.cli.complaint import Complaint
from sallyport.cli.k8s.names import Names
from sallyport.cli.keys import Authority, Pair
from sallyport.cli.settings import Issuing

Files = Mapping[str, bytes]  # path in the directory -> contents

MADE_FOR: Final = "made-for.json"
TOKEN: Final = "test.token"  # noqa: S105 — the name of a file
ISSUER_KEY: Final = "issuer/signing.key"
_USER, _AGENT = "alice", "coding-bot"
_PUBLIC: Final = (".crt", ".pub", ".gitignore", "jwks.json", MADE_FOR)


def make(names: Names, hours: int) -> Files:
    """Everything anew."""
    ca = keys.authority()
    tokens = keys.token_issuer()
    files = {
        ".gitignore": configs.GITIGNORE.encode(),
        MADE_FOR: names.encode(),
        **_files("ca/ca.crt", "ca/ca.key", ca.pair()),
        **_certificates(ca, names),
        **_files("issuer/jwks.json", ISSUER_KEY, tokens),
        **_files("audit-keys/pep.pub", "audit-pep/signing.key", keys.audit_signer()),
        **_files("audit-keys/pdp.pub", "audit-pdp/signing.key", keys.audit_signer()),
        "masking.key": keys.secret(),  # one for both services: their records are held against each other
        "operator.key": keys.secret(),
    }
    return {**files, TOKEN: token(names, files[ISSUER_KEY], hours)}


def token(names: Names, signing_key: bytes, hours: int) -> bytes:
    """Alice's, through coding-bot, with her sample roles: what the shipped policies know."""
    key = serialization.load_pem_private_key(signing_key, None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise Complaint(f"{ISSUER_KEY} is not a P-256 key", "make a new directory with `k8s dev-certs`")
    issuing = Issuing(configs.ISSUER, names.resource)
    return issuer.sign(key, issuing, issuer.Identity(_USER, _AGENT, ttl=hours * 3600)).encode() + b"\n"


def mode(path: str) -> int:
    return 0o644 if path.endswith(_PUBLIC) else 0o600


def _certificates(ca: Authority, names: Names) -> Files:
    gate = [x509.DNSName(name) for name in names.server_names]
    orchestrator = [x509.UniformResourceIdentifier(names.orchestrator_id)]
    prometheus = [x509.UniformResourceIdentifier(names.prometheus_id)]
    return {
        **_files("server/tls.crt", "server/tls.key", ca.issue("server", gate, keys.SERVER)),
        **_files("orchestrator/tls.crt", "orchestrator/tls.key", ca.issue("orchestrator", orchestrator, keys.CLIENT)),
        **_files("prometheus/tls.crt", "prometheus/tls.key", ca.issue("prometheus", prometheus, keys.CLIENT)),
    }


def _files(public: str, private: str, pair: Pair) -> Files:
    return {public: pair.public, private: pair.private}
