"""Who asks without the key learns nothing and changes nothing, and is counted and said."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import grpc
import grpc.aio
import pytest
from structlog.testing import capture_logs

from sallyport.authz.v1 import authz_pb2 as pb
from sallyport.contract.seal import HopKey
from sallyport.pdp.strangers import Strangers
from tests.contract.pdp_service.reloading import Following, following
from tests.contract.pdp_service.running import POLICIES, SECONDS, Client, question

SAID: Final = "sealed by nobody we know"


async def refused(asked: Awaitable[object]) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await asked
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def try_all(client: Client) -> int:
    """Every method once; gives how many there are."""
    payload, mac = question().SerializeToString(), bytes(32)
    calls: list[Awaitable[object]] = [
        client.stub.Evaluate(pb.EvaluateRequest(question=payload, mac=mac), timeout=SECONDS),
        client.stub.EvaluateBatch(pb.EvaluateBatchRequest(question=payload, mac=mac), timeout=SECONDS),
        client.stub.GetRevision(pb.GetRevisionRequest(nonce=bytes(16), mac=mac), timeout=SECONDS),
        client.stub.GetCatalog(pb.GetCatalogRequest(question=payload, mac=mac), timeout=SECONDS),
        client.stub.Reload(pb.ReloadRequest(question=payload, mac=mac), timeout=SECONDS),
    ]
    for call in calls:
        await refused(call)
    return len(calls)


def strangers(made: Following) -> Strangers:
    return made.pdp.server._strangers


async def test_a_try_without_the_key_is_counted_whatever_it_asks_for(tmp_path: Path) -> None:
    async with following(tmp_path, POLICIES, watch=False) as made:
        before = strangers(made).total
        with capture_logs() as logs:
            methods = await try_all(made.pdp)
        assert (before, strangers(made).total) == (0, methods)
        said = [line for line in logs if line["event"] == SAID]
        assert [(line["log_level"], line["count"]) for line in said] == [("warning", 1)]
        await made.pdp.ask(question())
        await made.pdp.revision()
        assert strangers(made).total == methods, "who has the key is no stranger"


async def test_another_key_is_no_key(tmp_path: Path) -> None:
    async with following(tmp_path, POLICIES, watch=False) as made:
        with pytest.raises(grpc.aio.AioRpcError):
            await Client(made.pdp.channel, HopKey.generate()).ask(question())
        assert strangers(made).total == 1


class Clock:
    """Runs what waits when a test says that its time has come."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []
        self.seconds: set[float] = set()

    def later(self, seconds: float, then: Callable[[], None]) -> None:
        self.seconds.add(seconds)
        self.waiting.append(then)

    def turn(self) -> None:
        (then,) = self.waiting
        self.waiting.clear()
        then()


def test_of_a_flood_a_line_at_once_and_then_one_a_second_tell_every_try() -> None:
    clock = Clock()
    counted = Strangers(clock.later)
    with capture_logs() as logs:
        for _ in range(3):
            for _ in range(1000):
                counted.saw()
            clock.turn()
        assert counted.total == 3000
        clock.turn()
        assert clock.waiting == [], "nothing runs while nobody comes"
        counted.saw()
        clock.turn()
    assert {line["event"] for line in logs} == {SAID}
    assert [(line["count"], line["total"]) for line in logs] == [
        (1, 1),
        (999, 1000),
        (1000, 2000),
        (1000, 3000),
        (1, 3001),
    ]
    assert clock.seconds == {1.0}
