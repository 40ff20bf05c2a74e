"""A listening socket and its connections.

The sockets are accepted here, not by the loop's own server, so that a connection in its TLS handshake already counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import ssl
from collections.abc import Callable
from typing import Any, Final

import structlog
from aiohttp import web

from sallyport.pdp.http.connection import Connection
from sallyport.pdp.http.exchange import Routes, exchange
from sallyport.pdp.http.limits import Limits
from sallyport.runtime import addresses
from sallyport.runtime.problems import ConfigError

_BACKLOG: Final = 128
_ACCEPT_PAUSE: Final = 0.05
_log: Final = structlog.get_logger()


class Listener:
    """Serves `routes` and nothing else."""

    def __init__(self, name: str, routes: Routes, limits: Limits, tls: ssl.SSLContext | None = None) -> None:
        """`name` is the setting that holds the address, for who reads the error."""
        self._name, self._limits, self._tls = name, limits, tls
        self._manager = web.Server(functools.partial(exchange, routes=routes, limits=limits))
        self._doors: dict[_Door, None] = {}  # oldest first
        self._accepting: asyncio.Task[None] | None = None

    async def start(self, address: str) -> str:
        """The address as bound. Raises ConfigError where it can't be."""
        host, port = addresses.split(address)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
        except OSError as error:
            message = f"can't be bound ({error.strerror}); choose another address"
            raise ConfigError.about(f"{self._name} {address}", message) from None
        listener.setblocking(False)
        self._accepting = asyncio.get_running_loop().create_task(self._accept(listener))
        bound = addresses.network(f"{address.rpartition(':')[0]}:{listener.getsockname()[1]}")
        _log.info("http port open", setting=self._name, address=bound)
        return bound

    async def stop(self, seconds: float) -> None:
        """Take no more, answer what has begun within `seconds`, and cut the rest."""
        if self._accepting is not None:
            self._accepting.cancel()
            await asyncio.wait([self._accepting])
        self._manager.pre_shutdown()  # else the idle ones would be waited for, too
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._manager.shutdown(seconds)
        for door in list(self._doors):
            door.cut()

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with listener:
            while True:
                try:
                    accepted, _ = await loop.sock_accept(listener)
                except OSError:  # out of descriptors, or a peer that has gone: neither may end the service
                    await asyncio.sleep(_ACCEPT_PAUSE)
                    continue
                self._enter(accepted)

    def _enter(self, accepted: socket.socket) -> None:
        """A newcomer takes the place of whoever has waited longest without asking; where all are at work, it goes."""
        if len(self._doors) >= self._limits.connections:
            silent = next((door for door in self._doors if not door.connection.busy), None)
            if silent is None:
                accepted.close()
                return
            silent.cut()
        door = _Door(self._manager, self._limits, self._leave)
        self._doors[door] = None
        door.open(accepted, self._tls)

    def _leave(self, door: _Door) -> None:
        self._doors.pop(door, None)


class _Door:
    """One accepted connection: its handshake until HTTP takes over, and its place until it ends."""

    def __init__(self, manager: web.Server, limits: Limits, leave: Callable[[_Door], None]) -> None:
        self._limits = limits
        self._leave = functools.partial(leave, self)
        self._handshake: asyncio.Task[None] | None = None  # the loop alone keeps no strong reference
        self.connection = Connection(manager, limits, self._leave)

    def open(self, accepted: socket.socket, tls: ssl.SSLContext | None) -> None:
        self._handshake = asyncio.get_running_loop().create_task(self._shake_hands(accepted, tls))

    def cut(self) -> None:
        self._leave()
        if self._handshake is not None:
            self._handshake.cancel()
        self.connection.abort()

    async def _shake_hands(self, accepted: socket.socket, tls: ssl.SSLContext | None) -> None:
        options: dict[str, Any] = {}
        if tls is not None:
            options = {
                "ssl": tls,
                "ssl_handshake_timeout": self._limits.handshake_seconds,
                "ssl_shutdown_timeout": self._limits.linger_seconds,
            }
        # OSError: ssl.SSLError is one, and a peer that leaves in mid-handshake.
        with contextlib.suppress(OSError):
            await asyncio.get_running_loop().connect_accepted_socket(lambda: self.connection, accepted, **options)
        self._handshake = None
        if not self.connection.opened:
            self._leave()
