"""A JSON Web Key Set as a mounted file: public keys for signatures, each for named algorithms only (RFC 7517).

Fetched from nowhere, and read again when the file changes, not when somebody asks: a flood of unknown `kid`s costs a
dictionary look-up each (N18).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sallyport.pep.authn.evidence import Rejected, base64url
from sallyport.pep.model import Json, Signature
from sallyport.runtime import atomic_file, strict_json
from sallyport.runtime.followed import Followed
from sallyport.runtime.problems import ConfigError

PublicKey: TypeAlias = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey

MAX_KID: Final = 128
_MAX_FILE: Final = 1 << 20
_MAX_KEYS: Final = 100
_RSA_BITS: Final = range(2048, 8193)  # NIST SP 800-131A at one end, cheap checks at the other
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})  # RFC 7518 §6
_CURVES: Final[Mapping[str, tuple[ec.EllipticCurve, int, str]]] = {
    "P-256": (ec.SECP256R1(), 32, "ES256"),
    "P-384": (ec.SECP384R1(), 48, "ES384"),
    "P-521": (ec.SECP521R1(), 66, "ES512"),
}
_RSA: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_SMALL_PRIMES: Final = tuple(p for p in range(3, 168, 2) if all(p % d for d in range(3, p, 2)))


@dataclass(frozen=True, slots=True)
class _Entry:
    kid: str | None
    algorithms: frozenset[str] = frozenset()  # empty: a sound entry that isn't for checking signatures here
    public: PublicKey | None = None


@dataclass(frozen=True, slots=True)
class Key:
    public: PublicKey
    thumbprint: str  # by which it is told apart whatever its name


class KeySet:
    """The keys of one issuer that are usable with its algorithms."""

    def __init__(self, entries: Iterable[tuple[str | None, str, PublicKey]]) -> None:
        self._by_name: dict[tuple[str, str], Key] = {}
        self._by_algorithm: dict[str, list[Key]] = {}
        for kid, algorithm, public in entries:
            key = Key(public, _thumbprint(public))
            self._by_algorithm.setdefault(algorithm, []).append(key)
            if kid is not None:
                self._by_name[kid, algorithm] = key

    def __bool__(self) -> bool:
        return bool(self._by_algorithm)

    def find(self, kid: str | None, algorithm: str) -> Key | None:
        """The key of that name for that algorithm; without a name only if there is no choice."""
        if kid is not None:
            return self._by_name.get((kid, algorithm))
        candidates = self._by_algorithm.get(algorithm, [])
        return candidates[0] if len(candidates) == 1 else None

    def holds(self, made: Signature) -> bool:
        """Whether its key is still here, by its name if it had one. A second key beside it takes nothing from it."""
        if made.kid is None:
            return any(key.thumbprint == made.key for key in self._by_algorithm.get(made.algorithm, ()))
        named = self._by_name.get((made.kid, made.algorithm))
        return named is not None and named.thumbprint == made.key


def follow(path: Path, algorithms: frozenset[str]) -> Followed[KeySet]:
    """The keys as the file has them, whenever it is replaced by a usable one. Raises ConfigError as `load` does."""
    return Followed(
        "token_keys",
        lambda: hashlib.sha256(atomic_file.read_public(path, _MAX_FILE)).hexdigest(),
        lambda: load(path, algorithms),
    )


def load(path: Path, algorithms: frozenset[str]) -> KeySet:
    """Read a JWKS file. Raises ConfigError where it is missing, empty, no JWKS or without a usable key (N5)."""
    data = atomic_file.read_public(path, _MAX_FILE)
    try:
        return parse(data, algorithms)
    except (Rejected, strict_json.JsonRefused) as error:
        raise ConfigError.about(path, f"not a usable JWKS: {error}; mount the issuer's own") from None


def parse(data: bytes, algorithms: frozenset[str]) -> KeySet:
    """Raises Rejected or JsonRefused; one bad key refuses the whole set, a key for another use is left out."""
    document = strict_json.parse(data, max_depth=8)
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list) or not 0 < len(entries) <= _MAX_KEYS:
        raise Rejected(f"`keys` is not a list of 1 to {_MAX_KEYS}")
    found = [_key(entry, index) for index, entry in enumerate(entries)]
    kids = [entry.kid for entry in found if entry.kid is not None]
    if len(kids) != len(set(kids)):
        raise Rejected("two keys have the same kid")  # which one signs would be the attacker's choice
    keys = KeySet((e.kid, name, e.public) for e in found if e.public for name in e.algorithms & algorithms)
    if not keys:
        raise Rejected(f"no key for {', '.join(sorted(algorithms))}")
    return keys


def _thumbprint(public: PublicKey) -> str:
    return hashlib.sha256(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def _key(entry: Json, index: int) -> _Entry:
    if not isinstance(entry, dict):
        raise Rejected(f"key {index} is not an object")
    try:
        return _entry(entry)
    except Rejected as error:
        raise Rejected(f"key {index}: {error}") from None


def _entry(jwk: dict[str, Json]) -> _Entry:
    if jwk.get("kty") == "oct" or _PRIVATE & jwk.keys():
        raise Rejected("it is secret; a JWKS holds public keys only")
    kid = jwk.get("kid")
    if kid is not None and not (isinstance(kid, str) and 0 < len(kid) <= MAX_KID):
        raise Rejected(f"kid is not a string of 1 to {MAX_KID} characters")
    found = _public(jwk) if _is_for_verifying(jwk) else None
    if found is None:
        return _Entry(kid)
    public, fitting = found
    named = jwk.get("alg")
    if named is None:
        return _Entry(kid, fitting, public)
    if not isinstance(named, str) or named not in fitting:
        raise Rejected("alg doesn't fit the key")
    return _Entry(kid, frozenset({named}), public)


def _is_for_verifying(jwk: dict[str, Json]) -> bool:
    operations = jwk.get("key_ops")
    if operations is not None and not isinstance(operations, list):
        raise Rejected("key_ops is not a list")
    return jwk.get("use") in (None, "sig") and (operations is None or "verify" in operations)


def _public(jwk: dict[str, Json]) -> tuple[PublicKey, frozenset[str]] | None:
    """The key and the algorithms that its type allows; None for a type that we don't know (RFC 7517 §5)."""
    match jwk:
        case {"kty": "EC", "crv": str(name)} if name in _CURVES:
            return _elliptic(jwk, name)
        case {"kty": "OKP", "crv": "Ed25519"}:
            return _checked(lambda: ed25519.Ed25519PublicKey.from_public_bytes(_bytes(jwk, "x"))), frozenset({"EdDSA"})
        case {"kty": "RSA"}:
            return _rsa(jwk), _RSA
    return None


