"""What `sallyport token` signs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jwt
import pytest

from sallyport.cli.complaint import Complaint
from sallyport.cli.issuer import Identity, mint
from sallyport.cli.laptop import Laptop
from tests.support.laptop import here, init


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return init(tmp_path_factory.mktemp("token") / "laptop")


def read(made: Path, token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims, verified with the published key as the PEP would."""
    (jwk,) = json.loads((made / "pki/issuer/jwks.json").read_bytes())["keys"]
    header = jwt.get_unverified_header(token)
    assert header["kid"] == jwk["kid"]
    claims = jwt.decode(
        token,
        jwt.PyJWK(jwk).key,
        algorithms=["ES256"],
        audience="https://localhost:8443/mcp",
        issuer="https://issuer.sallyport.test",
        options={"require": ["exp", "iat", "jti", "sub"]},
    )
    return header, claims


def test_token_prints_the_token_and_nothing_else(made: Path) -> None:
    run = here("token", made, "--user", "alice", "--agent", "coding-bot")
    assert (run.returncode, run.stderr) == (0, "")
    header, claims = read(made, run.stdout.removesuffix("\n"))
    assert header == {"alg": "ES256", "typ": "at+jwt", "kid": header["kid"]}
    assert claims["sub"] == "alice"
    assert claims["act"] == {"sub": "coding-bot"}
    assert claims["client_id"] == claims["azp"] == "coding-bot"
    assert (claims["org_id"], claims["roles"]) == ("acme", ["developer"])
    assert claims["exp"] - claims["iat"] == 300
    assert "scope" not in claims


@pytest.mark.parametrize(("user", "org"), [("alice", "acme"), ("bob", "acme"), ("carol", "globex")])
def test_sample_people_have_their_org_and_role(made: Path, user: str, org: str) -> None:
    _, claims = read(made, mint(Laptop.at(made), Identity(user, "coding-bot")))
    assert (claims["org_id"], claims["roles"]) == (org, ["developer"])


def test_every_option_reaches_the_token(made: Path) -> None:
    options = ("--org", "globex", "--scope", "a", "--scope", "b", "--role", "user", "--role", "admin", "--ttl", "60")
    extra = ("--claim", "auth_time=17", "--claim", "azp=null", "--claim", 'org_id="x=y"')
    run = here("token", made, "--user", "zoe", "--agent", "chat-bot", *options, *extra)
    assert run.returncode == 0, run.stderr
    _, claims = read(made, run.stdout.strip())
    assert claims["scope"] == "a b"
    assert claims["roles"] == ["user", "admin"]
    assert claims["exp"] - claims["iat"] == 60
    assert claims["auth_time"] == 17
    assert claims["org_id"] == "x=y"
    assert "azp" not in claims


def test_a_claim_of_the_wrong_type_is_signed_as_it_is(made: Path) -> None:
    token = mint(Laptop.at(made), Identity("alice", "coding-bot", overrides={"sub": 7, "exp": "soon", "iss": ["a"]}))
    claims = jwt.decode(token, options={"verify_signature": False, "verify_exp": False, "verify_sub": False})
    assert (claims["sub"], claims["exp"], claims["iss"]) == (7, "soon", ["a"])


def test_two_tokens_have_two_ids(made: Path) -> None:
    first, second = (read(made, mint(Laptop.at(made), Identity("alice", "coding-bot")))[1] for _ in range(2))
    assert first["jti"] != second["jti"]


def test_a_stranger_needs_an_org(made: Path) -> None:
    with pytest.raises(Complaint, match="no sample person"):
        mint(Laptop.at(made), Identity("mallory", "coding-bot"))
    _, claims = read(made, mint(Laptop.at(made), Identity("mallory", "coding-bot", org="acme")))
    assert claims["roles"] == []


@pytest.mark.parametrize("claim", ["nonsense", "=1", "x=", "x=unquoted", 'x={"a":1,"a":2}'])
def test_a_claim_that_is_not_json_is_refused_with_a_hint(made: Path, claim: str) -> None:
    run = here("token", made, "--user", "alice", "--agent", "coding-bot", "--claim", claim)
    assert (run.returncode, run.stdout) == (2, "")
    assert "next:" in run.stderr


def test_issuer_and_audience_are_those_of_pep_yaml(tmp_path: Path) -> None:
    made = init(tmp_path / "laptop")
    config = made / "pep.yaml"
    config.write_text(config.read_text().replace("https://localhost:8443/mcp", "https://gate.test/mcp"))
    claims = jwt.decode(mint(Laptop.at(made), Identity("bob", "chat-bot")), options={"verify_signature": False})
    assert claims["aud"] == "https://gate.test/mcp"


def test_n7_a_key_that_others_can_read_is_not_used(tmp_path: Path) -> None:
    made = init(tmp_path / "laptop")
    (made / "pki/issuer/signing.key").chmod(0o644)
    run = here("token", made, "--user", "alice", "--agent", "coding-bot")
    assert (run.returncode, run.stdout) == (2, "")
    assert "Traceback" not in run.stderr


def test_a_directory_that_init_did_not_make_is_named(tmp_path: Path) -> None:
    run = here("token", tmp_path, "--user", "alice", "--agent", "coding-bot")
    assert run.returncode == 2
    assert "sallyport init" in run.stderr


@pytest.mark.parametrize("ttl", ["-5", "0"])
def test_a_token_that_is_expired_when_made_is_refused(made: Path, ttl: str) -> None:
    run = here("token", made, "--user", "alice", "--agent", "coding-bot", "--ttl", ttl)
    assert (run.returncode, run.stdout) == (2, "")
    assert "--ttl" in run.stderr
