"""A denial that another scope would lift: told as such, and only where it would help and can stand in a header."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sallyport.authz.v1 import authz_pb2 as pb
from sallyport.contract.seal import HopKey, HopKeyFile
from sallyport.pep import refusal
from sallyport.pep.decision import Decider, Denied, PdpClient, Permit, Seen
from sallyport.pep.model import CheckedCall, Era, Identity, Resolved, ResourceRef, Unresolved
from sallyport.pep.refusal import Reason
from tests.support.calls import ALICE, ALICE_ID, NoResolvers, checked, fulfils_none
from tests.support.lying_pdp import Lie, LyingPdp, listening

DENIED = pb.Result(effect=pb.EFFECT_DENY, reasons=["scope.write"], scopes=["mcp:write"])


class Nothing(NoResolvers):
    """A lookup that finds nothing."""

    def has_resolver(self, name: str) -> bool:
        return True

    async def resolve(self, identity: Identity, call: CheckedCall) -> tuple[Resolved, ...] | Unresolved:
        return Unresolved("no such file")


@pytest.fixture
async def line(tmp_path: Path) -> AsyncIterator[tuple[LyingPdp, PdpClient]]:
    path = tmp_path / "hop.key"
    HopKey.generate().write(path)
    pdp = LyingPdp(HopKey.from_file(path))
    async with listening(pdp) as address:
        client = PdpClient(address, HopKeyFile(path))
        yield pdp, client
        await client.close()


def saying(*results: pb.Result) -> Lie:
    async def lie(_question: pb.Question, answer: pb.Answer) -> bytes:
        answer.ClearField("results")
        answer.results.extend(results)
        return answer.SerializeToString()

    return lie


def with_(change: Callable[[pb.Result], object]) -> pb.Result:
    made = pb.Result()
    made.CopyFrom(DENIED)
    change(made)
    return made


async def denied(
    line: tuple[LyingPdp, PdpClient], *results: pb.Result, resolvers: NoResolvers | None = None
) -> refusal.Refusal:
    pdp, client = line
    pdp.lie = saying(*results)
    refs = tuple(ResourceRef("File", f"alice/{number}") for number in range(len(results)))
    decider = Decider(client, resolvers or NoResolvers(), fulfils_none)
    call = replace(checked(), resources=refs)
    answer = await decider.call(ALICE, ALICE_ID, call, "c" * 64, time.monotonic() + 30)
    assert isinstance(answer, Denied)
    return answer.refusal


async def test_the_missing_scopes_are_told_and_recorded(line: tuple[LyingPdp, PdpClient]) -> None:
    both = with_(lambda result: result.scopes.extend(("mcp:write", "mcp:admin")))
    told = await denied(line, DENIED, both)
    assert (told.reason, told.data) == (Reason.INSUFFICIENT_SCOPE, {"scope": "mcp:write mcp:admin"})
    assert told.detail == "scope missing: mcp:write mcp:admin"


@pytest.mark.parametrize(
    "scope",
    [
        "",
        'a"',
        'x", error="invalid_token',
        "a b",
        "a\\",
        "a\r\nx-admin: 1",
        "\x00",
        "é",
        "\u202e",
        "a\t",
        "s" * 128 + "é",
    ],
)
async def test_what_is_no_scope_token_goes_into_no_header(scope: str, line: tuple[LyingPdp, PdpClient]) -> None:
    told = await denied(line, with_(lambda result: result.scopes.append(scope)))
    assert told.reason in {Reason.DENIED, Reason.NO_DECISION}
    assert "scope" not in told.data


@pytest.mark.parametrize(
    "other",
    [
        pb.Result(effect=pb.EFFECT_DENY, reasons=["owner"]),
        with_(lambda result: result.errors.append(pb.ERROR_CODE_ORG_ISOLATION)),
        pb.Result(effect=pb.EFFECT_PERMIT, errors=[pb.ERROR_CODE_POLICY_ERROR], scopes=["mcp:write"]),
    ],
    ids=["another denial", "an error", "a permit with an error"],
)
async def test_where_more_scope_is_no_help_it_is_not_asked_for(
    other: pb.Result, line: tuple[LyingPdp, PdpClient]
) -> None:
    assert (await denied(line, DENIED, other)).reason is Reason.DENIED


async def test_a_permitted_resource_beside_it_changes_nothing(line: tuple[LyingPdp, PdpClient]) -> None:
    told = await denied(line, pb.Result(effect=pb.EFFECT_PERMIT), DENIED)
    assert told.reason is Reason.INSUFFICIENT_SCOPE


async def test_scopes_beside_a_permit_mean_nothing(line: tuple[LyingPdp, PdpClient]) -> None:
    pdp, client = line
    pdp.lie = saying(pb.Result(effect=pb.EFFECT_PERMIT, scopes=["mcp:write"]))
    decider = Decider(client, NoResolvers(), fulfils_none)
    answer = await decider.call(ALICE, ALICE_ID, checked(), "c" * 64, time.monotonic() + 30)
    assert isinstance(answer, Permit)


async def test_a_missing_scope_tells_nothing_of_what_a_lookup_found(line: tuple[LyingPdp, PdpClient]) -> None:
    assert await denied(line, DENIED, resolvers=Nothing()) == await denied(line, DENIED)


async def test_n9_a_hidden_tool_is_hidden_whatever_scopes_come_with_it(line: tuple[LyingPdp, PdpClient]) -> None:
    pdp, client = line
    pdp.lie = saying(DENIED)
    decider = Decider(client, NoResolvers(), fulfils_none)
    seen = await decider.visible(ALICE, ALICE_ID, ("read_file",), "c" * 64, time.monotonic() + 30)
    assert isinstance(seen, Seen)
    assert not seen.names


@pytest.mark.parametrize(("era", "status", "challenged"), [(Era.MODERN, 403, True), (Era.LEGACY, 200, False)])
async def test_the_client_is_told_by_status_header_and_code(
    era: Era, status: int, challenged: bool, line: tuple[LyingPdp, PdpClient]
) -> None:
    told = await denied(line, DENIED)
    answer = refusal.respond(told, request_id=1, era=era, decision_id="d" * 32, challenge="Bearer x")
    assert answer.status == status
    assert (dict(answer.headers).get(b"www-authenticate") == b"Bearer x") is challenged
    error = json.loads(answer.body)["error"]
    assert (error["code"], error["data"]) == (-32010, {"scope": "mcp:write", "decision_id": "d" * 32})


def test_another_403_carries_no_challenge() -> None:
    answer = refusal.respond(
        refusal.Refusal(Reason.FORBIDDEN_ORIGIN, ""), request_id=1, era=None, decision_id="d" * 32, challenge="Bearer x"
    )
    assert (answer.status, b"www-authenticate" in dict(answer.headers)) == (403, False)
