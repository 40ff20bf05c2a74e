"""A token key of the directory's own issuer beside its usual one, which may be taken out while the gate serves."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from sallyport.cli import issuer, keys, settings
from sallyport.cli.laptop import Laptop
from sallyport.pep.model import Request
from tests.support.tokens import public_jwk


def signed(request: Request, token: str) -> Request:
    """The same request with this token."""
    kept = tuple(header for header in request.headers if header[0] != b"authorization")
    return replace(request, headers=(*kept, (b"authorization", f"Bearer {token}".encode())))


class SecondKey:
    """Written beside the first as soon as it is made; whoever serves has to look at the file."""

    def __init__(self, directory: Path) -> None:
        self._laptop, self._key = Laptop.at(directory), ec.generate_private_key(ec.SECP256R1())
        self._kid = keys.key_id(self._key.public_key())
        self._write([*self._others(), public_jwk(self._key, kid=self._kid, alg="ES256", use="sig")])

    def token(self, user: str, agent: str = "coding-bot", **who: Any) -> str:
        """Signed by it; `who` are fields of issuer.Identity."""
        return issuer.sign(self._key, settings.issuing(self._laptop), issuer.Identity(user, agent, **who))

    def go(self) -> None:
        """Only the others are left."""
        self._write(self._others())

    def _others(self) -> list[dict[str, Any]]:
        return [key for key in json.loads(self._laptop.issuer_jwks.read_text())["keys"] if key["kid"] != self._kid]

    def _write(self, jwks: list[dict[str, Any]]) -> None:
        self._laptop.issuer_jwks.write_text(json.dumps({"keys": jwks}))
