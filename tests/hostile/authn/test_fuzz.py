"""Whatever types and bytes come in, the room gives a caller or a refusal and never breaks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sallyport.pep.authn import Authenticators
from sallyport.pep.model import Caller, Request
from sallyport.pep.refusal import Refusal
from tests.support.tokens import (
    TestIssuer,
    compact,
    dump,
    request,
    room,
)

ISSUER = TestIssuer()


@pytest.fixture
def authn(tmp_path: Path) -> Authenticators:
    return room(tmp_path)


@hypothesis_settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(value=st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=4),
       claim=st.sampled_from(["iss", "aud", "sub", "act", "azp", "org_id", "exp", "nbf", "iat", "jti", "scope", "roles",
                              "amr", "auth_time", "cnf", "client_id"]))  # fmt: skip
def test_n6_no_signed_claim_of_any_type_breaks_the_room(authn: Authenticators, claim: str, value: Any) -> None:
    token = compact(dump(ISSUER.header()), dump({**ISSUER.claims(), claim: value}), ISSUER.key, "ES256")
    assert isinstance(authn.identify(request(token)), Caller | Refusal)


@hypothesis_settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(value=st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=4),
       member=st.sampled_from(["alg", "kid", "typ", "cty", "jwk", "zip"]))  # fmt: skip
def test_n6_no_header_member_of_any_type_breaks_the_room(authn: Authenticators, member: str, value: Any) -> None:
    token = compact(dump({**ISSUER.header(), member: value}), dump(ISSUER.claims()), ISSUER.key, "ES256")
    assert isinstance(authn.identify(request(token)), Caller | Refusal)


@hypothesis_settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(headers=st.lists(st.tuples(st.sampled_from([b"authorization", b"x-user-id", b"connection", b"x-roles"]) |
                                  st.binary(max_size=12), st.binary(max_size=40)), max_size=5))  # fmt: skip
def test_n6_no_header_bytes_break_the_room_or_name_anybody(
    authn: Authenticators, headers: list[tuple[bytes, bytes]]
) -> None:
    asked = request()
    assert isinstance(authn.identify(Request(asked.peer, "POST", tuple(headers), b"")), Refusal)
