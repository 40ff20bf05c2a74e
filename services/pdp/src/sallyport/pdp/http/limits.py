"""The bounds of a listener. Every one holds on every path of it, error answers included."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes, counts and seconds. All deadlines are absolute: no byte that arrives moves one."""

    body_bytes: int = 0
    header_count: int = 64
    header_bytes: int = 8_190  # of one line; a request's target counts as one
    idle_seconds: float = 5.0  # until a request's head is whole, from the connection's start or the last answer
    receive_seconds: float = 5.0  # a body, from its head
    request_seconds: float = 15.0  # a whole exchange, until the peer has taken the answer
    handshake_seconds: float = 5.0
    linger_seconds: float = 0.5  # for a peer to take the last answer before the connection is cut
    connections: int = 64
    strangers: int = 128  # beside them, those who haven't shown yet that they may ask
