"""Connections that count every byte that comes: HTTP's framing has no end of its own, and costs as much as an answer does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import aiohttp
from aiohttp.client_proto import ResponseHandler

_FRAMING: Final = 256 << 10  # bytes around an answer, beside as many as may stand in it: heads, chunk sizes
_RATE: Final = 64 << 10  # bytes a second around what a stream without end carries
_BURST: Final = 16.0  # seconds of it at once: a buffer of what isn't parsed yet looks like it, too


class AllFraming(aiohttp.ClientPayloadError):
    """More came around an answer than it may hold."""


@dataclass(slots=True)
class Together:
    """All connections to one upstream: as long as one of them lasts, it is the same server that answers."""

    made: Callable[[], None]
    lost: Callable[[], None]
    open: int = 0

    def one_made(self) -> None:
        self.open += 1
        self.made()

    def one_lost(self, *, by_the_server: bool) -> None:
        self.open -= 1
        if by_the_server or not self.open:
            self.lost()


class Counted(ResponseHandler):
    """`begin` says what one answer may cost; until then nothing is expected."""

    def __init__(self, loop: asyncio.AbstractEventLoop, together: Together) -> None:
        super().__init__(loop)
        self._together = together
        self._hung_up = False  # the server has
        self.received = 0  # since `begin`
        self._most: int | None = _FRAMING
        self._charged, self._paid = 0, 0.0
        self._is_cut = False

    def begin(self, max_bytes: int | None) -> None:
        """One answer of so many bytes comes next, or a stream without end."""
        self.received = self._charged = 0
        self._paid = 0.0
        self._most = None if max_bytes is None else 2 * max_bytes + _FRAMING

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._together.one_made()

    def eof_received(self) -> None:
        self._hung_up = True
        super().eof_received()

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self._together.one_lost(by_the_server=self._hung_up or exc is not None)

    def data_received(self, data: bytes) -> None:
        """Also called without data, once more of what was received may be parsed."""
        if self._is_cut:
            return
        super().data_received(data)
        self.received += len(data)
        if self._is_too_much():
            self._cut()

    def _is_too_much(self) -> bool:
        if self._most is not None:
            return self.received > self._most
        around = self.received - (self._payload.total_bytes if self._payload is not None else 0)
        now = self._loop.time()
        self._paid = max(self._paid, now - _BURST) + (around - self._charged) / _RATE
        self._charged = around
        return self._paid > now

    def _cut(self) -> None:
        self._is_cut, error = True, AllFraming("more around an answer than in it")
        if self._payload is not None:
            self._payload.set_exception(error)
        self.set_exception(error)
        self._parser = None  # which would say at the end that something is missing
        if self.transport is not None:
            self.transport.abort()
