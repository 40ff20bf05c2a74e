"""One child of `up`: start it, wait until it listens, stop it. Secrets never stand in its arguments or environment."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sallyport.cli import ports

_POLL_SECONDS: Final = 0.02
_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 20.0  # more than a service's own drain
_LOG_TAIL: Final = 8
# What a child may see of the caller's environment: a token or password exported in the shell stays out of it.
_INHERITED: Final = ("HOME", "LANG", "LC_ALL", "LC_CTYPE", "PATH", "TMPDIR", "TZ", "VIRTUAL_ENV")


class Died(Exception):
    """The child ended, or didn't listen in time, before it was up."""


@dataclass(slots=True)
class Service:
    name: str  # "pdp" or "pep"
    module: str
    arguments: tuple[str, ...]
    directory: Path
    log: Path
    listens: tuple[int, ...]  # the ports that say that it is up
    _process: asyncio.subprocess.Process | None = field(default=None, init=False)

    @property
    def pid(self) -> int:
        return self._running().pid

    async def start(self) -> None:
        """Start and wait until all its ports listen. Raises Died."""
        descriptor = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "sallyport.cli.tether", self.module, *self.arguments),
                cwd=self.directory,  # -P above: a module lying there must not be imported
                env=_environment(os.environ),
                stdin=asyncio.subprocess.PIPE,
                stdout=descriptor,
                stderr=descriptor,
                process_group=0,  # Ctrl-C reaches `up` alone, so that the PEP stops before the PDP
            )
        finally:
            os.close(descriptor)
        await self._until_listening()

    async def ended(self) -> int:
        """Wait for its end; the exit code, negative for a signal."""
        return await self._running().wait()

    async def stop(self) -> bool:
        """SIGTERM, then SIGKILL if it takes too long; whether it went by itself."""
        process = self._process
        if process is None or process.returncode is not None:
            return True
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), _STOP_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()
            return False
        return True

    def last_words(self) -> str:
        try:
            with self.log.open(encoding="utf-8", errors="replace") as lines:
                return "".join(deque(lines, _LOG_TAIL)).rstrip()
        except OSError:
            return ""

    async def _until_listening(self) -> None:
        process = self._running()
        deadline = asyncio.get_running_loop().time() + _START_SECONDS
        while not all(map(ports.is_listening, self.listens)):
            if process.returncode is not None:
                raise Died(f"the {self.name} ended at its start, exit code {process.returncode}")
            if asyncio.get_running_loop().time() > deadline:
                await self.stop()
                raise Died(f"the {self.name} didn't listen within {_START_SECONDS:.0f} s")
            await asyncio.sleep(_POLL_SECONDS)

    def _running(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise Died(f"the {self.name} was never started")
        return self._process


def _environment(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: environment[name] for name in _INHERITED if name in environment}
