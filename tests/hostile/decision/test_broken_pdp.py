"""A PDP that denies because it is broken is no policy: the client is told that, and the record what broke."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from sallyport.authz.v1 import authz_pb2 as pb
from sallyport.contract.seal import HopKey, HopKeyFile
from sallyport.pdp.observer import Decision, Observers, Reloaded
from sallyport.pdp.service import AuthorizationService
from sallyport.pep import refusal
from sallyport.pep.decision import Decider, Denied, Mismatch, PdpClient, Permit, Permitted, Seen
from sallyport.pep.model import Era
from sallyport.pep.refusal import Reason
from tests.support.calls import ALICE, ALICE_ID, NoResolvers, checked, fulfils_none
from tests.support.gate import body, gate
from tests.support.lying_pdp import Lie, LyingPdp, listening

NAMES: Final = ("read_file", "write_file")
BROKEN: Final = (pb.ERROR_CODE_INTERNAL, pb.ERROR_CODE_NO_POLICIES)


def erring(*codes: pb.ErrorCode.ValueType, results: int | None = None) -> Lie:
    """Denied with these errors, and with all that a denial by policy would have; the first results, or all of them."""

    async def lie(_question: pb.Question, answer: pb.Answer) -> bytes:
        for result in list(answer.results)[:results]:
            denied = pb.Result(effect=pb.EFFECT_DENY, reasons=["x"], advice=["ask the owner"], scopes=["s"])
            result.CopyFrom(denied)
            result.errors.extend(codes)
        return answer.SerializeToString()

    return lie


@pytest.fixture
async def line(tmp_path: Path) -> AsyncIterator[tuple[LyingPdp, Decider]]:
    path = tmp_path / "hop.key"
    HopKey.generate().write(path)
    pdp = LyingPdp(HopKey.from_file(path))
    async with listening(pdp) as address:
        client = PdpClient(address, HopKeyFile(path))
        yield pdp, Decider(client, NoResolvers(), fulfils_none)
        await client.close()


async def answers(decider: Decider) -> list[Permit | Permitted | Seen | Denied | Mismatch]:
    """To every kind of question."""
    until = time.monotonic() + 30
    return [
        await decider.call(ALICE, ALICE_ID, checked(), "c" * 64, until),
        await decider.method(ALICE, ALICE_ID, ("tools/list", ""), "c" * 64, until),
        await decider.visible(ALICE, ALICE_ID, NAMES[:1], "c" * 64, until),
        await decider.visible(ALICE, ALICE_ID, NAMES, "c" * 64, until),
    ]


@pytest.mark.parametrize("code", BROKEN)
@pytest.mark.parametrize("beside", [(), (pb.ERROR_CODE_POLICY_ERROR,)])
async def test_a_broken_pdp_is_no_policy_whatever_it_was_asked(
    line: tuple[LyingPdp, Decider], code: pb.ErrorCode.ValueType, beside: tuple[pb.ErrorCode.ValueType, ...]
) -> None:
    pdp, decider = line
    pdp.lie = erring(code, *beside)
    for denied in await answers(decider):
        assert isinstance(denied, Denied)
        assert denied.refusal.reason is Reason.NO_DECISION
        assert pb.ErrorCode.Name(code) in denied.errors, "the record says what broke"
        assert denied.revision
        told = refusal.respond(denied.refusal, request_id=1, era=Era.MODERN, decision_id="d" * 32)
        assert body(told)["error"] == {
            "code": -32603,
            "message": "authorization unavailable",
            "data": {"decision_id": "d" * 32},
        }


@pytest.mark.parametrize("code", sorted(set(pb.ErrorCode.values()) - {0, *BROKEN, pb.ERROR_CODE_CATALOG_MISMATCH}))
async def test_any_other_error_is_a_denial(line: tuple[LyingPdp, Decider], code: pb.ErrorCode.ValueType) -> None:
    pdp, decider = line
    pdp.lie = erring(code)
    call, method, one, both = await answers(decider)
    for denied in (call, method):
        assert isinstance(denied, Denied)
        assert denied.refusal.reason is Reason.DENIED
    for seen in (one, both):
        assert isinstance(seen, Seen)
        assert seen.names == frozenset()


async def test_in_a_listing_only_the_tool_that_broke_is_hidden(line: tuple[LyingPdp, Decider]) -> None:
    pdp, decider = line
    pdp.lie = erring(pb.ERROR_CODE_INTERNAL, results=1)
    *_, seen = await answers(decider)
    assert isinstance(seen, Seen)
    assert seen.names == frozenset(NAMES[1:])


class Full:
    """A record that takes nothing more once it is full."""

    full = False

    def decided(self, _decision: Decision) -> None:
        if self.full:
            raise OSError("no space left")

    def reloaded(self, event: Reloaded) -> None:
        """Not of interest here."""


@pytest.mark.parametrize("method", ["tools/call", "tools/list"])
async def test_a_pdp_that_cannot_record_is_unavailable_and_not_a_policy(
    tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = Full()
    telling = AuthorizationService._told

    def told(service: AuthorizationService, decision: Decision) -> bool:
        service._observers = Observers([record])
        return telling(service, decision)

    monkeypatch.setattr(AuthorizationService, "_told", told)
    params = {"name": "read_file", "arguments": {"path": "alice/notes.txt"}} if method == "tools/call" else {}
    async with gate(tmp_path / "laptop", without=("business_hours.cedar",)) as opened:
        request = opened.request(method, params)
        assert "result" in body(await opened.handle(request))
        record.full = True
        refused = body(await opened.handle(request))
        record.full = False
        assert "result" in body(await opened.handle(request))
        (denied,) = (one for one in opened.records() if one["kind"] == "refusal")
    assert (refused["error"]["code"], refused["error"]["message"]) == (-32603, "authorization unavailable")
    assert (denied["reason"], denied["errors"]) == ("no_decision", ["ERROR_CODE_INTERNAL"])
    assert denied["decision_id"] == refused["error"]["data"]["decision_id"]
