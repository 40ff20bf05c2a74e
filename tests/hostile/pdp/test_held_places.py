"""N26: calls that are begun and never asked hold no place for longer than the deadline, on either port."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from sallyport.authz.v1 import authz_pb2 as pb
from tests.contract.pdp_service.running import OWN_CONNECTION, SERVING, health, question, running

HELD = 8


async def hold(channel: grpc.aio.Channel, method: str, count: int) -> list[Any]:
    """Begin that many calls and send no message."""
    begun: list[Any] = [channel.stream_unary(method)() for _ in range(count)]
    await asyncio.gather(*(call.wait_for_connection() for call in begun))
    return begun


async def test_n26_whoever_begins_calls_without_asking_gives_the_places_back(tmp_path: Path) -> None:
    async with running(tmp_path, deadline_ms=1500, concurrency=HELD) as pdp:
        async with grpc.aio.insecure_channel(pdp.server.listen, options=OWN_CONNECTION) as stranger:
            begun = await hold(stranger, "/sallyport.authz.v1.AuthorizationService/Evaluate", HELD)
            ended = await asyncio.gather(*(call.code() for call in begun))
            assert set(ended) <= {grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED}
        answer = await pdp.ask(question())
        assert answer.results[0].effect == pb.EFFECT_PERMIT


async def test_n26_the_probe_is_answered_beside_calls_that_were_only_begun(tmp_path: Path) -> None:
    async with running(tmp_path) as pdp, grpc.aio.insecure_channel(pdp.server.health, options=OWN_CONNECTION) as other:
        begun = await hold(other, "/grpc.health.v1.Health/Check", 64)
        assert await health(pdp.server.health) == SERVING
        for call in begun:
            call.cancel()


@pytest.mark.parametrize("callers", [200])
async def test_as_many_callers_as_there_may_be_connections_are_all_answered(callers: int, tmp_path: Path) -> None:
    async with running(tmp_path) as pdp:
        answers = await asyncio.gather(*(pdp.ask(question()) for _ in range(callers)))
        assert all(answer.results[0].effect == pb.EFFECT_PERMIT for answer in answers)
