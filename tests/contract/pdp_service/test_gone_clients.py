"""Clients that hang up in mid-question: gRPC's own logger writes no traceback, whose texts nobody vouches for."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import time
from pathlib import Path
from typing import Final

import grpc
import pytest

from sallyport.authz.v1 import authz_pb2 as pb
from sallyport.authz.v1 import authz_pb2_grpc as rpc
from sallyport.contract.seal import Label
from sallyport.pdp import service
from sallyport.pdp.model import Effect, Verdict
from sallyport.pdp.question import Asked
from sallyport.pdp.snapshot import Snapshot
from tests.contract.pdp_service.running import OWN_CONNECTION, SECONDS, Pdp, question, running

TIMES: Final = 25
LATE: Final = 0.03  # seconds; the PDP learns of a client's going only after it has gone


class Engine:
    """Holds up the loop, as Cedar does, until the client has gone; then gives an answer, in time or too late."""

    def __init__(self, *, late: bool) -> None:
        self.late = late
        self.entered, self.gone = threading.Event(), threading.Event()
        self.judged, self.all = 0, asyncio.Event()

    async def judge(self, _snapshot: Snapshot | None, _asked: Asked, deadline: float) -> tuple[Verdict, ...]:
        self.entered.set()
        self.gone.wait(SECONDS)
        self.gone.clear()
        until = deadline if self.late else time.monotonic() + LATE
        while time.monotonic() < until:
            pass
        self.judged += 1
        if self.judged == TIMES:
            self.all.set()
        return (Verdict(Effect.DENY),)


def ask_and_hang_up(pdp: Pdp, engine: Engine, how: str) -> None:
    payload = question().SerializeToString()
    request = pb.EvaluateRequest(question=payload, mac=pdp.key.seal(Label.EVALUATE_QUESTION, payload))
    for _ in range(TIMES):
        channel = grpc.insecure_channel(pdp.server.listen, options=OWN_CONNECTION)
        asked = rpc.AuthorizationServiceStub(channel).Evaluate.future(request, timeout=SECONDS)
        assert engine.entered.wait(SECONDS)
        engine.entered.clear()
        if how == "cancels":
            asked.cancel()
        channel.close()
        engine.gone.set()


@pytest.mark.parametrize("how", ["cancels", "disconnects"])
@pytest.mark.parametrize("late", [True, False])
async def test_a_client_that_hangs_up_in_mid_question_leaves_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, how: str, late: bool
) -> None:
    engine = Engine(late=late)
    async with running(tmp_path, deadline_ms=int(LATE * 1000) if late else 10_000) as pdp:
        gc.collect()  # what other tests left behind must not be told of meanwhile
        with monkeypatch.context() as patch, caplog.at_level(logging.INFO):
            patch.setattr(service, "_judge", engine.judge)
            await asyncio.to_thread(ask_and_hang_up, pdp, engine, how)
            await asyncio.wait_for(engine.all.wait(), SECONDS)
    assert [record.getMessage() for record in caplog.records] == []
