"""What somebody without a caller's name is told."""

from __future__ import annotations

from pathlib import Path

from sallyport.pep.authn import well_known
from sallyport.pep.refusal import Reason, Refusal
from tests.support.tokens import RESOURCE, TestIssuer, refused, request, room

CHALLENGE = 'Bearer resource_metadata="https://localhost:8443/.well-known/oauth-protected-resource/mcp"'


def test_the_challenge_names_an_error_only_where_a_token_was_presented(tmp_path: Path) -> None:
    authn = room(tmp_path)
    assert authn.challenge(refused(authn.identify(request()))) == CHALLENGE
    assert authn.challenge(refused(authn.identify(request("bad")))) == f'{CHALLENGE}, error="invalid_token"'
    assert authn.challenge(refused(authn.identify(request(None, ("x-user-id", "alice"))))) == CHALLENGE
    assert authn.challenge(Refusal(Reason.DENIED, "")) == CHALLENGE


def test_a_token_without_a_scope_is_told_which_one_and_where_to_get_it(tmp_path: Path) -> None:
    refusal = Refusal(Reason.INSUFFICIENT_SCOPE, "", data={"scope": "mcp:read mcp:write"})
    assert room(tmp_path).challenge(refusal) == (
        'Bearer error="insufficient_scope", scope="mcp:read mcp:write", '
        'resource_metadata="https://localhost:8443/.well-known/oauth-protected-resource/mcp"'
    )


def test_the_metadata_lies_where_rfc_9728_looks_for_it() -> None:
    assert well_known.path(RESOURCE) == "/.well-known/oauth-protected-resource/mcp"
    assert well_known.path("https://gate.test") == "/.well-known/oauth-protected-resource"
    assert well_known.path("https://gate.test/") == "/.well-known/oauth-protected-resource"
    assert well_known.url("https://gate.test/a/mcp") == "https://gate.test/.well-known/oauth-protected-resource/a/mcp"


def test_the_metadata_tells_the_issuers_and_no_more(tmp_path: Path) -> None:
    assert room(tmp_path, TestIssuer()).metadata() == {
        "resource": RESOURCE,
        "authorization_servers": ["https://issuer.sallyport.test"],
        "bearer_methods_supported": ["header"],
        "resource_name": "Sallyport",
    }
