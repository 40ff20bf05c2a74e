"""Good bearer tokens, and what of them a caller is made of."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sallyport.pep.model import Caller, Signature, SignedBy
from tests.support.pki import authority
from tests.support.tokens import (
    LEEWAY,
    NOW,
    RESOURCE,
    TestIssuer,
    b64,
    caller,
    refused,
    request,
    room,
)

ISSUER = TestIssuer()


def test_a_good_token_names_user_agent_and_org(tmp_path: Path) -> None:
    found = room(tmp_path).identify(request(ISSUER.mint(), address="::ffff:192.0.2.7"))
    public = ISSUER.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert found == Caller(
        issuer="laptop",
        user="alice",
        agent="coding-bot",
        org="acme",
        roles=("developer",),
        scopes=("tools:call", "tools:list"),
        token_id="token-1",
        expires_at=NOW + 300 + LEEWAY,
        authenticator="bearer",
        proof=SignedBy("laptop", Signature("key-1", "ES256", hashlib.sha256(public).hexdigest())),
        ip="192.0.2.7",
    )


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "ES512", "EdDSA", "RS256", "PS256"])
def test_each_algorithm_verifies_with_its_own_key_and_not_with_another(tmp_path: Path, algorithm: str) -> None:
    issuer = TestIssuer(algorithm=algorithm)
    assert caller(room(tmp_path, issuer).identify(request(issuer.mint()))).user == "alice"
    other = TestIssuer(algorithm=algorithm, which=1) if algorithm[0] == "E" else None
    if other is not None:
        refused(room(tmp_path, issuer).identify(request(other.mint())), "signature")


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt"])
def test_the_token_type_is_a_media_type(tmp_path: Path, typ: str) -> None:
    caller(room(tmp_path).identify(request(ISSUER.mint({"typ": typ}))))


@pytest.mark.parametrize("typ", [None, "JWT", "dpop+jwt", "application/application/at+jwt", "", 7, ["at+jwt"]])
def test_another_token_type_is_refused(tmp_path: Path, typ: Any) -> None:
    refused(room(tmp_path).identify(request(ISSUER.mint({"typ": typ}))), "typ")


@pytest.mark.parametrize("audience", [RESOURCE, [RESOURCE], ["https://other.example", RESOURCE]])
def test_n17_an_audience_that_has_us_is_accepted(tmp_path: Path, audience: Any) -> None:
    caller(room(tmp_path).identify(request(ISSUER.mint(aud=audience))))


@pytest.mark.parametrize(
    "audience",
    [None, "", [], "https://other.example", RESOURCE + "/", RESOURCE.upper(), RESOURCE[:-1], {RESOURCE: 1},
     [[RESOURCE]], [RESOURCE, 7], "https://localhost:8443", f" {RESOURCE}", f"{RESOURCE} https://other.example"],
)  # fmt: skip
def test_n17_an_audience_without_us_is_refused(tmp_path: Path, audience: Any) -> None:
    refused(room(tmp_path).identify(request(ISSUER.mint(aud=audience))), "aud")


def test_two_issuers_alices_are_two_people(tmp_path: Path) -> None:
    other = TestIssuer("office", "https://office.sallyport.test", which=1)
    authn = room(tmp_path, ISSUER, other)
    ours, theirs = (caller(authn.identify(request(issuer.mint()))) for issuer in (ISSUER, other))
    assert (ours.user, theirs.user) == ("alice", "alice")
    assert (ours.issuer, theirs.issuer) == ("laptop", "office")


def test_n16_one_issuers_key_signs_nothing_for_another(tmp_path: Path) -> None:
    other = TestIssuer("office", "https://office.sallyport.test", which=1)
    authn = room(tmp_path, ISSUER, other)
    refused(authn.identify(request(other.mint(iss=ISSUER.url))), "signature")


@pytest.mark.parametrize(
    "iss", [None, "", 7, "https://issuer.sallyport.test/", "https://ISSUER.sallyport.test", "laptop"]
)
def test_an_issuer_that_is_not_listed_is_refused(tmp_path: Path, iss: Any) -> None:
    refused(room(tmp_path).identify(request(ISSUER.mint(iss=iss))), "iss is not")


def test_a_token_without_jti_is_named_by_its_digest(tmp_path: Path) -> None:
    token = ISSUER.mint(jti=None)
    found = caller(room(tmp_path).identify(request(token)))
    assert found.token_id == hashlib.sha256(token.rpartition(".")[0].encode()).hexdigest()[:32]


@pytest.mark.parametrize("jti", ["", 7, ["a"], "a\nb", "x" * 257])
def test_an_unusable_jti_is_refused(tmp_path: Path, jti: Any) -> None:
    refused(room(tmp_path).identify(request(ISSUER.mint(jti=jti))), "jti")


def test_a_token_bound_to_a_certificate_is_good_only_with_it(tmp_path: Path) -> None:
    mine, other = authority().client().certificate_der, authority().client().certificate_der
    thumbprint = b64(hashlib.sha256(mine).digest())
    authn, bound = room(tmp_path), ISSUER.mint(cnf={"x5t#S256": thumbprint})
    caller(authn.identify(request(bound, certificate=mine)))
    refused(authn.identify(request(bound, certificate=other)), "another certificate")
    refused(authn.identify(request(bound)), "another certificate")
    unusable: tuple[Any, ...] = (
        {},
        {"jkt": "x"},
        {"x5t#S256": thumbprint, "jkt": "x"},
        {"x5t#S256": 7},
        "x",
        [],
        {"x5t#S256": ""},
    )
    for cnf in unusable:
        refused(authn.identify(request(ISSUER.mint(cnf=cnf), certificate=mine)), "cnf")


def test_a_token_without_kid_needs_an_issuer_with_one_key(tmp_path: Path) -> None:
    authn = room(tmp_path)
    caller(authn.identify(request(ISSUER.mint({"kid": None}))))
