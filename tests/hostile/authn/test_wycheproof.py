"""Project Wycheproof's JWS and JWK vectors through the verifier: what is valid and allowed verifies, nothing else does."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sallyport.pep.authn import jwks, jws
from sallyport.pep.authn.evidence import Rejected
from sallyport.pep.settings import ALGORITHMS
from sallyport.runtime.strict_json import JsonRefused

CORPUS = Path(__file__).parents[3].parent / "shared" / "corpora" / "jose"
pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason="no corpus at ../shared/corpora/jose")

Vector = tuple[dict[str, Any], dict[str, Any]]  # group, test


def vectors(name: str) -> Iterator[Vector]:
    for group in json.loads((CORPUS / name).read_bytes())["testGroups"]:
        for test in group["tests"]:
            yield group, test


def verifies(keys: Any, token: str) -> bool:
    """The whole way of a token up to its claims, with every algorithm that a configuration may name."""
    document = keys if "keys" in keys else {"keys": [keys]}
    try:
        found = jwks.parse(json.dumps(document).encode(), ALGORITHMS)
        jws.verify(jws.read(token), found, ALGORITHMS)
    except (Rejected, JsonRefused):
        return False
    return True


def text(token: object) -> str:
    return token if isinstance(token, str) else json.dumps(token)


@pytest.mark.parametrize("name", ["json_web_signature_test.json", "json_web_key_test.json"])
def test_n16_wycheproof_vectors_verify_only_if_they_are_valid_and_asymmetric(name: str) -> None:
    verified = 0
    for group, test in vectors(name):
        keys: dict[str, Any] = group["public"] if "public" in group else group["private"]
        asymmetric = "public" in group
        expected = test["result"] == "valid" and asymmetric and not _has_no_claims(test) and _fits(keys, test)
        assert verifies(keys, text(test["jws"])) == expected, (group["comment"], test["tcId"], test["comment"])
        verified += expected
    assert verified > 0


def test_n5_wycheproof_private_and_symmetric_keys_make_no_key_set() -> None:
    for name in ("json_web_signature_test.json", "json_web_key_test.json"):
        for group, test in vectors(name):
            assert not verifies(group["private"], text(test["jws"])), (group["comment"], test["tcId"])


def _has_no_claims(test: dict[str, Any]) -> bool:
    """An empty payload is a sound JWS but no JWT: refused earlier."""
    return ".." in text(test["jws"])


def _fits(keys: dict[str, Any], test: dict[str, Any]) -> bool:
    """Some "valid" RFC 7520 vectors have a key whose own `alg` isn't the token's (PS256/PS384, "ES521"): refused."""
    header = json.loads(base64.urlsafe_b64decode(text(test["jws"]).partition(".")[0] + "=="))
    return header["alg"] in {key.get("alg", header["alg"]) for key in keys.get("keys", [keys])}