def _elliptic(jwk: dict[str, Json], name: str) -> tuple[PublicKey, frozenset[str]]:
    curve, length, algorithm = _CURVES[name]
    x, y = _bytes(jwk, "x"), _bytes(jwk, "y")
    if len(x) != length or len(y) != length:
        raise Rejected("coordinates of the wrong length")  # RFC 7518 §6.2.1.2
    numbers = ec.EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"), curve)
    return _checked(numbers.public_key), frozenset({algorithm})


def _rsa(jwk: dict[str, Json]) -> PublicKey:
    modulus, exponent = (int.from_bytes(_bytes(jwk, member), "big") for member in ("n", "e"))
    if modulus.bit_length() not in _RSA_BITS:
        raise Rejected(f"an RSA key of {modulus.bit_length()} bits; use 2048 or more")
    if exponent < 3 or exponent % 2 == 0 or exponent.bit_length() > 32:  # noqa: PLR2004 — e=1 makes any text a signature
        raise Rejected("an RSA exponent that is even, less than 3 or over 32 bits")
    if modulus % 2 == 0:
        raise Rejected("an RSA key with an even modulus")  # factored at a glance
    if _is_roca(modulus):
        raise Rejected("an RSA key with the ROCA weakness (CVE-2017-15361)")
    return _checked(rsa.RSAPublicNumbers(exponent, modulus).public_key)


def _is_roca(modulus: int) -> bool:
    """Whether the modulus is a power of 65537 modulo every small prime: chance does that to no honest key."""
    return all(modulus % p in {pow(65537, power, p) for power in range(p)} for p in _SMALL_PRIMES)


def _bytes(jwk: dict[str, Json], member: str) -> bytes:
    value = jwk.get(member)
    if not isinstance(value, str) or not value:
        raise Rejected(f"{member} is missing")
    return base64url(value)


def _checked(make: Callable[[], PublicKey]) -> PublicKey:
    try:
        return make()
    except ValueError:
        raise Rejected("not a point on its curve, or not a key") from None
