"""A token for one named set is good there and nowhere else; one for the whole gate is good at each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sallyport.pep.refusal import Reason, Refusal
from tests.support.tokens import RESOURCE, TestIssuer, caller, refused, request, room

ISSUER = TestIssuer()


@pytest.mark.parametrize("audience", [f"{RESOURCE}/crm", ["https://other.example", f"{RESOURCE}/crm"]])
def test_n17_a_token_for_a_set_is_good_at_that_set_alone(tmp_path: Path, audience: Any) -> None:
    gate, asked = room(tmp_path), request(ISSUER.mint(aud=audience))
    assert caller(gate.identify(replace(asked, server="crm"))).user == "alice"
    for server in ("", "other", "cr", "crmx", "crm-2"):
        refused(gate.identify(replace(asked, server=server)), "aud")


@pytest.mark.parametrize("server", ["", "crm", "other"])
def test_a_token_for_the_whole_gate_is_good_at_each_set(tmp_path: Path, server: str) -> None:
    assert caller(room(tmp_path).identify(replace(request(ISSUER.mint()), server=server))).user == "alice"


@pytest.mark.parametrize(
    "audience",
    [f"{RESOURCE}/", f"{RESOURCE}//crm", f"{RESOURCE}/CRM", f"{RESOURCE}/crm/", f"{RESOURCE}/x/../crm", "/crm"],
)
def test_n17_an_audience_that_only_looks_like_a_set_is_refused(tmp_path: Path, audience: str) -> None:
    gate, asked = room(tmp_path), request(ISSUER.mint(aud=audience))
    for server in ("", "crm"):
        refused(gate.identify(replace(asked, server=server)), "aud")


def test_a_challenge_and_its_metadata_are_of_the_set_that_was_asked(tmp_path: Path) -> None:
    gate = room(tmp_path)
    told = gate.challenge(Refusal(Reason.UNAUTHENTICATED, ""), "crm")
    assert told.endswith('resource_metadata="https://localhost:8443/.well-known/oauth-protected-resource/mcp/crm"')
    assert gate.metadata("crm")["resource"] == f"{RESOURCE}/crm"
    assert gate.metadata()["resource"] == RESOURCE
