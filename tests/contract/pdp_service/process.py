"""`python -m sallyport.pdp` started for a test, with a configuration that has everything."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc.aio
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from sallyport.contract.seal import HopKey
from sallyport.runtime import atomic_file, strict_json
from tests.contract.pdp_service.running import OWN_CONNECTION, POLICIES, SECONDS, Client

HEX_KEY = secrets.token_hex(32).encode() + b"\n"


@dataclass(slots=True)
class Process:
    """The child, its two addresses, and what it has logged so far."""

    child: asyncio.subprocess.Process
    hop_key: Path
    logged: list[dict[str, Any]] = field(default_factory=list)
    listen: str = ""
    health: str = ""

    async def until(self, event: str) -> dict[str, Any]:
        """The next line of the log that says so."""
        stream = self.child.stderr
        while stream is not None and (line := await stream.readline()):
            if not line.startswith(b"{"):  # a traceback: no log at all
                raise AssertionError((line + await stream.read()).decode())
            told = strict_json.parse(line)
            assert isinstance(told, dict)
            self.logged.append(told)
            if told["event"] == event:
                return told
        raise AssertionError(f"never said {event!r}, but {self.logged}")

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        async with grpc.aio.insecure_channel(self.listen, options=OWN_CONNECTION) as channel:
            yield Client(channel, HopKey.from_file(self.hop_key))

    async def ends(self) -> int:
        return await asyncio.wait_for(self.child.wait(), SECONDS)


def config(tmp_path: Path, policies: Path = POLICIES, *, poll_ms: int = 50, tests: str = "ignore") -> Path:
    path = tmp_path / "pdp.yaml"
    path.write_text(
        f"listen: 127.0.0.1:0\nhealth: 127.0.0.1:0\npolicies: {policies}\nhop_key: run/hop.key\n"
        "audit: {directory: audit, signing_key: audit.key, masking_key: masking.key}\n"
        f"reload: {{poll_ms: {poll_ms}, seconds: 120, tests: {tests}, operator_key: operator.key}}\n"
        "limits: {deadline_ms: 5000, concurrency: 64, message_bytes: 1310720}\n"
    )
    (tmp_path / "audit").mkdir(mode=0o700, exist_ok=True)
    signing = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for name, data in (("audit.key", signing), ("masking.key", HEX_KEY), ("operator.key", HEX_KEY)):
        atomic_file.write(tmp_path / name, data)
    return path


async def spawn(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sallyport.pdp", *arguments, stderr=asyncio.subprocess.PIPE
    )


@asynccontextmanager
async def started(
    path: Path, *arguments: str, until: str = "policy set in force", seconds: float = SECONDS * 3
) -> AsyncIterator[Process]:
    process = Process(await spawn("--config", str(path), *arguments), path.parent / "run" / "hop.key")
    try:
        async with asyncio.timeout(seconds):
            told = await process.until("listening")
            process.listen, process.health = str(told["listen"]), str(told["health"])
            await process.until(until)
            yield process
    finally:
        if process.child.returncode is None:
            process.child.kill()
        await process.child.communicate()
