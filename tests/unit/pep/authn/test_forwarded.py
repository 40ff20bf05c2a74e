"""Forwarded identity: from an orchestrator that is named for it, over mTLS, and from nobody else."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from sallyport.pep.authn import build
from sallyport.pep.model import Caller, VouchedFor
from tests.support.pki import authority
from tests.support.tokens import TestIssuer, caller, refused, request, room, settings

NOW = time.time()
ISSUER = TestIssuer(extra={"orgs": ["acme", "globex"], "risk_claim": "risk"})
NAMED = authority().client("spiffe://test/named").certificate_der
UNNAMED = authority().client("spiffe://test/unnamed").certificate_der
FORWARD = {"orgs": ["acme"], "issuer": "gateway", "roles": {"dev": "developer"}}
TLS: dict[str, Any] = {
    "orchestrators": [
        {"spiffe": "spiffe://test/named", "forward_identity": FORWARD},
        {"spiffe": "spiffe://test/unnamed"},
    ]
}
WHO = (("x-user-id", "alice"), ("x-agent-id", "coding-bot"), ("x-org-id", "acme"))


def token(**claims: Any) -> str:
    return ISSUER.mint(iat=int(NOW), exp=int(NOW) + 300, **claims)


def without(name: str) -> tuple[tuple[str, str], ...]:
    return tuple(header for header in WHO if header[0] != name)


def test_a_named_orchestrator_names_the_caller(tmp_path: Path) -> None:
    dropped: list[tuple[str, int]] = []
    authn = build(settings(tmp_path, [], TLS), lambda: NOW, on_dropped_roles=lambda *what: dropped.append(what))
    facts = (("x-roles", "dev, root,"), ("x-risk-score", "30"), ("x-forwarded-for", "2001:db8::1"))
    found = caller(authn.identify(request(None, *WHO, *facts, certificate=NAMED)))
    assert found == Caller(
        issuer="gateway",
        user="alice",
        agent="coding-bot",
        org="acme",
        roles=("developer",),
        scopes=(),
        token_id=found.token_id,
        expires_at=NOW + 60,
        authenticator="forwarded",
        proof=VouchedFor("gateway"),
        ip="2001:db8::1",
        risk=30,
    )
    assert dropped == [("gateway", 1)]
    assert caller(authn.identify(request(None, *WHO, certificate=NAMED))).ip == "192.0.2.7"


@pytest.mark.parametrize("header", ["x-user-id", "x-agent-id", "x-org-id", "x-roles", "x-risk-score"])
@pytest.mark.parametrize("peer", [None, UNNAMED], ids=["stranger", "unnamed"])
@pytest.mark.parametrize("bearer", [True, False])
def test_n8_identity_headers_from_anybody_else_are_refused(
    tmp_path: Path, header: str, peer: bytes | None, *, bearer: bool
) -> None:
    authn = room(tmp_path, ISSUER, now=NOW, tls=TLS)
    asked = request(token() if bearer else None, (header, "7"), certificate=peer)
    refused(authn.identify(asked), "not named for them")


def test_n8_they_are_refused_with_the_right_certificate_but_no_tls_too(tmp_path: Path) -> None:
    authn = room(tmp_path, ISSUER, now=NOW, tls=TLS)
    refused(authn.identify(request(None, *WHO, certificate=NAMED, secure=False)), "not named")


def test_n4_forwarding_headers_from_a_stranger_change_nothing(tmp_path: Path) -> None:
    authn = room(tmp_path, ISSUER, now=NOW, tls=TLS)
    plain = authn.identify(request(token()))
    for value in ("127.0.0.1", "garbage", "10.0.0.1, 10.0.0.2", ""):
        for header in ("x-forwarded-for", "forwarded", "x-real-ip"):
            assert authn.identify(request(token(), (header, value), (header, value))) == plain


@pytest.mark.parametrize("header", [name for name, _ in WHO])
def test_a_part_that_is_missing_repeated_or_malformed_is_refused(tmp_path: Path, header: str) -> None:
    authn = room(tmp_path, ISSUER, now=NOW, tls=TLS)
    refused(authn.identify(request(None, *without(header), certificate=NAMED)), f"{header} is missing")
    refused(authn.identify(request(None, *WHO, (header, "alice"), certificate=NAMED)), "repeated")
    for bad in ("", " ", "a\tb", "é", "a\x00b", "\x7f", "a" * 257, " alice", "alice, bob"):
        refused(authn.identify(request(None, *without(header), (header, bad), certificate=NAMED)), header)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"x-org-id": "globex"}, "orchestrator's"),
        ({"x-org-id": "ACME"}, "orchestrator's"),
        ({"x-user-id": "coding-bot"}, "agent without a user"),
        ({"x-risk-score": "101"}, "risk"),
        ({"x-risk-score": "-1"}, "risk"),
        ({"x-risk-score": "1.0"}, "risk"),
        ({"x-risk-score": "007"}, "risk"),
        ({"x-forwarded-for": "10.0.0.1, 10.0.0.2"}, "one IP"),
        ({"x-forwarded-for": "10.0.0.1:80"}, "one IP"),
        ({"x-forwarded-for": "0x0a.0.0.1"}, "one IP"),
        ({"x-forwarded-for": "localhost"}, "one IP"),
    ],
)
def test_what_the_orchestrator_may_not_say_is_refused(tmp_path: Path, changes: dict[str, str], why: str) -> None:
    authn = room(tmp_path, ISSUER, now=NOW, tls=TLS)
    headers = tuple({**dict(WHO), **changes}.items())
    refused(authn.identify(request(None, *headers, certificate=NAMED)), why)


def test_two_ways_at_once_are_refused_even_from_a_named_orchestrator(tmp_path: Path) -> None:
    authn = room(tmp_path, ISSUER, now=NOW, tls=TLS)
    refused(authn.identify(request(token(), *WHO, certificate=NAMED)), "two ways")
    for name, value in WHO:
        refused(authn.identify(request(token(), (name, value), certificate=NAMED)), "two ways")
    refused(authn.identify(request("not a token", *WHO, certificate=NAMED)), "two ways")


def test_a_named_orchestrator_adds_facts_to_a_token_and_never_lowers_its_risk(tmp_path: Path) -> None:
    authn = room(tmp_path, ISSUER, now=NOW, tls=TLS)

    def asked(*headers: tuple[str, str], **claims: Any) -> Any:
        return authn.identify(request(token(**claims), *headers, certificate=NAMED))

    assert caller(asked(("x-risk-score", "40"))).risk == 40
    assert caller(asked(("x-risk-score", "0"))).risk == 0
    assert caller(asked(("x-risk-score", "0"), risk=90)).risk == 90
    assert caller(asked(("x-risk-score", "95"), risk=90)).risk == 95
    assert caller(asked(("x-forwarded-for", "198.51.100.9"))).ip == "198.51.100.9"
    assert caller(asked(org_id="globex")).org == "globex"
    refused(asked(("x-risk-score", "0"), org_id="globex"), "orchestrator's")


def test_n8_other_spellings_of_identity_headers_are_refused(tmp_path: Path) -> None:
    authn = room(tmp_path, ISSUER, now=NOW, tls=TLS)
    for name in ("x_user_id", "x-user_id", "X_Agent-ID", "x_org_id", "x_roles", "x_risk_score"):
        refused(authn.identify(request(token(), (name, "mallory"))), "underscore")
    for listed in ("x-user-id", "close, X-Org-Id", "Authorization", "keep-alive,authorization"):
        refused(authn.identify(request(token(), ("connection", listed))), "Connection")
    refused(authn.identify(request(token(), ("X-User-ID", "mallory"))), "not named")
    caller(authn.identify(request(token(), ("connection", "close"))))
