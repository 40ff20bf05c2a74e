"""The bounds of room 0. Every one holds on every path of a listener, error answers included."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes, counts and seconds. All deadlines are absolute: no byte that arrives moves one."""

    body_bytes: int = 1_048_576
    header_count: int = 64
    header_bytes: int = 16_384  # names, values and separators together
    target_bytes: int = 2_048
    receive_seconds: float = 10.0  # a whole request, from the connection's start or the request's first byte
    # Between two requests of one connection: longer than the 5 s after which common clients let go of theirs, so that
    # none sends on what we are closing, and shorter than a drain.
    idle_seconds: float = 8.0
    handshake_seconds: float = 5.0
    linger_seconds: float = 0.5  # for a peer to take the last answer before the connection is cut
    connections: int = 512

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) <= 0:
                raise ValueError(f"limits.{name} must be more than 0")
