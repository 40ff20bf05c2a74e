"""`python -m sallyport.pdp` as a process of its own."""

from __future__ import annotations

import asyncio
import signal
import stat
from pathlib import Path

import pytest

from sallyport.authz.v1 import authz_pb2 as pb
from sallyport.pdp.server import SERVICE
from tests.contract.pdp_service.process import config, spawn, started
from tests.contract.pdp_service.running import NOT_SERVING, POLICIES, SECONDS, SERVING, health, question


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_serves_its_policies_and_ends_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    async with started(config(tmp_path)) as process:
        assert await health(process.health, SERVICE) == SERVING
        key = tmp_path / "run" / "hop.key"
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        assert stat.S_IMODE(key.parent.stat().st_mode) == 0o700
        async with process.client() as client:
            assert (await client.ask(question())).results[0].effect == pb.EFFECT_PERMIT
        process.child.send_signal(number)
        assert await process.ends() == 0


async def test_n5_a_broken_policy_set_is_up_not_ready_and_denies(tmp_path: Path) -> None:
    broken = tmp_path / "policies"
    broken.mkdir()
    for file in POLICIES.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    (broken / "files.cedar").write_text('@id("x")\npermit (principal, action, resource) when {\n')
    async with started(config(tmp_path, broken), until="policy set refused") as process:
        assert "files.cedar:" in process.logged[-1]["problem"]
        assert await health(process.health) == SERVING
        assert await health(process.health, SERVICE) == NOT_SERVING
        async with process.client() as client:
            assert (await client.ask(question())).results[0].effect == pb.EFFECT_DENY


async def test_a_missing_policy_directory_is_up_not_ready(tmp_path: Path) -> None:
    async with started(config(tmp_path, tmp_path / "nowhere"), until="policy set refused") as process:
        assert "nowhere" in process.logged[-1]["problem"]
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
