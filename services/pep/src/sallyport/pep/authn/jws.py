"""Compact JWS (RFC 7515 §7.1): read strictly, then verified with a key that the token doesn't choose (RFC 8725 §3)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import jwt

from sallyport.pep.authn.evidence import Rejected, base64url
from sallyport.pep.authn.jwks import MAX_KID, KeySet
from sallyport.pep.model import Json, Signature
from sallyport.pep.settings import ALGORITHMS
from sallyport.runtime import strict_json

MAX_TOKEN: Final = 8192  # bytes
MAX_DEPTH: Final = 16
_VERIFIERS: Final = {name: jwt.PyJWS(algorithms=[name]) for name in ALGORITHMS}  # none of them knows a second one
_COMPACT: Final = re.compile(r"([A-Za-z0-9_-]++)\.([A-Za-z0-9_-]++)\.([A-Za-z0-9_-]++)")


@dataclass(frozen=True, slots=True)
class Unverified:
    """A token taken apart, of which nothing is believed yet."""

    token: str
    signed_part: str  # header and payload as signed: unlike an ECDSA signature it has no second valid form
    header: Mapping[str, Json]
    payload: bytes


def read(token: str) -> Unverified:
    """Cheap and bounded work only: an unknown sender pays for nothing here."""
    if len(token) > MAX_TOKEN:
        raise Rejected(f"token over {MAX_TOKEN} bytes")
    parts = _COMPACT.fullmatch(token)
    if parts is None:
        raise Rejected("not a compact JWS")
    base64url(parts[3])
    header = json_object(base64url(parts[1]), "the token's header")
    if "crit" in header or "b64" in header:
        raise Rejected("a critical extension")  # RFC 7515 §4.1.11; we process none
    return Unverified(token, f"{parts[1]}.{parts[2]}", header, base64url(parts[2]))


def json_object(data: bytes, what: str) -> dict[str, Json]:
    try:
        value = strict_json.parse(data, max_depth=MAX_DEPTH)
    except strict_json.JsonRefused as error:
        raise Rejected(f"{what}: {error}") from None
    if not isinstance(value, dict):
        raise Rejected(f"{what} is not a JSON object")
    return value


def verify(unverified: Unverified, keys: KeySet, algorithms: frozenset[str]) -> Signature:
    """Raises Rejected. `jwk`, `jku`, `x5u` and `x5c` in the header have no say: they aren't looked at."""
    algorithm, kid = unverified.header.get("alg"), unverified.header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in algorithms:
        raise Rejected("the token's algorithm is not one of its issuer's")
    if "kid" in unverified.header and not (isinstance(kid, str) and 0 < len(kid) <= MAX_KID):
        raise Rejected(f"kid is not a string of 1 to {MAX_KID} characters")
    name = kid if isinstance(kid, str) else None
    key = keys.find(name, algorithm)
    if key is None:
        raise Rejected("no key of that name for that algorithm")
    try:
        _VERIFIERS[algorithm].decode_complete(unverified.token, key=key.public, algorithms=[algorithm])
    except jwt.PyJWTError:
        raise Rejected("the signature doesn't verify") from None
    return Signature(name, algorithm, key.thumbprint)
