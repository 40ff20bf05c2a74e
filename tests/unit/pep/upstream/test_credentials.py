"""What an upstream is shown, and that nothing goes out where what should be shown isn't there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from sallyport.contract.catalog import Upstream
from sallyport.pep.model import Identity
from sallyport.pep.settings import Assertion
from sallyport.pep.upstream import credentials
from sallyport.pep.upstream.assertion import OwnIdentity
from sallyport.pep.upstream.credentials import CredentialMissing
from sallyport.pep.upstream.files import Files

WHO = Identity("laptop", "alice", "coding-bot", "acme", "d-1")


def upstream(**told: Any) -> Upstream:
    return Upstream(url="https://crm.test/mcp", **told)


def credential(directory: Path, value: bytes) -> None:
    path = directory / "crm" / "credential"
    path.parent.mkdir()
    path.touch(mode=0o600)
    path.write_bytes(value)


def source(directory: Path, own: OwnIdentity | None = None, **told: Any) -> credentials.CredentialSource:
    return credentials.of(upstream(**told), Files(directory).follow("crm", client_certificate=False), own)


@pytest.fixture
def own(tmp_path: Path) -> OwnIdentity:
    key = tmp_path / "own.key"
    key.touch(mode=0o600)
    form = serialization.PrivateFormat.PKCS8
    made = ed25519.Ed25519PrivateKey.generate()
    key.write_bytes(made.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    return OwnIdentity(Assertion(key=(key,), issuer="https://gate.test"))


def test_an_upstream_that_wants_nothing_is_shown_nothing(tmp_path: Path, own: OwnIdentity) -> None:
    credential(tmp_path, b"Bearer secret")
    assert source(tmp_path, own).headers(WHO, "d") == {}


def test_the_service_account_is_the_same_for_all(tmp_path: Path) -> None:
    credential(tmp_path, b"Bearer secret\n")
    found = source(tmp_path, credential="authorization")
    assert found.headers(WHO, "d") == found.headers(None, "") == {"authorization": "Bearer secret"}


def test_n5_without_its_file_nothing_goes_out(tmp_path: Path) -> None:
    with pytest.raises(CredentialMissing, match="upstream crm has no file"):
        source(tmp_path, credential="authorization").headers(WHO, "d")


@pytest.mark.parametrize(
    "header",
    ["host", "content-length", "content-type", "transfer-encoding", "connection", "te", "expect", "cookie", "accept",
     "accept-encoding", "mcp-session-id", "mcp-name", "mcp-protocol-version", "sallyport-identity", "traceparent",
     "proxy-authorization", "x-forwarded-for", "last-event-id"],
)  # fmt: skip
def test_n8_a_credential_goes_into_no_header_that_says_something_else(tmp_path: Path, header: str) -> None:
    credential(tmp_path, b"value")
    with pytest.raises(CredentialMissing, match="is no header for a credential"):
        source(tmp_path, credential=header).headers(WHO, "d")


@pytest.mark.parametrize("header", ["authorization", "x-api-key", "private-token", "x-goog-api-key"])
def test_a_credential_goes_into_any_other_header(tmp_path: Path, header: str) -> None:
    credential(tmp_path, b"value")
    assert source(tmp_path, credential=header).headers(WHO, "d") == {header: "value"}


def test_the_assertion_goes_to_the_one_upstream_that_wants_it(tmp_path: Path, own: OwnIdentity) -> None:
    import jwt

    for told, audience in (({}, "https://crm.test/mcp"), ({"audience": "urn:crm"}, "urn:crm")):
        headers = source(tmp_path, own, assertion=True, **told).headers(WHO, "the digest")
        claims = jwt.decode(headers["Sallyport-Identity"], options={"verify_signature": False})
        assert (claims["aud"], claims["sub"], claims["sallyport_digest"]) == (audience, "alice", "the digest")


def test_the_gates_own_requests_are_for_nobody(tmp_path: Path, own: OwnIdentity) -> None:
    assert source(tmp_path, own, assertion=True).headers(None, "") == {}


def test_n5_an_assertion_that_cannot_be_signed_stops_the_call(tmp_path: Path) -> None:
    for identity in (WHO, None):
        with pytest.raises(CredentialMissing, match="set `assertion`"):
            source(tmp_path, None, assertion=True).headers(identity, "d")


def test_both_go_together(tmp_path: Path, own: OwnIdentity) -> None:
    credential(tmp_path, b"key")
    found = source(tmp_path, own, assertion=True, credential="x-api-key").headers(WHO, "d")
    assert found.keys() == {"x-api-key", "Sallyport-Identity"}
