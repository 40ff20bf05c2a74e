"""Loopback ports: find a free one, and see whether a service listens without touching it."""

from __future__ import annotations

import socket
from pathlib import Path
from secrets import randbelow
from typing import Final

from sallyport.cli.complaint import Complaint, Exit

LOOPBACK: Final = "127.0.0.1"
_FIRST: Final = 20_000
_COUNT: Final = 12_000  # below Linux's ephemeral range: no outgoing connection takes a port while a child restarts
_ATTEMPTS: Final = 200
_TABLES: Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_ADDRESSES: Final = ("0100007F", "0000000000000000FFFF00000100007F")  # 127.0.0.1, and as gRPC binds it: v4-mapped
_LISTEN: Final = "0A"  # the state's code in these tables


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError:
            return False
        return True


def free(taken: set[int]) -> int:
    """A port nobody listens on and that isn't in `taken`; it is added there."""
    for _ in range(_ATTEMPTS):
        port = _FIRST + randbelow(_COUNT)
        if port not in taken and is_free(port):
            taken.add(port)
            return port
    raise Complaint("no free loopback port found", "end what listens on ports 20000 to 31999", Exit.UNAVAILABLE)


def is_listening(port: int) -> bool:
    """Read from the kernel's table where there is one: a mere connection to the MCP port is audited as a failed TLS."""
    try:
        lines = [line for table in _TABLES for line in table.read_text(encoding="ascii").splitlines()]
    except OSError:
        return _accepts(port)
    wanted = {f"{address}:{port:04X}" for address in _ADDRESSES}
    return any(fields[1] in wanted and fields[3] == _LISTEN for line in lines if (fields := line.split()))


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex((LOOPBACK, port)) == 0
