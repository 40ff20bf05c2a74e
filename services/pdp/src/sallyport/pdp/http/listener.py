"""A listening socket and its connections.

The sockets are accepted here, not by the loop's own server, so that a connection in its TLS handshake already counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import structlog
from aiohttp import web

from sallyport.pdp.http.connection import Answered, Connection, unheard
from sallyport.pdp.http.exchange import Routes, exchange
from sallyport.pdp.http.limits import Limits
from sallyport.runtime import addresses
from sallyport.runtime.accepted import Accepted
from sallyport.runtime.certificates import Certificates
from sallyport.runtime.followed import Followed
from sallyport.runtime.problems import ConfigError

_BACKLOG: Final = 128
_ACCEPT_PAUSE: Final = 0.05
Admits: TypeAlias = Callable[[bytes], bool]  # a verified certificate, DER: is it of one who may ask?
_log: Final = structlog.get_logger()


class Listener:
    """Serves `routes` and nothing else."""

    def __init__(
        self,
        name: str,
        routes: Routes,
        limits: Limits,
        certificates: Followed[Certificates] | None = None,
        *,
        admits: Admits | None = None,
        answered: Answered = unheard,
    ) -> None:
        """`name` is the setting that holds the address, for who reads the error. Without `admits` nobody is a stranger.

        With `certificates` it is mutual TLS, and they are followed while it listens.
        """
        self._name, self._limits, self._certificates = name, limits, certificates
        self._tls = None if certificates is None else certificates.value.contexts["required"]
        self._admits, self._answered = admits, answered
        self._manager = web.Server(functools.partial(exchange, routes=routes, limits=limits))
        # Two pools: whatever strangers do, nobody who may ask loses a place to them (N26).
        self._strangers: set[_Door] = set()
        self._doors: set[_Door] = set()
        self._accepting: asyncio.Task[None] | None = None
        self._following: asyncio.Task[None] | None = None

    @property
    def certificates(self) -> Followed[Certificates] | None:
        return self._certificates

    async def start(self, address: str) -> str:
        """The address as bound. Raises ConfigError where it can't be."""
        host, port = addresses.split(address)
        try:
            listener = addresses.listening(host, port, _BACKLOG)
        except OSError as error:
            message = f"can't be bound ({error.strerror}); choose another address"
            raise ConfigError.about(f"{self._name} {address}", message) from None
        listener.setblocking(False)
        self._accepting = asyncio.get_running_loop().create_task(self._accept(listener))
        if self._certificates is not None:
            self._following = asyncio.get_running_loop().create_task(self._certificates.watch(self._renewed))
        bound = addresses.network(f"{address.rpartition(':')[0]}:{listener.getsockname()[1]}")
        _log.info("http port open", setting=self._name, address=bound)
        return bound

    async def stop(self, seconds: float) -> None:
        """Take no more, answer what has begun within `seconds`, and cut the rest."""
        tasks = [task for task in (self._accepting, self._following) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._manager.pre_shutdown()  # else the idle ones would be waited for, too
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._manager.shutdown(seconds)
        for door in (*self._strangers, *self._doors):
            door.cut()

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with listener:
            while True:
                try:
                    accepted, peer = await loop.sock_accept(listener)
                except OSError:  # out of descriptors, or a peer that has gone: neither may end the service
                    await asyncio.sleep(_ACCEPT_PAUSE)
                    continue
                self._enter(accepted, peer[0])
                await asyncio.sleep(0)  # a burst of newcomers must not hold up the handshakes before it

    def _enter(self, accepted: socket.socket, peer: str) -> None:
        if not _make_room(self._strangers, self._limits.strangers):
            accepted.close()
            return
        door = _Door(_holder(peer), self._leave)
        door.connection = Connection(
            self._manager,
            self._limits,
            self._answered,
            arrived=functools.partial(self._arrive, door),
            gone=functools.partial(self._leave, door),
        )
        self._strangers.add(door)
        door.open(accepted, self._tls, self._limits)

    def _arrive(self, door: _Door) -> None:
        """Its handshake is done. Who may not ask stays among the strangers, for as long as an answer takes."""
        if self._admits is not None and not self._admits(door.connection.certificate or b""):
            return
        self._strangers.discard(door)
        if _make_room(self._doors, self._limits.connections):
            self._doors.add(door)
        else:
            door.cut()

    def _renewed(self, older: Certificates, newer: Certificates) -> None:
        """Newcomers meet the new ones. Where a client CA went, everybody has to show his certificate again."""
        self._tls = newer.contexts["required"]
        if newer.drops(older):
            for door in (*self._strangers, *self._doors):
                door.distrust()

    def _leave(self, door: _Door) -> None:
        self._strangers.discard(door)
        self._doors.discard(door)


def _holder(peer: str) -> bytes:
    """Of IPv6 the network, since one host has all of its addresses; what follows a % names an interface of ours."""
    host = addresses.unmapped(peer.partition("%")[0])
    return socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)[:8]


def _make_room(doors: set[_Door], most: int) -> bool:
    """A newcomer takes the place of who has waited longest without asking, of the address that holds most places.

    False where all are at work.
    """
    if len(doors) < most:
        return True
    held = Counter(door.holder for door in doors)
    waiting = [door for door in doors if not door.connection.busy]
    longest = min(waiting, key=lambda door: (-held[door.holder], door.connection.since), default=None)
    if longest is not None:
        longest.cut()
    return longest is not None


class _Door:
    """One accepted connection: its handshake until HTTP takes over, and its place until it ends."""

    connection: Connection

    def __init__(self, holder: bytes, leave: Callable[[_Door], None]) -> None:
        self.holder = holder  # the address that has this place
        self._leave = functools.partial(leave, self)
        self._handshake: asyncio.Task[None] | None = None  # the loop alone keeps no strong reference
        self._accepted: Accepted | None = None

    def open(self, accepted: socket.socket, tls: ssl.SSLContext | None, limits: Limits) -> None:
        self._accepted = Accepted(accepted)
        self._handshake = asyncio.get_running_loop().create_task(self._shake_hands(self._accepted, tls, limits))

    def distrust(self) -> None:
        """What is asked is answered, and nothing more; a handshake under way may rest on a CA that went."""
        if self.connection.opened:
            self.connection.retire()
        else:
            self.cut()

    def cut(self) -> None:
        self._leave()
        if self._handshake is not None and self._accepted is not None:
            self._handshake.cancel()
            self._accepted.hang_up()
        self.connection.abort()

    async def _shake_hands(self, accepted: Accepted, tls: ssl.SSLContext | None, limits: Limits) -> None:
        options: dict[str, Any] = {}
        if tls is not None:
            options = {
                "ssl": tls,
                "ssl_handshake_timeout": limits.handshake_seconds,
                "ssl_shutdown_timeout": limits.linger_seconds,
            }
        # OSError: ssl.SSLError is one, and a peer that leaves in mid-handshake.
        with contextlib.suppress(OSError):
            await accepted.hand_over(lambda: self.connection, **options)
        self._handshake = None
        if not self.connection.opened:
            self._leave()
