"""Readiness, draining and the limits on how much is taken on at once."""

from __future__ import annotations

import asyncio
import shutil
import stat
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from structlog.testing import capture_logs

from sallyport.authz.v1 import authz_pb2 as pb
from sallyport.authz.v1 import authz_pb2_grpc as rpc
from sallyport.contract.seal import HopKey, Label
from sallyport.pdp import decider, service
from sallyport.pdp.inforce import InForce
from sallyport.pdp.load import load
from sallyport.pdp.model import Effect, Verdict
from sallyport.pdp.question import Asked
from sallyport.pdp.server import SERVICE, Server
from sallyport.pdp.snapshot import Snapshot
from sallyport.runtime import mounted_dir
from sallyport.runtime.problems import ConfigError
from sallyport.runtime.telemetry import Tracing
from tests.contract.pdp_service.running import (
    NOT_SERVING,
    OWN_CONNECTION,
    POLICIES,
    SECONDS,
    SERVING,
    Pdp,
    evaluation,
    health,
    in_force_of,
    question,
    running,
    settings,
    shipped,
)


class Engine:
    """An engine that takes as long as a test wants."""

    def __init__(self) -> None:
        self.entered = asyncio.Semaphore(0)
        self.go_on = asyncio.Event()

    async def judge(self, _snapshot: Snapshot | None, _asked: Asked, _deadline: float) -> tuple[Verdict, ...]:
        self.entered.release()
        await self.go_on.wait()
        return (Verdict(Effect.PERMIT),)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    engine = Engine()
    monkeypatch.setattr(service, "_judge", engine.judge)
    yield engine
    engine.go_on.set()


async def test_the_service_is_ready_only_with_a_policy_set_and_the_process_is_alive_without(tmp_path: Path) -> None:
    async with running(tmp_path) as pdp:
        assert await health(pdp.server.health) == SERVING
        assert await health(pdp.server.health, SERVICE) == SERVING
    empty = tmp_path / "empty"
    empty.mkdir()
    async with running(tmp_path, empty) as pdp:
        assert await health(pdp.server.health) == SERVING
        assert await health(pdp.server.health, SERVICE) == NOT_SERVING


async def test_readiness_follows_what_is_in_force(tmp_path: Path) -> None:
    in_force = InForce()
    server = Server(settings(tmp_path), in_force, Tracing("pdp", ""))
    await server.start()
    try:
        assert await health(server.health, SERVICE) == NOT_SERVING
        in_force.put(shipped())
        assert await health(server.health, SERVICE) == SERVING
    finally:
        await server.stop()


@pytest.mark.parametrize(
    ("address", "hosts"), [("[::]:0", ("127.0.0.1", "[::1]")), ("0.0.0.0:0", ("127.0.0.1",)), ("[::1]:0", ("[::1]",))]
)
async def test_a_probe_may_come_by_ipv4_and_ipv6(tmp_path: Path, address: str, hosts: tuple[str, ...]) -> None:
    chosen = settings(tmp_path).model_copy(update={"health": address})
    server = Server(chosen, in_force_of(POLICIES), Tracing("pdp", ""))
    await server.start()
    try:
        for host in hosts:
            assert await health(f"{host}:{server.health.rpartition(':')[2]}", SERVICE) == SERVING
    finally:
        await server.stop()


async def test_n26_nobody_holds_a_place_on_the_health_port(tmp_path: Path) -> None:
    async with running(tmp_path) as pdp, grpc.aio.insecure_channel(pdp.server.health, options=OWN_CONNECTION) as probe:
        stub: Any = health_pb2_grpc.HealthStub(probe)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Watch(health_pb2.HealthCheckRequest(), timeout=SECONDS).read()
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await pdp_on(probe, pdp)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def pdp_on(channel: grpc.aio.Channel, pdp: Pdp) -> pb.EvaluateResponse:
    payload = question().SerializeToString()
    request = pb.EvaluateRequest(question=payload, mac=pdp.key.seal(Label.EVALUATE_QUESTION, payload))
    return await rpc.AuthorizationServiceStub(channel).Evaluate(request, timeout=SECONDS)


async def test_the_hop_key_is_new_at_each_start_and_private(tmp_path: Path) -> None:
    async with running(tmp_path) as pdp:
        status = pdp.settings.hop_key.stat()
        first = pdp.key
    assert stat.S_IMODE(status.st_mode) == 0o600
    payload = question().SerializeToString()
    async with running(tmp_path) as pdp:
        assert pdp.key != first
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await pdp.send(payload, mac=first.seal(Label.EVALUATE_QUESTION, payload))
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_second_pdp_on_the_same_port_takes_neither_port_nor_key(tmp_path: Path) -> None:
    async with running(tmp_path) as pdp:
        second = Server(pdp.settings.model_copy(update={"listen": pdp.server.listen}), InForce(), Tracing("pdp", ""))
        with pytest.raises(ConfigError, match="is another PDP running there"):
            await second.start()
        assert HopKey.from_file(pdp.settings.hop_key) == pdp.key
        assert (await pdp.ask(question())).results[0].effect == pb.EFFECT_PERMIT


