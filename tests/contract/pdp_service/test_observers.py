"""Who watches the PDP hears of every question that it answers, and what can't be told isn't permitted."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import grpc
import grpc.aio
import pytest

from sallyport.authz.v1 import authz_pb2 as pb
from sallyport.pdp.model import Effect, ErrorCode, Purpose
from sallyport.pdp.observer import Decision, Reloaded
from tests.contract.pdp_service.reloading import Heard
from tests.contract.pdp_service.running import POLICIES, evaluation, question, running, visibility


@dataclass
class Full:
    """A record that takes nothing more."""

    error: type[Exception]

    def decided(self, _decision: Decision) -> None:
        raise self.error("canary-19")

    def reloaded(self, event: Reloaded) -> None:
        """Not of interest here."""


async def test_each_answer_is_told_before_it_is_sealed(tmp_path: Path) -> None:
    heard = Heard()
    asked = question(traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    async with running(tmp_path, POLICIES, heard) as pdp:
        answer = await pdp.ask(asked)
        await pdp.ask_batch(question(evaluation(), evaluation(resource="File::bob/notes.txt")))
        await pdp.ask_batch(visibility("read_file", "no_such_tool"))
        await pdp.revision()
    one, several, listing = heard.decisions
    assert (one.decision_id, one.source, one.purpose) == (asked.decision_id, "grpc", Purpose.CALL)
    assert (one.revision, one.traceparent) == (answer.revision, asked.traceparent)
    assert one.question_sha256 == hashlib.sha256(asked.SerializeToString()).digest() == answer.question_sha256
    assert one.principal is not None
    assert (one.principal.user_id, one.queries[0].resource_id) == ("alice", "alice/notes.txt")
    assert 0 < one.seconds < 10
    assert [verdict.effect for verdict in several.verdicts] == [Effect.PERMIT, Effect.DENY]
    assert (listing.purpose, len(listing.queries)) == (Purpose.VISIBILITY, 2)


async def test_a_question_that_is_answered_without_being_read_is_told_too(tmp_path: Path) -> None:
    heard = Heard()
    asked = question(purpose=pb.PURPOSE_UNSPECIFIED)
    async with running(tmp_path, POLICIES, heard) as pdp:
        await pdp.ask(asked)
    (decision,) = heard.decisions
    assert (decision.decision_id, decision.principal, decision.queries) == (asked.decision_id, None, ())
    assert decision.verdicts[0].errors == (ErrorCode.INVALID_QUESTION,)


async def test_who_lacks_the_hop_key_is_told_to_nobody(tmp_path: Path) -> None:
    heard = Heard()
    async with running(tmp_path, POLICIES, heard) as pdp:
        with pytest.raises(grpc.aio.AioRpcError):
            await pdp.send(question().SerializeToString(), mac=b"0" * 32)
    assert heard.decisions == []


@pytest.mark.parametrize("error", [OSError, RuntimeError, RecursionError, MemoryError])
async def test_what_cannot_be_recorded_is_denied_and_answered(tmp_path: Path, error: type[Exception]) -> None:
    async with running(tmp_path, POLICIES, Heard(), Full(error)) as pdp:
        (result,) = (await pdp.ask(question())).results
        several = (await pdp.ask_batch(question(evaluation(), evaluation()))).results
    for told in (result, *several):
        assert (told.effect, list(told.reasons), list(told.obligations)) == (pb.EFFECT_DENY, [], [])
        assert list(told.errors) == [pb.ERROR_CODE_INTERNAL]
    assert len(several) == 2
