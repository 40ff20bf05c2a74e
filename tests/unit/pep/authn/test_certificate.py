"""Client certificates: a precondition by SPIFFE id or DNS name, and never a caller."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from sallyport.runtime import peer_names
from tests.support.pki import Pair, authority
from tests.support.tokens import TestIssuer, caller, refused, request, room

NOW = time.time()
TOKEN = TestIssuer().mint(iat=int(NOW), exp=int(NOW) + 300)
SPIFFE = "spiffe://test/orchestrator"
LISTED: dict[str, Any] = {"orchestrators": [{"spiffe": SPIFFE}, {"dns": "orchestrator.test"}]}
REQUIRED: dict[str, Any] = {**LISTED, "client_certificate": "required"}


@pytest.mark.parametrize(
    "pair",
    [
        authority().client(SPIFFE),
        authority().client("", dns=("orchestrator.test",)),
        authority().client("", dns=("other.test", "orchestrator.test")),
        authority().client("spiffe://test/other", dns=("orchestrator.test",)),
    ],
    ids=range(4),
)
def test_a_listed_orchestrator_comes_in_and_still_needs_a_caller(tmp_path: Path, pair: Pair) -> None:
    authn = room(tmp_path, now=NOW, tls=REQUIRED)
    assert caller(authn.identify(request(TOKEN, certificate=pair.certificate_der))).user == "alice"
    refused(authn.identify(request(certificate=pair.certificate_der)), "nothing names the caller")


@pytest.mark.parametrize(
    "pair",
    [
        authority().client("spiffe://test/orchestrator2"),
        authority().client("spiffe://test/orchestrator/"),
        authority().client("spiffe://TEST/orchestrator"),
        authority().client("spiffe://test/Orchestrator"),
        authority().client("", dns=("*.test",)),
        authority().client("", dns=("a.orchestrator.test",)),
        authority().client("", dns=("orchestrator.test.",)),
        authority().client("", dns=(SPIFFE,)),
        authority().issue("orchestrator.test"),
        authority().issue(SPIFFE),
        authority().issue("two", uris=(SPIFFE, "spiffe://test/other")),
        authority().issue("both", uris=(SPIFFE,), dns=("orchestrator.test",)),
    ],
    ids=["longer", "slash", "domain-case", "path-case", "wildcard", "sub", "dot", "uri-in-dns", "cn", "cn-spiffe",
         "two-uris", "names-two"],
)  # fmt: skip
@pytest.mark.parametrize("tls", [REQUIRED, LISTED], ids=["required", "optional"])
def test_n5_a_certificate_that_the_list_does_not_name_is_refused(
    tmp_path: Path, pair: Pair, tls: dict[str, Any]
) -> None:
    authn = room(tmp_path, now=NOW, tls=tls)
    refused(authn.identify(request(TOKEN, certificate=pair.certificate_der)), "names no listed orchestrator")


def test_without_a_certificate_only_an_optional_one_lets_in(tmp_path: Path) -> None:
    refused(room(tmp_path, now=NOW, tls=REQUIRED).identify(request(TOKEN)), "one is required")
    caller(room(tmp_path, now=NOW, tls=LISTED).identify(request(TOKEN)))
    der = authority().client(SPIFFE).certificate_der
    refused(room(tmp_path, now=NOW, tls=REQUIRED).identify(request(TOKEN, certificate=der, secure=False)), "required")


def test_a_certificate_that_expired_since_the_handshake_is_refused(tmp_path: Path) -> None:
    der = authority().client(SPIFFE, ends=0.5).certificate_der
    assert peer_names.names(der)
    later = NOW + 86_400
    token = TestIssuer().mint(iat=int(later), exp=int(later) + 300)
    refused(room(tmp_path, now=later, tls=REQUIRED).identify(request(token, certificate=der)), "names no listed")


@pytest.mark.parametrize("der", [b"", b"\x30", b"garbage", authority().pem])
def test_bytes_that_are_no_certificate_name_nobody(tmp_path: Path, der: bytes) -> None:
    assert peer_names.names(der) is None
    refused(room(tmp_path, now=NOW, tls=LISTED).identify(request(TOKEN, certificate=der)), "names no listed")