async def test_over_the_concurrency_limit_questions_are_refused_not_queued(tmp_path: Path, slow: Engine) -> None:
    async with running(tmp_path, concurrency=2) as pdp, AsyncExitStack() as stack:
        channels = [
            await stack.enter_async_context(grpc.aio.insecure_channel(pdp.server.listen, options=OWN_CONNECTION))
            for _ in range(3)
        ]
        held = [asyncio.create_task(pdp_on(channel, pdp)) for channel in channels[:2]]
        for _ in held:
            await asyncio.wait_for(slow.entered.acquire(), SECONDS)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await pdp_on(channels[2], pdp)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        slow.go_on.set()
        await asyncio.gather(*held)
        assert (await pdp_on(channels[2], pdp)).answer


async def test_a_permit_found_after_the_pdps_own_deadline_is_not_given(tmp_path: Path, slow: Engine) -> None:
    async with running(tmp_path, deadline_ms=30) as pdp:
        asked = asyncio.create_task(pdp.ask(question()))
        await asyncio.wait_for(slow.entered.acquire(), SECONDS)
        asyncio.get_running_loop().call_later(0.05, slow.go_on.set)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await asked
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_n6_any_exception_is_a_denial_that_tells_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_: object, **__: object) -> None:
        raise RecursionError("canary-77")

    async with running(tmp_path) as pdp:
        with monkeypatch.context() as patch, capture_logs() as logs:
            patch.setattr(decider, "verdicts", breaks)
            (result,) = (await pdp.ask(question())).results
            assert (result.effect, list(result.errors)) == (pb.EFFECT_DENY, [pb.ERROR_CODE_INTERNAL])
        with monkeypatch.context() as patch, capture_logs() as more_logs:
            patch.setattr("sallyport.pdp.question.read", breaks)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await pdp.ask(question())
            assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.INTERNAL, "")
        assert (await pdp.ask(question())).results[0].effect == pb.EFFECT_PERMIT
    assert [log["error"] for log in (*logs, *more_logs)] == ["RecursionError"] * 2
    assert "canary-77" not in str((logs, more_logs))


async def test_an_engine_that_loses_a_verdict_is_a_denial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decider, "verdicts", lambda *_, **__: ())
    async with running(tmp_path) as pdp:
        (result,) = (await pdp.ask(question())).results
    assert (result.effect, list(result.errors)) == (pb.EFFECT_DENY, [pb.ERROR_CODE_INTERNAL])


async def test_a_question_is_judged_on_one_policy_set_from_its_first_to_its_last_resource(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stricter = tmp_path / "policies"
    shutil.copytree(POLICIES, stricter)
    (stricter / "agent_access.cedar").write_text('@id("none")\nforbid (principal, action, resource);\n')
    contents = mounted_dir.read(stricter)
    files = [evaluation(resource=f"File::alice/{n}") for n in range(100)]
    async with running(tmp_path) as pdp:
        before = (await pdp.revision()).revision

        judging = decider.verdicts

        def swapping(*args: Any, **named: Any) -> Iterator[Verdict]:
            found = judging(*args, **named)
            yield next(found)
            pdp.in_force.put(load(contents))
            yield from found

        with monkeypatch.context() as patch:
            patch.setattr(decider, "verdicts", swapping)
            answer = await pdp.ask_batch(question(*files))
        assert answer.revision == before
        assert {result.effect for result in answer.results} == {pb.EFFECT_PERMIT}
        after = await pdp.ask(question())
        assert after.revision != before
        assert after.results[0].effect == pb.EFFECT_DENY


async def test_while_it_stops_the_pdp_is_not_ready_and_still_answers_what_it_took_on(
    tmp_path: Path, slow: Engine
) -> None:
    async with running(tmp_path) as pdp:
        asked = asyncio.create_task(pdp.ask(question()))
        await asyncio.wait_for(slow.entered.acquire(), SECONDS)
        stopping = asyncio.create_task(pdp.server.stop())
        while await health(pdp.server.health, SERVICE) == SERVING:
            pass  # until the stop has begun
        assert await health(pdp.server.health) == NOT_SERVING
        slow.go_on.set()
        assert (await asked).results[0].effect == pb.EFFECT_PERMIT
        await asyncio.wait_for(stopping, SECONDS)


async def test_a_unix_socket_is_ours_alone(tmp_path: Path) -> None:
    path = tmp_path / "pdp.sock"
    chosen = settings(tmp_path).model_copy(update={"listen": f"unix:{path}"})
    server = Server(chosen, InForce(), Tracing("pdp", ""))
    await server.start()
    try:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0
    finally:
        await server.stop()
