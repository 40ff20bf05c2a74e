"""`python -m sallyport.pdp` as a process of its own."""

from __future__ import annotations

import asyncio
import signal
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc.aio
import pytest

from sallyport.authz.v1 import authz_pb2 as pb
from sallyport.authz.v1 import authz_pb2_grpc as rpc
from sallyport.contract.seal import HopKey, Label
from sallyport.pdp.server import SERVICE
from sallyport.runtime import strict_json
from tests.contract.pdp_service.running import NOT_SERVING, OWN_CONNECTION, POLICIES, SECONDS, SERVING, health, question


@dataclass(frozen=True, slots=True)
class Process:
    """The child, its two addresses, and what it logged before it listened."""

    child: asyncio.subprocess.Process
    listen: str
    health: str
    logged: tuple[str, ...]

    async def ends(self) -> int:
        return await asyncio.wait_for(self.child.wait(), SECONDS)


def config(tmp_path: Path, policies: Path = POLICIES) -> Path:
    path = tmp_path / "pdp.yaml"
    path.write_text(
        f"listen: 127.0.0.1:0\nhealth: 127.0.0.1:0\npolicies: {policies}\nhop_key: run/hop.key\n"
        "limits: {deadline_ms: 5000, concurrency: 64, message_bytes: 1310720}\n"
    )
    return path


async def spawn(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sallyport.pdp", *arguments, stderr=asyncio.subprocess.PIPE
    )


@asynccontextmanager
async def started(path: Path, *arguments: str) -> AsyncIterator[Process]:
    child = await spawn("--config", str(path), *arguments)
    try:
        async with asyncio.timeout(SECONDS * 2):
            yield await listening(child)
    finally:
        if child.returncode is None:
            child.kill()
        await child.communicate()


async def listening(child: asyncio.subprocess.Process) -> Process:
    stream, logged = child.stderr, list[str]()
    while stream is not None and (line := await stream.readline()):
        logged.append(line.decode())
        if b'"listening"' in line:
            told = strict_json.parse(line)
            if isinstance(told, dict):
                return Process(child, str(told["listen"]), str(told["health"]), tuple(logged))
    raise AssertionError("".join(logged))


async def effect(process: Process, key: HopKey) -> int:
    payload = question().SerializeToString()
    request = pb.EvaluateRequest(question=payload, mac=key.seal(Label.EVALUATE_QUESTION, payload))
    async with grpc.aio.insecure_channel(process.listen, options=OWN_CONNECTION) as channel:
        response = await rpc.AuthorizationServiceStub(channel).Evaluate(request, timeout=SECONDS)
    assert key.open(Label.EVALUATE_ANSWER, response.answer, response.mac)
    return pb.Answer.FromString(response.answer).results[0].effect


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_serves_its_policies_and_ends_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    async with started(config(tmp_path)) as process:
        assert await health(process.health, SERVICE) == SERVING
        key = tmp_path / "run" / "hop.key"
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        assert stat.S_IMODE(key.parent.stat().st_mode) == 0o700
        assert await effect(process, HopKey.from_file(key)) == pb.EFFECT_PERMIT
        process.child.send_signal(number)
        assert await process.ends() == 0


async def test_n5_a_broken_policy_set_is_up_not_ready_and_denies(tmp_path: Path) -> None:
    broken = tmp_path / "policies"
    broken.mkdir()
    for file in POLICIES.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    (broken / "files.cedar").write_text('@id("x")\npermit (principal, action, resource) when {\n')
    async with started(config(tmp_path, broken)) as process:
        assert any("files.cedar:" in line for line in process.logged)
        assert await health(process.health) == SERVING
        assert await health(process.health, SERVICE) == NOT_SERVING
        assert await effect(process, HopKey.from_file(tmp_path / "run" / "hop.key")) == pb.EFFECT_DENY


async def test_a_missing_policy_directory_is_up_not_ready(tmp_path: Path) -> None:
    async with started(config(tmp_path, tmp_path / "nowhere")) as process:
        assert any("nowhere" in line for line in process.logged)
        assert await health(process.health, SERVICE) == NOT_SERVING


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "--config"),
        (("--config", "{config}", "--listen", "0.0.0.0:1"), "the PDP never sees the network"),
        (("--config", "{config}", "--health", "host"), "is not an IP address and a port"),
        (("--config", "{missing}"), "sallyport init"),
        (("--config", "{faulty}"), "did you mean 'listen'?"),
    ],
)
async def test_what_is_wrong_is_told_with_what_to_do(tmp_path: Path, arguments: tuple[str, ...], told: str) -> None:
    faulty = tmp_path / "faulty.yaml"
    faulty.write_text(config(tmp_path).read_text().replace("listen:", "listn:"))
    places = {"config": config(tmp_path), "missing": tmp_path / "none.yaml", "faulty": faulty}
    child = await spawn(*(argument.format(**places) for argument in arguments))
    _, errors = await asyncio.wait_for(child.communicate(), SECONDS)
    assert child.returncode == 2
    assert told in errors.decode()
    assert "Traceback" not in errors.decode()
    assert not (tmp_path / "run").exists()
