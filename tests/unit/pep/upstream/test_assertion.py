"""The signed word for whom a call is: read by verifiers that aren't ours, good for one upstream, one call, one minute."""

from __future__ import annotations

import hashlib
import json
import subprocess
from base64 import urlsafe_b64decode
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, utils

from sallyport.pep.authn.jwks import load as load_keys
from sallyport.pep.model import Identity
from sallyport.pep.settings import Assertion
from sallyport.pep.upstream.assertion import TYPE, OwnIdentity, PrivateKey, published
from sallyport.runtime.problems import ConfigError

CRM, BILLING = "https://crm.test/mcp", "https://billing.test/mcp"
ISSUER = "https://gate.test"
WHO = Identity("laptop", "alice", "coding-bot", "acme", "d-1")
DIGEST = hashlib.sha256(b"{}").hexdigest()
NOW = 1_800_000_000.75


def pem(key: Any, encryption: serialization.KeySerializationEncryption | None = None) -> bytes:
    form = serialization.PrivateFormat.PKCS8
    encoded: bytes = key.private_bytes(serialization.Encoding.PEM, form, encryption or serialization.NoEncryption())
    return encoded


def write(path: Path, data: bytes) -> Path:
    path.touch(mode=0o600)
    path.write_bytes(data)
    return path


def own(*keys: Path, ttl: int = 60, now: float = NOW) -> OwnIdentity:
    return OwnIdentity(Assertion(key=keys, issuer=ISSUER, ttl_seconds=ttl), clock=lambda: now)


@pytest.fixture(params=["ES256", "EdDSA"])
def key(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    made: PrivateKey = ec.generate_private_key(ec.SECP256R1())
    if request.param == "EdDSA":
        made = ed25519.Ed25519PrivateKey.generate()
    return write(tmp_path / f"{request.param}.key", pem(made))


def part(token: str, index: int) -> dict[str, Any]:
    text = token.split(".")[index]
    found: dict[str, Any] = json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return found


def test_it_says_who_asks_by_which_agent_and_what_was_judged(key: Path) -> None:
    gate = own(key)
    token = gate.sign(WHO, CRM, DIGEST)
    claims = part(token, 1)
    assert claims.pop("jti")
    assert claims == {
        "iss": ISSUER,
        "aud": CRM,
        "iat": 1_800_000_000,
        "exp": 1_800_000_060,
        "sub": "alice",
        "act": {"sub": "coding-bot"},
        "org_id": "acme",
        "sallyport_issuer": "laptop",
        "sallyport_decision": "d-1",
        "sallyport_digest": DIGEST,
    }
    assert part(token, 0) == {"alg": key.stem, "typ": TYPE, "kid": gate.jwks()["keys"][0]["kid"]}  # type: ignore[index,call-overload]


def test_a_library_verifies_it_by_the_published_keys_and_refuses_another_audience_issuer_or_time(key: Path) -> None:
    import time

    gate = own(key, now=time.time())
    token = gate.sign(WHO, CRM, DIGEST)
    published_key = jwt.PyJWKSet.from_dict(gate.jwks())[part(token, 0)["kid"]]
    how: dict[str, Any] = {"algorithms": [key.stem], "options": {"require": ["exp", "iat", "aud", "iss", "sub", "jti"]}}
    assert jwt.decode(token, published_key, audience=CRM, issuer=ISSUER, **how)["sub"] == "alice"
    with pytest.raises(jwt.InvalidAudienceError):
        jwt.decode(token, published_key, audience=BILLING, issuer=ISSUER, **how)
    with pytest.raises(jwt.InvalidIssuerError):
        jwt.decode(token, published_key, audience=CRM, issuer="https://other.test", **how)
    old = own(key, now=time.time() - 61).sign(WHO, CRM, DIGEST)
    with pytest.raises(jwt.ExpiredSignatureError):
        jwt.decode(old, published_key, audience=CRM, issuer=ISSUER, **how)
    head, body, signature = token.split(".")
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(f"{head}.{body}.{signature[:-4]}AAAA", published_key, audience=CRM, issuer=ISSUER, **how)


def test_openssl_verifies_the_bare_signature(tmp_path: Path) -> None:
    """Another implementation from the first byte to the last: no JWT library, and neither ours nor Python's cryptography."""
    private = ec.generate_private_key(ec.SECP256R1())
    gate = own(write(tmp_path / "own.key", pem(private)))
    head, body, signature = gate.sign(WHO, CRM, DIGEST).split(".")
    raw = urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
    der = utils.encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    jwk: Any = gate.jwks()["keys"]
    x, y = (int.from_bytes(urlsafe_b64decode(jwk[0][member] + "="), "big") for member in ("x", "y"))
    public = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    write(tmp_path / "public.pem", public.public_bytes(serialization.Encoding.PEM, spki))
    write(tmp_path / "signature", der)
    write(tmp_path / "signed", f"{head}.{body}".encode())
    command = ["openssl", "dgst", "-sha256", "-verify", "public.pem", "-signature", "signature"]
    assert subprocess.run([*command, "signed"], cwd=tmp_path, check=False).returncode == 0
    write(tmp_path / "other", f"{head}.{body}x".encode())
    assert subprocess.run([*command, "other"], cwd=tmp_path, check=False).returncode != 0
    assert private.public_key() == public


def test_each_call_and_each_upstream_has_its_own(key: Path) -> None:
    gate = own(key)
    tokens = [part(gate.sign(WHO, audience, DIGEST), 1) for audience in (CRM, CRM, BILLING)]
    assert len({claims["jti"] for claims in tokens}) == 3
    assert [claims["aud"] for claims in tokens] == [CRM, CRM, BILLING]


@pytest.mark.parametrize("ttl", [1, 30, 60])
def test_it_lives_for_a_minute_at_most(key: Path, ttl: int) -> None:
    claims = part(own(key, ttl=ttl).sign(WHO, CRM, DIGEST), 1)
    assert claims["exp"] - claims["iat"] == ttl


def test_it_is_no_access_token_anywhere(key: Path) -> None:
    """Verifiers of access tokens ask for at+jwt (RFC 9068 §4), or at least for none that they don't know."""
    assert part(own(key).sign(WHO, CRM, DIGEST), 0)["typ"] not in {"JWT", "jwt", "at+jwt", "application/at+jwt"}


def test_all_keys_are_published_and_the_first_signs(tmp_path: Path) -> None:
    old = write(tmp_path / "old.key", pem(ec.generate_private_key(ec.SECP256R1())))
    new = write(tmp_path / "new.key", pem(ed25519.Ed25519PrivateKey.generate()))
    before, during, after = own(old, new), own(new, old), own(new)
    assert [part(gate.sign(WHO, CRM, DIGEST), 0)["alg"] for gate in (before, during, after)] == [
        "ES256",
        "EdDSA",
        "EdDSA",
    ]
    for signer in (before, during):
        token = signer.sign(WHO, CRM, DIGEST)
        for publisher in (before, during):
            assert part(token, 0)["kid"] in {each["kid"] for each in _keys(publisher)}
    assert _keys(after) == [_keys(during)[0]]


def test_n7_only_public_halves_are_published(key: Path, tmp_path: Path) -> None:
    document = own(key).jwks()
    assert document == published(own(key))
    (only,) = _keys(own(key))
    assert only.keys() == {"kty", "crv", "x", "alg", "use", "kid"} | ({"y"} if key.stem == "ES256" else set())
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps(document))
    assert load_keys(path, frozenset({key.stem})).find(only["kid"], key.stem) is not None  # a strict reader takes it


