"""Tokens as attackers make them: none of them names anybody, none makes us look further than our own keys."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization

from sallyport.pep.authn import jwks
from tests.support.tokens import (
    RESOURCE,
    TestIssuer,
    b64,
    caller,
    compact,
    dump,
    private_key,
    public_jwk,
    refused,
    request,
    room,
    rsa_key,
)

ISSUER = TestIssuer()
RSA = TestIssuer(algorithm="RS256")
ATTACKER = private_key(which=66)


def public_forms(issuer: TestIssuer) -> Iterator[bytes]:
    """Every text that a confused verifier might take for an HMAC secret."""
    public = issuer.key.public_key()
    for encoding, kind in (
        (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
        (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo),
    ):
        form = public.public_bytes(encoding, kind)
        yield from (form, form.strip())
    yield dump(issuer.jwks())
    yield dump(issuer.jwks()["keys"][0])
    yield b""


def unsigned(issuer: TestIssuer, algorithm: Any, signature: str = "") -> str:
    return f"{b64(dump(issuer.header(alg=algorithm)))}.{b64(dump(issuer.claims()))}.{signature}"


@pytest.mark.parametrize("issuer", [ISSUER, RSA], ids=["ES256", "RS256"])
@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_n16_the_public_key_is_no_hmac_secret(tmp_path: Path, issuer: TestIssuer, algorithm: str) -> None:
    authn = room(tmp_path, issuer)
    hmac = jwt.algorithms.HMACAlgorithm(getattr(jwt.algorithms.HMACAlgorithm, "SHA" + algorithm[2:]))
    for secret in public_forms(issuer):
        head, body = b64(dump(issuer.header(alg=algorithm))), b64(dump(issuer.claims()))
        signature = b64(hmac.sign(f"{head}.{body}".encode(), secret))
        refused(authn.identify(request(f"{head}.{body}.{signature}")), "not one of its issuer's")


@pytest.mark.parametrize(
    "algorithm", ["none", "None", "NONE", "nOnE", "", None, 0, ["ES256"], {"a": 1}, "es256", "ES256 "]
)
def test_n16_no_signature_is_no_signature_however_it_is_spelt(tmp_path: Path, algorithm: Any) -> None:
    authn = room(tmp_path)
    good = ISSUER.mint().rpartition(".")[2]
    for signature in ("", b64(b"x"), good):
        refused(authn.identify(request(unsigned(ISSUER, algorithm, signature))))


@pytest.mark.parametrize("algorithm", ["ES384", "ES512", "EdDSA", "RS256", "PS256"])
def test_n16_an_algorithm_that_the_issuer_does_not_use_is_refused(tmp_path: Path, algorithm: str) -> None:
    other = TestIssuer(algorithm=algorithm)
    refused(room(tmp_path).identify(request(other.mint())), "not one of its issuer's")


def test_n16_a_key_for_one_algorithm_verifies_no_other(tmp_path: Path) -> None:
    issuer = TestIssuer(algorithm="RS256", extra={"algorithms": ["RS256", "PS256", "ES256"]})
    token = compact(dump(issuer.header(alg="PS256")), dump(issuer.claims()), issuer.key, "PS256")
    refused(room(tmp_path, issuer).identify(request(token)), "no key")


KIDS = [
    "../../../../dev/null", "/dev/null", "file:///dev/null", "key-1\x00", "key-1' OR '1'='1", "key-1; DROP TABLE keys",
    "KEY-1", "key-1 ", " key-1", "\uff4bey-1", "http://127.0.0.1/jwks.json", "${jndi:ldap://127.0.0.1/}", "k" * 128,
]  # fmt: skip


@pytest.mark.parametrize("kid", KIDS, ids=range(len(KIDS)))
def test_n16_a_kid_is_a_map_key_and_nothing_else(tmp_path: Path, kid: str) -> None:
    refused(room(tmp_path).identify(request(ISSUER.mint({"kid": kid}))), "no key of that name")


@pytest.mark.parametrize("kid", ["", 7, True, ["key-1"], {"key-1": 1}, "k" * 129, "k" * 4000])
def test_n16_a_kid_that_is_no_short_string_is_refused(tmp_path: Path, kid: Any) -> None:
    refused(room(tmp_path).identify(request(ISSUER.mint({"kid": kid}))), "kid")


def test_n16_a_kid_of_null_is_not_an_absent_one(tmp_path: Path) -> None:
    token = compact(dump({**ISSUER.header(), "kid": None}), dump(ISSUER.claims()), ISSUER.key, "ES256")
    refused(room(tmp_path).identify(request(token)), "kid")


def test_n16_a_kid_of_10_kb_is_refused(tmp_path: Path) -> None:
    refused(room(tmp_path).identify(request(ISSUER.mint({"kid": "k" * 10_000}))), "over 8192")


@contextmanager
def canary() -> Iterator[tuple[str, list[object]]]:
    """A listener that counts who connects."""
    seen: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def count() -> None:
            while True:
                try:
                    seen.append(server.accept()[1])
                except OSError:
                    return

        thread = threading.Thread(target=count)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}/jwks.json", seen
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(5)


def test_n16_keys_in_the_header_are_neither_used_nor_fetched(tmp_path: Path) -> None:
    authn, own = room(tmp_path), public_jwk(ATTACKER, kid="key-1")
    with canary() as (url, seen):
        for extra in (
            {"jwk": own},
            {"jwk": own, "kid": None},
            {"jku": url},
            {"jku": url, "kid": "attacker"},
            {"x5u": url},
            {"x5c": [b64(b"certificate")]},
            {"x5t#S256": b64(b"x" * 32)},
            {"jwk": own, "jku": url, "x5u": url, "x5c": [url]},
        ):
            refused(authn.identify(request(ISSUER.mint(extra, key=ATTACKER))))
            # With the right signature they are just as unread.
            caller(authn.identify(request(ISSUER.mint({**extra, "kid": "key-1"}))))
        refused(authn.identify(request(ISSUER.mint(iss=url, key=ATTACKER))))
    assert seen == []


@pytest.mark.parametrize("crit", [["exp"], ["b64"], ["http://example.com/UNDEFINED"], [], None, "exp", ["alg"], {}, 0])
def test_n16_any_critical_extension_is_refused(tmp_path: Path, crit: Any) -> None:
    header = {**ISSUER.header(), "crit": crit, "exp": 1}
    token = compact(dump(header), dump(ISSUER.claims()), ISSUER.key, "ES256")
    refused(room(tmp_path).identify(request(token)), "critical")


@pytest.mark.parametrize("b64_member", [False, True, None])
def test_n16_an_unencoded_payload_is_refused(tmp_path: Path, b64_member: Any) -> None:
    token = compact(dump({**ISSUER.header(), "b64": b64_member}), dump(ISSUER.claims()), ISSUER.key, "ES256")
    refused(room(tmp_path).identify(request(token)), "critical")


def twice(document: dict[str, Any], member: str, value: Any, *, first: bool) -> bytes:
    extra = f"{json.dumps(member)}:{json.dumps(value)}".encode()
    body = dump(document)
    return b"{" + extra + b"," + body[1:] if first else body[:-1] + b"," + extra + b"}"


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    ("part", "member", "value"),
    [("header", "alg", "none"), ("header", "kid", "x"), ("claims", "sub", "admin"), ("claims", "org_id", "globex"),
     ("claims", "iss", "https://evil.test"), ("claims", "exp", 9_999_999_999), ("claims", "aud", RESOURCE)],
)  # fmt: skip
def test_n12_duplicate_members_are_refused_even_when_signed(
    tmp_path: Path, part: str, member: str, value: Any, *, first: bool
) -> None:
    header, claims = dump(ISSUER.header()), dump(ISSUER.claims())
    if part == "header":
        header = twice(ISSUER.header(), member, value, first=first)
    else:
        claims = twice(ISSUER.claims(), member, value, first=first)
    refused(room(tmp_path).identify(request(compact(header, claims, ISSUER.key, "ES256"))), "duplicate key")


@pytest.mark.parametrize(
    "claims",
    [b"", b"null", b"[]", b'"alice"', b"7", b"{", b"\xff", b'{"exp":NaN}', b'{"exp":1e999}', b"\xef\xbb\xbf{}",
     b'{"sub":"\\ud800"}', b'{"a":' * 40 + b"1" + b"}" * 40, b"[" * 6000, b"{} {}"],
    ids=range(14),
)  # fmt: skip
def test_n12_claims_that_are_not_one_strict_json_object_are_refused(tmp_path: Path, claims: bytes) -> None:
    refused(room(tmp_path).identify(request(compact(dump(ISSUER.header()), claims, ISSUER.key, "ES256"))))


@pytest.mark.parametrize("claim", ["sub", "org_id", "jti", "client_id"])
@pytest.mark.parametrize(
    "value",
    ["alice\x00", "alice\n", "\ralice", "al\x1bice", "alice\x7f", "alice\x85", "alice\u2028", "alice\u200b",
     "\u202ealice", "\ufeffalice", "al\u00adice", " alice", "alice ", "alice\u3000", "\ue000alice", "\U000e0061lice"],
    ids=range(16),
)  # fmt: skip
def test_names_with_what_nobody_can_see_are_refused(tmp_path: Path, claim: str, value: str) -> None:
    refused(room(tmp_path).identify(request(ISSUER.mint(**{claim: value}))), claim if claim != "client_id" else "")


def test_names_are_never_folded_into_one_another(tmp_path: Path) -> None:
    names = ["alice", "ALICE", "аlice", "ａlice", "alicé", "alice\u0301", "ſ", "s", "\u212a", "K"]  # noqa: RUF001 — the trick
    authn = room(tmp_path)
    assert [caller(authn.identify(request(ISSUER.mint(sub=name)))).user for name in names] == names
    for role in ("ｄeveloper", "DEVELOPER", "developer\u200b", "devеloper"):  # noqa: RUF001 — the trick
        assert caller(authn.identify(request(ISSUER.mint(roles=[role])))).roles == ()


def test_a_token_over_the_limit_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    authn = room(tmp_path)
    refused(authn.identify(request("a" * 8193)), "over 8192")
    refused(authn.identify(request("a" * 8192)), "compact")
    refused(authn.identify(request(ISSUER.mint(padding="x" * 6000))), "over 8192")


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer ", "Basic YTpi", "Bearer a b", "Bearer\ta", "Token {t}", "{t}", "Bearer {t}, Bearer {t}",
     "Bearer {t} ", "Bearer  {t},", "Bearer {t}\x00", "Bearer={t}", "Bearer: {t}", "DPoP {t}", "Bearer {t}=", "Bearer {t}==",
     "Bearer {t}.", "Bearer .{t}", "Bearer {t}.e30"],
)  # fmt: skip
def test_an_authorization_that_is_not_one_bearer_token_is_refused(tmp_path: Path, authorization: str) -> None:
    value = authorization.replace("{t}", ISSUER.mint())
    refused(room(tmp_path).identify(request(None, ("authorization", value))))


def test_n8_two_authorization_headers_are_refused_even_if_equal(tmp_path: Path) -> None:
    token = ISSUER.mint()
    for name in ("authorization", "Authorization"):
        refused(room(tmp_path).identify(request(token, (name, f"Bearer {token}"))), "repeated")
    refused(room(tmp_path).identify(request(token, ("authorization", ""))), "repeated")


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer "])
def test_the_scheme_has_no_case(tmp_path: Path, scheme: str) -> None:
    caller(room(tmp_path).identify(request(None, ("authorization", f"{scheme} {ISSUER.mint()}"))))


def test_one_changed_character_anywhere_spoils_a_token(tmp_path: Path) -> None:
    authn, token = room(tmp_path), ISSUER.mint()
    for at, character in enumerate(token):
        other = "A" if character != "A" else "B"
        refused(authn.identify(request(token[:at] + other + token[at + 1 :])))
        refused(authn.identify(request(token[:at] + token[at + 1 :])))


def test_n7_a_refusal_repeats_nothing_of_what_was_presented(tmp_path: Path) -> None:
    authn, secret = room(tmp_path), "canary-5f1c"
    tokens = [
        secret,
        ISSUER.mint({"kid": secret}),
        ISSUER.mint({"alg": secret}),
        ISSUER.mint({"typ": secret}),
        *(ISSUER.mint(**{c: secret}) for c in ("iss", "aud", "org_id", "exp", "act", "amr", "cnf", "roles")),
        ISSUER.mint(sub=secret + "\n"),
        ISSUER.mint(scope=f"{secret}  {secret}"),
        compact(dump(ISSUER.header()), secret.encode(), ISSUER.key, "ES256"),
    ]
    for token in tokens:
        answer = refused(authn.identify(request(token)))
        shown = f"{answer!r} {authn.challenge(answer)}"
        assert secret not in shown
        assert b64(secret.encode()) not in shown
    assert secret not in repr(refused(authn.identify(request(None, ("x-user-id", secret)))))


def test_n18_a_flood_of_unknown_kids_opens_no_file_and_harms_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authn, good = room(tmp_path), request(ISSUER.mint())
    tail = ISSUER.mint().partition(".")[2]
    loads: list[object] = []
    monkeypatch.setattr(jwks, "load", lambda *what: loads.append(what))
    monkeypatch.setattr(Path, "open", lambda *what, **_: loads.append(what))
    monkeypatch.setattr(socket, "socket", lambda *what, **_: loads.append(what))
    for number in range(2000):
        header = b64(dump(ISSUER.header(kid=f"unknown-{number}")))
        refused(authn.identify(request(f"{header}.{tail}")), "no key of that name")
    assert caller(authn.identify(good)).user == "alice"
    assert loads == []


def test_two_keys_of_one_issuer_overlap_and_a_nameless_token_has_no_choice(tmp_path: Path) -> None:
    old, new = TestIssuer(kid="old"), TestIssuer(kid="new", which=1)

    class Rotating(TestIssuer):
        def jwks(self) -> dict[str, Any]:
            return {"keys": [*old.jwks()["keys"], *new.jwks()["keys"]]}

    authn = room(tmp_path, Rotating())
    caller(authn.identify(request(old.mint())))
    caller(authn.identify(request(new.mint())))
    refused(authn.identify(request(old.mint({"kid": "new"}))), "signature")
    refused(authn.identify(request(old.mint({"kid": None}))), "no key")


def test_a_second_form_of_an_ecdsa_signature_is_no_second_token(tmp_path: Path) -> None:
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    token = ISSUER.mint(jti=None)
    signed, _, signature = token.rpartition(".")
    raw = jwt.utils.base64url_decode(signature)
    twin = raw[:32] + (order - int.from_bytes(raw[32:], "big")).to_bytes(32, "big")
    found = [caller(room(tmp_path).identify(request(each))) for each in (token, f"{signed}.{b64(twin)}")]
    assert found[0].token_id == found[1].token_id


def test_n16_an_rsa_key_is_not_taken_for_an_elliptic_one(tmp_path: Path) -> None:
    issuer = TestIssuer(extra={"algorithms": ["ES256", "RS256"]})
    token = compact(dump(issuer.header(alg="RS256")), dump(issuer.claims()), rsa_key(), "RS256")
    refused(room(tmp_path, issuer).identify(request(token)), "no key")
