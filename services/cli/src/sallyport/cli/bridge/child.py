"""One server under its keeper, seen from the bridge: lines to it, lines from it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

import structlog

from sallyport.cli.bridge.keeper import PLAN
from sallyport.cli.bridge.plan import Plan

MAX_LINE: Final = 4 << 20
_UNREAD: Final = 2 << 20  # what may wait in our memory for a server that doesn't read
_END_SECONDS: Final = 15.0  # more than the keeper takes with the stubborn
_DRAIN_SECONDS: Final = 1.0
_CHUNK: Final = 1 << 16
_KEEPER: Final = "sallyport.cli.bridge.keeper"
_log: Final = structlog.get_logger()


class Deaf(Exception):
    """The server has ended, or doesn't read what it is sent."""


class Babble(Exception):
    """A line beyond the cap: where the next one begins can't be known in time."""


class _Streams(asyncio.subprocess.SubprocessStreamProtocol):
    """asyncio's own wait also waits for the pipes' end; a process that got away from its keeper may hold them for ever."""

    def __init__(self, limit: int, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(limit, loop)
        self.ended = asyncio.Event()

    def process_exited(self) -> None:
        super().process_exited()
        self.ended.set()


@dataclass(frozen=True, slots=True)
class Child:
    transport: asyncio.SubprocessTransport
    ended: asyncio.Event
    name: str  # for the log
    input: asyncio.StreamWriter
    output: asyncio.StreamReader
    errors: asyncio.StreamReader

    def write(self, line: bytes) -> None:
        """Never waits: one server that doesn't read holds up nobody. Raises Deaf."""
        transport = self.input.transport
        if transport.is_closing() or transport.get_write_buffer_size() > _UNREAD:
            raise Deaf
        self.input.write(line + b"\n")

    async def lines(self) -> AsyncIterator[bytes]:
        """Until its output ends; what follows the last newline is none. Raises Babble."""
        while True:
            try:
                line = await self.output.readuntil()
            except asyncio.IncompleteReadError:
                return
            except asyncio.LimitOverrunError:
                raise Babble from None
            yield line


@contextlib.asynccontextmanager
async def started(plan: Plan) -> AsyncIterator[Child]:
    """At the end the server and all that it started are gone. Raises OSError."""
    lifeline, ours = os.pipe()
    try:
        child = await _start(plan, lifeline)
    except BaseException:
        os.close(ours)
        raise
    finally:
        os.close(lifeline)
    try:
        yield child
    finally:
        child.input.close()
        os.close(ours)
        await _end(child)
        _log.info("server ended", session=child.name, code=child.transport.get_returncode())


async def _start(plan: Plan, lifeline: int) -> Child:
    loop = asyncio.get_running_loop()
    transport, streams = await loop.subprocess_exec(
        lambda: _Streams(MAX_LINE, loop),
        *(sys.executable, "-I", "-m", _KEEPER, str(lifeline)),
        env={PLAN: plan.encode()},
        pass_fds=(lifeline,),
        start_new_session=True,  # Ctrl-C is the bridge's alone, and the terminal isn't the server's
    )
    assert streams.stdin is not None  # noqa: S101 — for mypy: all three are pipes
    assert streams.stdout is not None  # noqa: S101
    assert streams.stderr is not None  # noqa: S101
    return Child(transport, streams.ended, secrets.token_hex(4), streams.stdin, streams.stdout, streams.stderr)


async def _end(child: Child) -> None:
    """The keeper ends by itself; if not, with its death comes its server's."""
    draining = [asyncio.create_task(_drain(stream)) for stream in (child.output, child.errors)]
    try:
        async with asyncio.timeout(_END_SECONDS):
            await child.ended.wait()
    except TimeoutError:
        child.transport.kill()
        await child.ended.wait()
    await asyncio.wait(draining, timeout=_DRAIN_SECONDS)
    child.transport.close()
    for task in draining:
        task.cancel()
    await asyncio.gather(*draining, return_exceptions=True)


async def _drain(stream: asyncio.StreamReader) -> None:
    """Or asyncio doesn't see the pipe's end."""
    while await stream.read(_CHUNK):
        pass