def test_a_gate_that_signs_nothing_publishes_no_keys() -> None:
    assert published(None) == {"keys": []}


def test_the_kid_is_the_thumbprint_that_others_compute() -> None:
    """RFC 8037, appendix A.3."""
    from sallyport.pep.upstream.assertion import _jwk

    public: dict[str, Any] = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    assert _jwk(public, "EdDSA")["kid"] == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


@pytest.mark.parametrize(
    "kind", ["nothing", "rubbish", "public", "rsa", "p-384", "encrypted", "open to others", "gone"]
)
def test_n7_a_key_that_cannot_be_used_stops_the_start(tmp_path: Path, kind: str) -> None:
    good = ec.generate_private_key(ec.SECP256R1())
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    data = {
        "nothing": b"",
        "rubbish": b"-----BEGIN PRIVATE KEY-----\nrubbish\n-----END PRIVATE KEY-----\n",
        "public": good.public_key().public_bytes(serialization.Encoding.PEM, spki),
        "rsa": pem(rsa.generate_private_key(65537, 2048)),
        "p-384": pem(ec.generate_private_key(ec.SECP384R1())),
        "encrypted": pem(good, serialization.BestAvailableEncryption(b"x")),
    }
    path = write(tmp_path / "own.key", data.get(kind, pem(good)))
    if kind == "open to others":
        path.chmod(0o644)
    elif kind == "gone":
        path.unlink()
    with pytest.raises(ConfigError, match=r"own\.key"):
        own(path)


def test_the_same_key_twice_is_no_rotation(tmp_path: Path) -> None:
    data = pem(ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(ConfigError, match="same key"):
        own(write(tmp_path / "a.key", data), write(tmp_path / "b.key", data))


def _keys(gate: OwnIdentity) -> list[dict[str, Any]]:
    found: Any = gate.jwks()["keys"]
    return list(found)
