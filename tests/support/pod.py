"""The two services as a pod runs them: processes of their own, joined by a Unix socket and the hop key in one directory."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import ssl
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sallyport.cli.endpoint import Endpoint
from tests.support import laptop
from tests.support.raw_call import Connection
from tests.support.raw_http import RawClient, Reply, request

PATIENCE = 60.0  # seconds; the machine that runs the tests may be busy


@dataclass
class Container:
    """One process of the pod, and what it has logged."""

    process: asyncio.subprocess.Process
    logged: list[dict[str, Any]] = field(default_factory=list)

    async def until(self, event: str) -> dict[str, Any]:
        assert self.process.stderr is not None
        async with asyncio.timeout(PATIENCE):
            while line := await self.process.stderr.readline():
                self.logged.append(json.loads(line) if line.startswith(b"{") else {"event": line.decode()})
                if self.logged[-1]["event"] == event:
                    return self.logged[-1]
        raise AssertionError(f"never said {event!r}, but {self.logged}")

    async def kill(self) -> None:
        self.process.kill()
        await self.process.wait()

    async def stop(self) -> tuple[int, float, str]:
        """SIGTERM; the exit code, the seconds that it took, and what else it said."""
        started = time.monotonic()
        self.process.terminate()
        _, rest = await asyncio.wait_for(self.process.communicate(), PATIENCE)
        return int(self.process.returncode or 0), time.monotonic() - started, rest.decode()


@dataclass
class Pod:
    """A directory as `init` makes it, and whatever of it runs."""

    directory: Path
    running: list[Container] = field(default_factory=list)
    mcp: int = 0
    management: int = 0

    async def start(self, service: str, *, management: str = "127.0.0.1:0", **environment: str) -> Container:
        """Not waited for; the environment is this and nothing else, as in a container."""
        arguments = {"pdp": ("--health",), "pep": ("--listen", "127.0.0.1:0", "--management")}[service]
        arguments = (*arguments, management)
        command = (sys.executable, "-P", "-m", f"sallyport.{service}", "--config", f"{service}.yaml", *arguments)
        process = await asyncio.create_subprocess_exec(
            *command, cwd=self.directory, env=environment, stderr=asyncio.subprocess.PIPE
        )
        self.running.append(Container(process))
        return self.running[-1]

    async def pdp(self) -> Container:
        """A PDP whose policies are in force."""
        container = await self.start("pdp")
        await container.until("policy set in force")
        return container

    async def pep(self) -> Container:
        """A PEP that listens, ready or not."""
        container = await self.start("pep")
        told = await container.until("listening")
        self.mcp, self.management = told["mcp"], told["management"]
        return container

    def caller(self) -> Connection:
        where = f"https://127.0.0.1:{self.mcp}/mcp"
        endpoint = Endpoint(where, f"https://127.0.0.1:{self.management}", "", self._ca, pep=0, pdp=0)
        return Connection(endpoint, laptop.token(self.directory))

    async def ask(self, path: str) -> Reply:
        """On the management port, as a probe on this machine does."""
        trust = ssl.create_default_context(cafile=self._ca)
        async with RawClient(self.management, trust) as client:
            return await client.ask(request(method="GET", target=path, length=False))

    async def ready(self, status: int = 200) -> None:
        async with asyncio.timeout(PATIENCE):
            while (await self.ask("/ready")).status != status:  # noqa: ASYNC110 — another process's state
                await asyncio.sleep(0.01)

    @property
    def _ca(self) -> str:
        return str(self.directory / "pki" / "ca" / "ca.crt")


@asynccontextmanager
async def pod(directory: Path) -> AsyncIterator[Pod]:
    made = laptop.init(directory)
    sock = f"unix:{made}/run/pdp.sock"
    for name in ("pdp", "pep"):
        file = made / f"{name}.yaml"
        text = file.read_text().replace("listen: 127.0.0.1:7351", f'listen: "{sock}"')
        file.write_text(text.replace("address: 127.0.0.1:7351", f'address: "{sock}"'))
        assert sock in file.read_text()
    here = Pod(made)
    try:
        yield here
    finally:
        for container in here.running:
            if container.process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(container.process.pid, signal.SIGKILL)
                await container.process.communicate()
