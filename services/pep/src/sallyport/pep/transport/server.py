"""Listeners: several in one process and one loop; signals are the caller's."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import Coroutine
from email.utils import formatdate
from typing import Any, Final, TypeVar

import uvloop
from starlette.types import ASGIApp
from uvicorn.config import Config
from uvicorn.server import ServerState

from sallyport.pep.transport.crowd import Crowd
from sallyport.pep.transport.door import Door
from sallyport.pep.transport.limits import Limits
from sallyport.pep.transport.protocol import HttpProtocol, OnRefused
from sallyport.runtime.addresses import is_loopback, listening, unmapped

T = TypeVar("T")
_CANCEL_SECONDS: Final = 5.0  # for cancelled requests to record their outcome
_ACCEPT_PAUSE: Final = 0.05
_BACKLOG: Final = 1024
_VANISHED_MS: Final = 30_000  # a peer that acknowledges nothing of what was sent for so long is gone (RFC 5482)


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run the process's main coroutine on uvloop, named here and never guessed."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


async def serve(
    app: ASGIApp, listen: str, *, tls: ssl.SSLContext | None, limits: Limits, on_refused: OnRefused
) -> Running:
    """Listen on `listen` ("127.0.0.1:0", "[::1]:8443"), and return when connections are taken.

    Raises ValueError for plain HTTP beyond loopback, a context that speaks less than TLS 1.3 or a malformed address,
    OSError where the address can't be bound. The app gets no lifespan events: nothing of ours begins in one.
    """
    host, port = _address(listen)
    if tls is None and not is_loopback(host):
        raise ValueError(f"plain HTTP on {listen}: only a loopback address may be without TLS; configure tls")
    if tls is not None and tls.minimum_version is not ssl.TLSVersion.TLSv1_3:
        raise ValueError("the TLS context allows versions below 1.3; make it with sallyport.runtime.tls")
    running = Running(app, tls, limits, on_refused)
    running._start(host, port)  # noqa: SLF001 — the two are one
    return running


class Running:
    """One listener at work."""

    def __init__(self, app: ASGIApp, tls: ssl.SSLContext | None, limits: Limits, on_refused: OnRefused) -> None:
        self._config = Config(
            app,
            http=HttpProtocol,
            loop="uvloop",
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
        )
        self._config.load()
        self._tls, self._limits, self._on_refused = tls, limits, on_refused
        self._state, self._crowd = ServerState(), Crowd[Door](limits)
        self._accepting: asyncio.Task[None] | None = None
        self._clock: asyncio.TimerHandle | None = None
        self._draining = False
        self.port = 0

    @property
    def connections(self) -> int:
        return len(self._crowd)

    async def emptied(self) -> None:
        """Wait until no connection is open."""
        await self._crowd.emptied()

    def renew(self, tls: ssl.SSLContext, *, distrust: bool) -> None:
        """Newcomers meet this context; who is here stays, unless `distrust`: then client certificates are shown again."""
        self._tls = tls
        if distrust:
            for door in self._crowd.everyone():
                door.distrust()

    def drain(self) -> None:
        """Go on accepting and answering, but let every answer be its connection's last: the pools behind look elsewhere.

        A connection that waits is left alone: closed now, it would meet the request that is on its way to us.
        """
        self._draining = True
        for door in self._crowd.everyone():
            door.answer_last()

    def stop_accepting(self) -> None:
        """Close the listening socket; connections that are open go on."""
        if self._accepting is not None:
            self._accepting.cancel()
            self._accepting = None

    async def stop(self, grace: float) -> None:
        """Answer what has begun within `grace` seconds, cancel what is left."""
        self.stop_accepting()
        for door in self._crowd.everyone():
            door.shutdown()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._crowd.emptied()
        await self._cut_the_rest()
        if self._clock is not None:
            self._clock.cancel()

    def _start(self, host: str, port: int) -> None:
        listener = listening(host, port, _BACKLOG)
        self._tick()
        listener.setblocking(False)
        self.port = listener.getsockname()[1]
        self._accepting = asyncio.get_running_loop().create_task(self._accept(listener))

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with listener:
            while True:
                try:
                    connection, peer = await loop.sock_accept(listener)
                except OSError:  # out of descriptors, or a peer that has gone: neither may end the service
                    await asyncio.sleep(_ACCEPT_PAUSE)
                    continue
                _let_go_of_the_vanished(connection)
                door = Door(unmapped(peer[0]), self._crowd, self._limits, self._on_refused, self._tls)
                door.enter(connection, self._open)

    def _open(self, entry: Door) -> HttpProtocol:
        made = HttpProtocol(self._config, self._state, {}, self._limits, self._on_refused, self._crowd, entry)
        if self._draining:
            made.answer_last()
        return made

    async def _cut_the_rest(self) -> None:
        tasks = list(self._state.tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_CANCEL_SECONDS)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._limits.linger_seconds if tasks else 0):
                await self._crowd.emptied()
        for connection in self._crowd.everyone():
            connection.abort()

    def _tick(self) -> None:
        # RFC 9110 §6.6.1: an origin server with a clock sends Date.
        self._state.default_headers = [(b"date", formatdate(time.time(), usegmt=True).encode())]
        self._clock = asyncio.get_running_loop().call_later(1.0, self._tick)


def _let_go_of_the_vanished(connection: socket.socket) -> None:
    option = getattr(socket, "TCP_USER_TIMEOUT", None)  # Linux; elsewhere the system's own patience, which is longer
    with contextlib.suppress(OSError):  # gone already
        if option is not None:
            connection.setsockopt(socket.IPPROTO_TCP, option, _VANISHED_MS)


def _address(listen: str) -> tuple[str, int]:
    host, colon, port = listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:  # noqa: PLR2004 — RFC 9293
        raise ValueError(f"{listen!r} is no address to listen on; write host:port, such as 127.0.0.1:8443")
    return host, int(port)
