"""The PDP's side of `vet`: one child at a time, asked about one directory at a time, and never waited for too long."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio import StreamReader, StreamWriter
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from typing import Final

from sallyport.pdp import frames
from sallyport.pdp.settings import Reload
from sallyport.runtime.mounted_dir import Contents
from sallyport.runtime.problems import ConfigError, Problem

IDLE_SECONDS: Final = 20.0  # a child holds tens of megabytes, and takes half a second to start
_COMMAND: Final = (sys.executable, "-P", "-m", "sallyport.pdp.vet")  # -P: a module lying around must not be imported
_INHERITED: Final = ("PYTHONHOME", "PYTHONPATH", "LD_LIBRARY_PATH")
_CHUNK: Final = 256 << 10
_ENDING_SECONDS: Final = 1.0  # for a child that has closed its pipe to end by itself
_GONE: Final = (asyncio.IncompleteReadError, ConnectionError)


class Vetting:
    """Ask one question after the other: whoever calls sees to that."""

    def __init__(self, settings: Reload, command: tuple[str, ...] = _COMMAND) -> None:
        self._settings = settings
        self._command = command
        self._child: Process | None = None
        self._idle: asyncio.TimerHandle | None = None

    async def problems(self, contents: Contents) -> tuple[Problem, ...]:
        """All that is wrong with the directory; none is good. Raises ConfigError where the child gave no answer."""
        if self._idle is not None:
            self._idle.cancel()
        try:
            async with asyncio.timeout(self._settings.seconds):
                found = await self._asked_again_if_it_had_died(contents)
        except BaseException as error:  # cancelled, too: what the child says next would answer an old question
            code = await (self._ended() if isinstance(error, _GONE) else self._kill())
            if isinstance(error, Exception):
                raise _refusal(error, code, self._settings.seconds) from None
            raise
        self._idle = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._let_go)
        return found

    async def warm_up(self) -> None:
        """Start the child before it is needed; if that fails, the first question says so."""
        with suppress(OSError):
            await self._pipes()

    async def close(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        await self._kill()

    async def _asked_again_if_it_had_died(self, contents: Contents) -> tuple[Problem, ...]:
        """A child that was killed while it waited says nothing about this directory."""
        waited = self._child is not None
        try:
            return await self._asked(contents)
        except _GONE:
            if not waited:
                raise
        await self._ended()
        return await self._asked(contents)

    async def _asked(self, contents: Contents) -> tuple[Problem, ...]:
        reader, writer = await self._pipes()
        frame = b"".join(frames.of_files(contents.files))
        tests = self._settings.tests == "require"
        writer.write(frames.HEAD.pack(len(frame), self._settings.seconds, tests))
        for start in range(0, len(frame), _CHUNK):
            writer.write(frame[start : start + _CHUNK])
            await writer.drain()
        (length,) = frames.ANSWER.unpack(await reader.readexactly(frames.ANSWER.size))
        if length > frames.MAX_ANSWER_BYTES:
            raise ValueError("the answer is too long")
        return frames.problems_in(await reader.readexactly(length), contents.revision)

    async def _pipes(self) -> tuple[StreamReader, StreamWriter]:
        child = self._child
        if child is None or child.returncode is not None:
            environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
            # Its stderr would break our log's lines; what it has to say is its answer, or how it ended.
            child = self._child = await asyncio.create_subprocess_exec(
                *self._command, stdin=PIPE, stdout=PIPE, stderr=asyncio.subprocess.DEVNULL, env=environment, cwd="/"
            )
        if child.stdin is None or child.stdout is None:
            raise RuntimeError("a child without pipes")
        return child.stdout, child.stdin

    def _let_go(self) -> None:
        """Without more questions it ends by itself."""
        child, self._child = self._child, None
        if child is not None and child.stdin is not None:
            child.stdin.close()

    async def _ended(self) -> int | None:
        """How it ended by itself: a signal to a child that is dying would take that from whoever waits for it."""
        try:
            if self._child is not None:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._child.wait(), _ENDING_SECONDS)
        finally:
            code = await self._kill()
        return code

    async def _kill(self) -> int | None:
        child, self._child = self._child, None
        if child is None:
            return None
        if child.returncode is None:
            with suppress(ProcessLookupError):
                child.kill()
        return await child.wait()


def _refusal(error: Exception, code: int | None, seconds: int) -> ConfigError:
    """No answer is no. `code` is how the child ended: by itself, unless it was the answer that was wrong."""
    if isinstance(error, TimeoutError) or code == -signal.SIGXCPU:
        message = f"took longer than {seconds} s to check; make the set smaller, or raise reload.seconds in pdp.yaml"
        return ConfigError.about("policies", message)
    died = isinstance(error, _GONE) and code is not None and code < 0
    how = signal.Signals(-code).name if died and code is not None else type(error).__name__
    message = (
        f"the process that checks policies broke on this set ({how}); take back the last change, "
        "then put its parts in again one by one, or give the PDP more memory if the set is large"
    )
    return ConfigError.about("policies", message)
