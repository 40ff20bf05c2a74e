"""A connection that was accepted and isn't handed over yet: the moments in which nobody but us can end it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any


class Accepted:
    """One socket on its way to a protocol, through the TLS handshake if there is one."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._begun = False

    async def hand_over(self, protocol: Callable[[], asyncio.BaseProtocol], **options: Any) -> None:
        """Raises OSError where the handshake fails; `options` are those of connect_accepted_socket."""
        self._begun = True
        await asyncio.get_running_loop().connect_accepted_socket(protocol, self._connection, **options)

    def hang_up(self) -> None:
        """Where the task that hands it over is cancelled. One that never ran leaves the socket to us; asyncio has it else."""
        if not self._begun:
            self._connection.close()
