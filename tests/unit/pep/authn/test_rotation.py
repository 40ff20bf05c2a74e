"""An issuer's JWKS file replaced while its tokens are checked."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sallyport.pep.authn import Authenticators
from sallyport.pep.model import SignedBy
from tests.support.mounted import Mount
from tests.support.tokens import TestIssuer, caller, dump, public_jwk, refused, request, room

OLD, NEW = TestIssuer(kid="old"), TestIssuer(kid="new", which=1)


def entry(issuer: TestIssuer) -> dict[str, Any]:
    return public_jwk(issuer.key, kid=issuer.kid, alg="ES256", use="sig")


def replaced(gate: Authenticators, path: Path, data: bytes) -> bool:
    """Whether it is taken, at the second look."""
    path.write_bytes(data)
    (keys,) = gate.keys
    keys.look()
    return keys.look()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "laptop.jwks.json"


def test_n30_an_added_key_is_believed_and_a_removed_one_is_not(tmp_path: Path, path: Path) -> None:
    gate = room(tmp_path, OLD)
    caller(gate.identify(request(OLD.mint())))
    refused(gate.identify(request(NEW.mint())), "no key of that name")
    assert replaced(gate, path, dump({"keys": [entry(OLD), entry(NEW)]}))
    for issuer in (OLD, NEW):
        caller(gate.identify(request(issuer.mint())))
    assert replaced(gate, path, dump({"keys": [entry(NEW)]}))
    caller(gate.identify(request(NEW.mint())))
    refused(gate.identify(request(OLD.mint())), "no key of that name")


@pytest.mark.parametrize(
    "broken",
    [b"", b"{}", b'{"keys":[]}', b"<html>", b'{"keys":[', dump({"keys": [{**entry(NEW), "d": "AAAA"}]}), b" " * (2 << 20)],
    ids=["empty", "nothing", "no-keys", "html", "half", "secret", "huge"],
)  # fmt: skip
def test_n30_a_broken_jwks_changes_nobody(tmp_path: Path, path: Path, broken: bytes) -> None:
    gate = room(tmp_path, OLD)
    assert not replaced(gate, path, broken)
    (keys,) = gate.keys
    assert keys.failure.startswith(f"{path}: ")
    caller(gate.identify(request(OLD.mint())))
    refused(gate.identify(request(NEW.mint())), "no key of that name")
    assert replaced(gate, path, dump({"keys": [entry(NEW)]}))
    assert not keys.failure
    refused(gate.identify(request(OLD.mint())), "no key of that name")


def test_n30_keys_that_the_kubelet_swaps_are_taken(tmp_path: Path) -> None:
    mount = Mount(tmp_path / "issuers")
    mount.put(laptop_jwks_json=dump({"keys": [entry(OLD)]}))
    (tmp_path / "laptop.jwks.json").symlink_to(mount.path / "laptop.jwks.json")
    gate = room(tmp_path, OLD)
    (keys,) = gate.keys
    mount.put(laptop_jwks_json=dump({"keys": [entry(NEW)]}))
    assert [keys.look(), keys.look()] == [False, True]
    caller(gate.identify(request(NEW.mint())))
    refused(gate.identify(request(OLD.mint())), "no key of that name")


def test_n28_a_proof_is_good_for_as_long_as_the_key_that_signed_is_there_by_its_name(
    tmp_path: Path, path: Path
) -> None:
    gate = room(tmp_path, OLD)
    proof = caller(gate.identify(request(OLD.mint()))).proof
    assert gate.still(proof)
    assert replaced(gate, path, dump({"keys": [entry(OLD), entry(NEW)]}))
    assert gate.still(proof)
    for keys in (
        [entry(NEW)],
        [{**entry(NEW), "kid": OLD.kid}],  # another key by the same name
        [{**entry(OLD), "kid": "renamed"}],  # the token would no longer be believed
    ):
        assert replaced(gate, path, dump({"keys": keys}))
        assert not gate.still(proof)
    assert replaced(gate, path, dump({"keys": [entry(OLD)]}))
    assert gate.still(proof)


def test_n28_a_key_beside_the_one_that_signed_ends_nobody_whose_token_names_none(tmp_path: Path, path: Path) -> None:
    nameless = TestIssuer(kid=None)
    gate = room(tmp_path, nameless)
    proof = caller(gate.identify(request(nameless.mint()))).proof
    assert replaced(gate, path, dump({"keys": [entry(nameless), entry(NEW)]}))
    assert gate.still(proof)
    assert replaced(gate, path, dump({"keys": [entry(NEW)]}))
    assert not gate.still(proof)


def test_n28_a_proof_of_another_issuer_is_none_here(tmp_path: Path) -> None:
    gate = room(tmp_path, OLD)
    proof = caller(gate.identify(request(OLD.mint()))).proof
    assert isinstance(proof, SignedBy)
    assert not gate.still(replace(proof, issuer="another"))


def test_n18_no_request_looks_at_the_file(tmp_path: Path) -> None:
    place = tmp_path / "gone"
    place.mkdir()
    gate = room(place, OLD)
    shutil.rmtree(place)
    assert gate.still(caller(gate.identify(request(OLD.mint()))).proof)
    refused(gate.identify(request(NEW.mint())), "no key of that name")
