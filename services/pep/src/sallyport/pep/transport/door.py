"""What stands behind accept(): a place in the crowd, then the TLS handshake, then HTTP.

The sockets are accepted here, not by the loop's own server, because only so a failed handshake is seen, with the
peer's address: both event loops swallow it otherwise.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Any, TypeAlias

from sallyport.pep.refusal import Reason
from sallyport.pep.transport.crowd import Crowd
from sallyport.pep.transport.limits import Limits
from sallyport.pep.transport.protocol import HttpProtocol, OnRefused
from sallyport.runtime.accepted import Accepted

Open: TypeAlias = Callable[["Door"], HttpProtocol]


class Door:
    """One accepted connection: its handshake until HTTP takes over, and its entry in the crowd until it ends."""

    def __init__(
        self, address: str, crowd: Crowd[Door], limits: Limits, on_refused: OnRefused, tls: ssl.SSLContext | None
    ) -> None:
        self.address = address
        self._crowd, self._limits, self._on_refused, self._tls = crowd, limits, on_refused, tls
        self._protocol: HttpProtocol | None = None
        self._handshake: asyncio.Task[None] | None = None  # the loop alone keeps no strong reference
        self._accepted: Accepted | None = None
        self._cut = False

    def enter(self, connection: socket.socket, open_: Open) -> None:
        """Take a place, and start the handshake; where there is no place, close."""
        if not self._crowd.admit(self):
            connection.close()
            self._on_refused(Reason.OVERLOADED, "all connections are at work", self.address)
            return
        self._protocol = open_(self)
        self._accepted = Accepted(connection)
        self._handshake = asyncio.get_running_loop().create_task(self._shake_hands(self._accepted, self._protocol))

    def answer_last(self) -> None:
        """Its next answer, or the one under way, says that it is the connection's last."""
        if self._protocol is not None:
            self._protocol.answer_last()

    def shutdown(self) -> None:
        """Let what has begun be answered, a handshake's first request too; nothing else keeps it open."""
        if self._protocol is not None:
            self._protocol.shutdown()

    def distrust(self) -> None:
        """Shut it down if a client certificate speaks for the peer, or is about to."""
        if self._protocol is not None:
            self._protocol.distrust()

    def cut(self, detail: str) -> None:
        """End the connection at once, in whichever state it is, and say why."""
        self._on_refused(Reason.OVERLOADED, detail, self.address)
        self.abort()

    def abort(self) -> None:
        self._cut = True
        self._crowd.leave(self)
        if self._handshake is not None and self._accepted is not None:
            self._handshake.cancel()
            self._accepted.hang_up()
        if self._protocol is not None and self._protocol.opened:
            self._protocol.transport.abort()

    async def _shake_hands(self, connection: Accepted, protocol: HttpProtocol) -> None:
        options: dict[str, Any] = {}
        if self._tls is not None:
            options["ssl"] = self._tls
            options["ssl_handshake_timeout"] = self._limits.handshake_seconds
            options["ssl_shutdown_timeout"] = self._limits.linger_seconds
        failure = "closed during the handshake"
        try:
            await connection.hand_over(lambda: protocol, **options)
        except OSError as error:  # ssl.SSLError is one
            failure = _why(error)
        self._handshake = None
        # A peer that leaves in mid-handshake can make the call return without an error, and without a connection.
        if not protocol.opened and not self._cut:
            self._crowd.leave(self)
            self._on_refused(Reason.TLS, failure, self.address)


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"client certificate: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return (error.reason or "TLS error").lower().replace("_", " ")
    return (
        "handshake timeout" if isinstance(error, ConnectionAbortedError | TimeoutError) else "closed during handshake"
    )
