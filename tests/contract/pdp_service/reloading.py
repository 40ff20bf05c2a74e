"""A PDP in this process that follows a policy directory, and the ways in which such a directory is replaced."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sallyport.authz.v1 import authz_pb2 as pb
from sallyport.contract.seal import HopKey, Label
from sallyport.pdp.inforce import InForce
from sallyport.pdp.observer import Decision, Observers, Reloaded
from sallyport.pdp.reload import Reloads
from sallyport.pdp.reload_method import Operator
from sallyport.pdp.server import Server
from sallyport.pdp.settings import Reload
from sallyport.pdp.vetting import Vetting
from sallyport.runtime.telemetry import Tracing
from tests.contract.pdp_service.running import SECONDS, Pdp, connected, settings, until_it_ends

POLL_SECONDS = 0.02


@dataclass
class Heard:
    """An observer that remembers, and can be waited for."""

    decisions: list[Decision] = field(default_factory=list)
    reloads: list[Reloaded] = field(default_factory=list)
    _told: asyncio.Event = field(default_factory=asyncio.Event)

    def decided(self, decision: Decision) -> None:
        self.decisions.append(decision)

    def reloaded(self, event: Reloaded) -> None:
        self.reloads.append(event)
        self._told.set()

    async def next(self) -> Reloaded:
        """The next attempt that ends after this call."""
        self._told.clear()
        await asyncio.wait_for(self._told.wait(), SECONDS)
        return self.reloads[-1]


@dataclass(frozen=True, slots=True)
class Following:
    pdp: Pdp
    directory: Path
    reloads: Reloads
    vetting: Vetting
    heard: Heard
    operator_key: HopKey

    @property
    def revision(self) -> str:
        serving = self.pdp.in_force.snapshot
        return serving.revision if serving else ""

    async def reload(self, **changes: Any) -> pb.ReloadAnswer:
        """What `sallyport policy reload` does; `changes` are what an attacker does otherwise."""
        question = changes.get("question", self.question())
        key: HopKey = changes.get("key", self.operator_key)
        mac = changes.get("mac", key.seal(changes.get("label", Label.RELOAD_QUESTION), question))
        response = await self.pdp.stub.Reload(pb.ReloadRequest(question=question, mac=mac), timeout=SECONDS)
        assert self.operator_key.open(Label.RELOAD_ANSWER, response.answer, response.mac)
        return pb.ReloadAnswer.FromString(response.answer)

    @staticmethod
    def question(*, nonce: bytes | None = None, age: int = 0) -> bytes:
        asked = pb.ReloadQuestion(nonce=secrets.token_bytes(16) if nonce is None else nonce)
        asked.issued_at = int(time.time()) - age
        return asked.SerializeToString(deterministic=True)


@asynccontextmanager
async def following(
    tmp_path: Path,
    directory: Path,
    *,
    watch: bool = True,
    tests: str = "ignore",
    seconds: int = 60,
    command: tuple[str, ...] | None = None,
    **limits: int,
) -> AsyncIterator[Following]:
    """`watch`: it looks at the directory by itself; else only when asked. It has tried once in either case."""
    chosen = settings(tmp_path, directory, **limits)
    in_force, heard, key = InForce(), Heard(), HopKey.generate()
    checked = Reload.model_validate({"seconds": seconds, "tests": tests})
    vets = Vetting(checked, command) if command else Vetting(checked)
    reloads = Reloads(directory, in_force, vets, Observers([heard]), poll=POLL_SECONDS)
    with until_it_ends() as strangers:
        operator = Operator(key, in_force, reloads, strangers, seconds=60)
        server = Server(chosen, in_force, Tracing("pdp", ""), Observers([heard]), operator, strangers=strangers)
        await server.start()
        watching = asyncio.create_task(reloads.watch()) if watch else None
        try:
            await (heard.next() if watch else reloads.now("start"))
            async with connected(server, chosen, in_force) as pdp:
                yield Following(pdp, directory, reloads, vets, heard, key)
        finally:
            if watching is not None:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)
            await reloads.close()
            await server.stop()
            await vets.close()


def publish(directory: Path, files: Mapping[str, bytes]) -> None:
    """As the kubelet does it: a new directory, `..data` renamed onto it, the old one removed."""
    name = f"..{secrets.token_hex(8)}"
    (directory / name).mkdir(parents=True)
    for file, data in files.items():
        (directory / name / file).write_bytes(data)
    link = directory / "..data"
    old = link.readlink() if link.is_symlink() else None
    (directory / "..data_tmp").symlink_to(name)
    (directory / "..data_tmp").replace(link)
    if old is not None:
        shutil.rmtree(directory / old, ignore_errors=True)
