"""A JWKS file: what is a key for us, and what makes the whole file unusable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sallyport.pep.authn import build, jwks
from sallyport.pep.authn.evidence import Rejected
from sallyport.runtime.problems import ConfigError
from sallyport.runtime.strict_json import JsonRefused
from tests.support.tokens import TestIssuer, b64, dump, private_key, public_jwk, rsa_key, settings

EC = public_jwk(private_key())
ES256 = frozenset({"ES256"})


def parsed(*keys: Any, algorithms: frozenset[str] = ES256) -> jwks.KeySet:
    return jwks.parse(dump({"keys": list(keys)}), algorithms)


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"[]", b"null", b'{"keys":[]}', b'{"keys":{}}', b'{"keys":null}', b"<html>not found</html>",
     b'{"keys":[]', b'{"keys":[],"keys":[]}', b'{"keys":["a"]}', b'{"keys":[{}]}', b"\xef\xbb\xbf{}", b"\xff",
     b"[" * 100_000, b'{"keys":[' + b"{}," * 200 + b"{}]}", b" " * (11 << 20)],
    ids=range(17),
)  # fmt: skip
def test_n5_a_jwks_that_is_empty_or_unparsable_stops_the_start(tmp_path: Path, data: bytes) -> None:
    pep = settings(tmp_path, [TestIssuer()])
    pep.issuers[0].jwks.write_bytes(data)
    with pytest.raises(ConfigError, match=r"laptop\.jwks\.json"):
        build(pep)


def test_n5_a_missing_jwks_stops_the_start(tmp_path: Path) -> None:
    pep = settings(tmp_path, [TestIssuer()])
    pep.issuers[0].jwks.unlink()
    with pytest.raises(ConfigError, match="can't be read"):
        build(pep)
    pep.issuers[0].jwks.mkdir()
    with pytest.raises(ConfigError, match="can't be read"):
        build(pep)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"d": "AAAA"}, "secret"),
        ({"kty": "oct", "k": "AAAA"}, "secret"),
        ({"k": "AAAA"}, "secret"),
        ({"alg": "ES384"}, "alg doesn't fit"),
        ({"alg": "RS256"}, "alg doesn't fit"),
        ({"alg": ["ES256"]}, "alg doesn't fit"),
        ({"crv": "P-384"}, "wrong length"),
        ({"x": EC["y"], "y": EC["x"]}, "curve"),
        ({"x": EC["x"] + "="}, "base64url"),
        ({"x": EC["x"][:-1]}, "base64url"),
        ({"x": None}, "x is missing"),
        ({"x": 7}, "x is missing"),
        ({"kty": "RSA"}, "n is missing"),
        ({"kid": 7}, "kid"),
        ({"kid": ""}, "kid"),
        ({"kid": "k" * 129}, "kid"),
        ({"key_ops": "verify"}, "key_ops"),
        ({"use": "enc"}, "no key for ES256"),
        ({"use": ["sig"]}, "no key for ES256"),
        ({"key_ops": ["encrypt"]}, "no key for ES256"),
        ({"key_ops": []}, "no key for ES256"),
        ({"kty": "AKP"}, "no key for ES256"),
        ({"kty": ["EC"]}, "no key for ES256"),
        ({"crv": "secp256k1"}, "no key for ES256"),
        ({"crv": "P-256 "}, "no key for ES256"),
    ],
)
def test_n5_a_key_that_may_not_verify_is_none(changes: dict[str, Any], why: str) -> None:
    key = {name: value for name, value in {**EC, **changes}.items() if value is not None}
    with pytest.raises((Rejected, JsonRefused), match=why):
        parsed(key)


def test_one_bad_key_makes_the_whole_set_unusable_but_another_kind_of_key_does_not() -> None:
    good = {**EC, "kid": "good"}
    with pytest.raises(Rejected, match="key 1: it is secret"):
        parsed(good, {"kty": "oct", "k": "AAAA", "kid": "other"})
    for other in ({"kty": "AKP", "kid": "pq"}, {**EC, "use": "enc", "kid": "enc"}, public_jwk(rsa_key(), kid="rsa")):
        assert parsed(good, other).find("good", "ES256") is not None


def test_two_keys_with_one_kid_are_refused_even_where_one_is_for_something_else() -> None:
    for other in (EC, {**EC, "use": "enc"}, public_jwk(rsa_key())):
        with pytest.raises(Rejected, match="same kid"):
            parsed({**EC, "kid": "a"}, {**other, "kid": "a"})


def rsa_jwk(modulus: int, exponent: int = 65537) -> dict[str, str]:
    n, e = (b64(number.to_bytes((number.bit_length() + 7) // 8 or 1, "big")) for number in (modulus, exponent))
    return {"kty": "RSA", "n": n, "e": e}


@pytest.mark.parametrize(
    ("key", "why"),
    [
        (public_jwk(rsa_key(1024)), "1024 bits"),
        (rsa_jwk(1 << 2046), "2047 bits"),
        (rsa_jwk((1 << 16384) + 1), "16385 bits"),
        (rsa_jwk((1 << 2047) + 1, 1), "exponent"),
        (rsa_jwk((1 << 2047) + 1, 0), "exponent"),
        (rsa_jwk((1 << 2047) + 1, 65536), "exponent"),
        (rsa_jwk((1 << 2047) + 1, (1 << 33) + 1), "exponent"),
        (rsa_jwk(1 << 2047), "even modulus"),
        (public_jwk(rsa_key(), alg="ES256"), "alg doesn't fit"),
        (public_jwk(rsa_key(), p="AQAB"), "secret"),
    ],
)
def test_a_weak_rsa_key_is_refused(key: dict[str, Any], why: str) -> None:
    with pytest.raises(Rejected, match=why):
        parsed(key, algorithms=frozenset({"RS256"}))


def test_n16_a_key_is_found_only_for_algorithms_that_fit_it() -> None:
    keys = parsed({**EC, "kid": "ec"}, public_jwk(rsa_key(), kid="rsa"), algorithms=frozenset({"ES256", "RS256"}))
    assert keys.find("ec", "ES256")
    assert keys.find("rsa", "RS256")
    for kid, algorithm in (("ec", "RS256"), ("rsa", "ES256"), ("rsa", "PS256"), ("ec", "HS256"), ("ec", "none")):
        assert keys.find(kid, algorithm) is None


def test_without_a_kid_there_must_be_no_choice() -> None:
    other = public_jwk(private_key(which=1))
    assert parsed(EC).find(None, "ES256") is not None
    assert parsed(EC, other).find(None, "ES256") is None
    assert parsed(EC, public_jwk(rsa_key()), algorithms=frozenset({"ES256", "RS256"})).find(None, "ES256") is not None
    assert parsed(EC).find("any", "ES256") is None


def test_an_ed25519_key_has_32_bytes() -> None:
    key = public_jwk(private_key("EdDSA"))
    eddsa = frozenset({"EdDSA"})
    assert parsed(key, algorithms=eddsa).find(None, "EdDSA") is not None
    with pytest.raises(Rejected, match="not a key"):
        parsed({**key, "x": b64(b"a" * 31)}, algorithms=eddsa)
    with pytest.raises(Rejected, match="no key"):
        parsed({**key, "crv": "Ed448"}, algorithms=eddsa)
