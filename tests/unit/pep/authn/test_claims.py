"""What the claims of a well-signed token say, and which of them can't be used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sallyport.pep.authn import build
from tests.support.tokens import (
    LEEWAY,
    NOW,
    TestIssuer,
    caller,
    compact,
    dump,
    refused,
    request,
    room,
    settings,
)

ISSUER = TestIssuer()


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"exp": NOW - LEEWAY - 1}, "expired"),
        ({"exp": NOW - LEEWAY}, "expired"),
        ({"exp": NOW - LEEWAY + 1}, None),
        ({"nbf": NOW + LEEWAY - 1}, None),
        ({"nbf": NOW + LEEWAY}, None),
        ({"nbf": NOW + LEEWAY + 1}, "nbf"),
        ({"iat": NOW + LEEWAY - 1}, None),
        ({"iat": NOW + LEEWAY}, None),
        ({"iat": NOW + LEEWAY + 1}, "iat"),
        ({"exp": NOW + 3600 - 1, "iat": NOW - 3600}, None),
    ],
)
def test_times_hold_to_the_second_around_the_leeway(tmp_path: Path, claims: dict[str, float], why: str | None) -> None:
    found = room(tmp_path).identify(request(ISSUER.mint(**claims)))
    if why:
        refused(found, why)
    else:
        assert caller(found).expires_at > NOW


def test_no_jump_of_the_clock_makes_an_expired_token_good(tmp_path: Path) -> None:
    now = [NOW]
    authn = build(settings(tmp_path, [ISSUER]), lambda: now[0])
    token = request(ISSUER.mint())
    caller(authn.identify(token))
    now[0] += 3600
    refused(authn.identify(token), "expired")
    now[0] = NOW - 3600
    refused(authn.identify(token), "iat")


@pytest.mark.parametrize("claim", ["exp", "iat"])
@pytest.mark.parametrize("value", [None, "1800000300", True, -1, 1e300, 253402300800, [], {}])
def test_a_token_without_usable_dates_is_refused(tmp_path: Path, claim: str, value: Any) -> None:
    refused(room(tmp_path).identify(request(ISSUER.mint(**{claim: value}))), f"{claim} is not a date")


@pytest.mark.parametrize("claim", ["sub", "org_id"])
@pytest.mark.parametrize("value", [None, "", 7, ["alice"], "a" * 257, "é" * 129])
def test_a_token_without_user_or_org_is_refused(tmp_path: Path, claim: str, value: Any) -> None:
    refused(room(tmp_path).identify(request(ISSUER.mint(**{claim: value}))), f"{claim} is not a string")


@pytest.mark.parametrize("org", ["globex", "ACME", "acme.", "*", "all"])
def test_an_org_that_the_issuer_may_not_speak_for_is_refused(tmp_path: Path, org: str) -> None:
    refused(room(tmp_path).identify(request(ISSUER.mint(org_id=org))), "org_id is not one of")


@pytest.mark.parametrize(
    ("claims", "agent"),
    [
        ({"act": {"sub": "chat-bot"}}, "chat-bot"),
        ({"act": {"sub": "chat-bot", "act": {"sub": "earlier-bot"}}}, "chat-bot"),
        ({"act": {"sub": "chat-bot", "iss": ISSUER.url}}, "chat-bot"),
        ({"act": None}, "coding-bot"),
        ({"act": None, "azp": None}, "coding-bot"),
        ({"act": None, "client_id": None}, "coding-bot"),
        ({"azp": None, "client_id": None}, "coding-bot"),
    ],
)
def test_the_agent_is_the_actor_or_else_the_client(tmp_path: Path, claims: dict[str, Any], agent: str) -> None:
    assert caller(room(tmp_path).identify(request(ISSUER.mint(**claims)))).agent == agent


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"act": {}}, "act.sub"),
        ({"act": "coding-bot"}, "act is not"),
        ({"act": []}, "act is not"),
        ({"act": {"sub": ""}}, "act.sub"),
        ({"act": {"sub": 7}}, "act.sub"),
        ({"act": {"act": {"sub": "coding-bot"}}}, "act.sub"),
        ({"act": {"sub": "coding-bot", "iss": "https://other.example"}}, "another issuer"),
        ({"act": {"sub": "coding-bot", "iss": 7}}, "another issuer"),
        ({"azp": "chat-bot"}, "differ"),
        ({"act": None, "azp": "chat-bot"}, "differ"),
        ({"azp": 7}, "azp"),
        ({"act": None, "azp": "", "client_id": "coding-bot"}, "azp"),
        ({"act": None, "azp": None, "client_id": None}, "no agent"),
        ({"sub": "coding-bot"}, "agent without a user"),
        ({"sub": "coding-bot", "act": {"sub": "chat-bot"}}, "agent without a user"),
        ({"sub": "chat-bot", "act": {"sub": "chat-bot"}}, "agent without a user"),
    ],
)
def test_an_unusable_agent_is_refused_and_nothing_falls_through(
    tmp_path: Path, claims: dict[str, Any], why: str
) -> None:
    refused(room(tmp_path).identify(request(ISSUER.mint(**claims))), why)


def test_an_act_of_null_is_unusable_not_absent(tmp_path: Path) -> None:
    token = compact(dump(ISSUER.header()), dump({**ISSUER.claims(), "act": None}), ISSUER.key, "ES256")
    refused(room(tmp_path).identify(request(token)), "act is not")


@pytest.mark.parametrize(
    ("scope", "found"),
    [
        (None, ()),
        ("", ()),
        ("a b", ("a", "b")),
        (["a", "b"], ("a", "b")),
        ("a a", ("a",)),
        ("a  b", None),
        (" a", None),
        ("a\tb", None),
        (["a b"], None),
        ([7], None),
        (7, None),
        (" ".join(map(str, range(65))), None),
        ('a"', None),
    ],
)
def test_scopes_are_a_string_of_tokens_or_a_list(tmp_path: Path, scope: Any, found: tuple[str, ...] | None) -> None:
    answer = room(tmp_path).identify(request(ISSUER.mint(scope=scope)))
    if found is None:
        refused(answer, "scope")
    else:
        assert caller(answer).scopes == found


def test_roles_are_mapped_and_unknown_ones_dropped_and_counted(tmp_path: Path) -> None:
    dropped: list[tuple[str, int]] = []
    authn = build(settings(tmp_path, [ISSUER]), lambda: NOW, on_dropped_roles=lambda *what: dropped.append(what))
    found = caller(authn.identify(request(ISSUER.mint(roles=["admins", "root", "developer", "admin", "Developer"]))))
    assert found.roles == ("admin", "developer")
    assert dropped == [("laptop", 3)]


@pytest.mark.parametrize(
    ("claim", "claims", "roles"),
    [
        ("realm_access.roles", {"realm_access": {"roles": ["developer"]}}, ("developer",)),
        ("realm_access.roles", {"realm_access": {}}, ()),
        ("realm_access.roles", {}, ()),
        ("realm_access.roles", {"realm_access": ["developer"]}, None),
        ("https://acme.example/roles", {"https://acme.example/roles": ["developer"]}, ("developer",)),
        ("roles", {"roles": "developer"}, None),
        ("roles", {"roles": {"developer": True}}, None),
        ("roles", {"roles": ["developer", 7]}, None),
    ],
)
def test_the_role_claim_may_lie_deeper(
    tmp_path: Path, claim: str, claims: dict[str, Any], roles: tuple[str, ...] | None
) -> None:
    issuer = TestIssuer(extra={"roles": {"claim": claim, "map": {"developer": "developer"}}})
    found = room(tmp_path, issuer).identify(request(issuer.mint(**{"roles": None, **claims})))
    if roles is None:
        refused(found, "role claim")
    else:
        assert caller(found).roles == roles


def test_the_same_claim_means_what_its_own_issuer_says(tmp_path: Path) -> None:
    dropped: list[tuple[str, int]] = []
    ours = TestIssuer(extra={"roles": {"claim": "roles", "map": {"admins": "admin", "staff": "user"}}})
    theirs = TestIssuer(
        name="partner",
        url="https://partner.test",
        which=1,
        extra={"roles": {"claim": "realm_access.roles", "map": {"admins": "readonly"}}},
    )
    authn = build(settings(tmp_path, [ours, theirs]), lambda: NOW, on_dropped_roles=lambda *what: dropped.append(what))
    claimed = {"roles": ["admins", "staff"], "realm_access": {"roles": ["admins", "staff"]}}
    assert caller(authn.identify(request(ours.mint(**claimed)))).roles == ("admin", "user")
    assert not dropped
    partner = caller(authn.identify(request(theirs.mint(**claimed))))
    assert (partner.issuer, partner.roles) == ("partner", ("readonly",))
    assert dropped == [("partner", 1)]
    # An issuer's word for a role of ours is no mapping, and a claim under another issuer's path is none of its own.
    assert caller(authn.identify(request(theirs.mint(roles=["admins"])))).roles == ()
    assert caller(authn.identify(request(ours.mint(roles=["admin", "user"])))).roles == ()
    assert dropped == [("partner", 1), ("laptop", 2)]


def test_an_issuer_without_a_mapping_gives_nobody_a_role(tmp_path: Path) -> None:
    bare = TestIssuer(extra={"roles": {}})
    assert caller(room(tmp_path, bare).identify(request(bare.mint(roles=["admin", "developer"])))).roles == ()


def test_several_claims_may_mean_one_role_and_a_refused_token_counts_nothing(tmp_path: Path) -> None:
    dropped: list[tuple[str, int]] = []
    issuer = TestIssuer(extra={"roles": {"claim": "a.b.c", "map": {"x": "developer", "y": "developer"}}})
    authn = build(settings(tmp_path, [issuer]), lambda: NOW, on_dropped_roles=lambda *what: dropped.append(what))
    deep = {"a": {"b": {"c": ["x", "y", "x", "z"]}}}
    assert caller(authn.identify(request(issuer.mint(**deep)))).roles == ("developer",)
    assert dropped == [("laptop", 1)]
    refused(authn.identify(request(issuer.mint(**deep, scope=7))), "scope")
    assert dropped == [("laptop", 1)]


@pytest.mark.parametrize(
    ("claims", "mfa_at"),
    [
        ({"auth_time": NOW - 60, "amr": ["pwd", "mfa"]}, NOW - 60),
        ({"auth_time": NOW - 60, "amr": ["pwd"]}, None),
        ({"auth_time": NOW - 60}, None),
        ({"amr": ["mfa"]}, None),
    ],
)
def test_mfa_counts_only_with_its_time(tmp_path: Path, claims: dict[str, Any], mfa_at: float | None) -> None:
    assert caller(room(tmp_path).identify(request(ISSUER.mint(**claims)))).mfa_at == mfa_at


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"auth_time": NOW + LEEWAY + 1, "amr": ["mfa"]}, "auth_time"),
        ({"auth_time": "now", "amr": ["mfa"]}, "auth_time"),
        ({"auth_time": NOW, "amr": "mfa"}, "amr"),
    ],
)
def test_an_mfa_that_lies_is_refused(tmp_path: Path, claims: dict[str, Any], why: str) -> None:
    refused(room(tmp_path).identify(request(ISSUER.mint(**claims))), why)


def test_risk_is_read_from_the_named_claim_only(tmp_path: Path) -> None:
    named = TestIssuer(extra={"risk_claim": "risk"})
    assert caller(room(tmp_path, named).identify(request(named.mint(risk=70)))).risk == 70
    assert caller(room(tmp_path, named).identify(request(named.mint()))).risk is None
    assert caller(room(tmp_path).identify(request(ISSUER.mint(risk=70)))).risk is None
    for bad in (101, -1, True, "70", 70.0, [70]):
        refused(room(tmp_path, named).identify(request(named.mint(risk=bad))), "risk")
