"""One GET over a connection to an opponent: within a time and a size, whatever is sent how slowly."""

from __future__ import annotations

import http.client
import io
import socket
import time
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Final, TypeAlias, cast

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_MAX_BODY: Final = 4 << 20

Wrap: TypeAlias = Callable[[socket.socket], socket.socket]


def get(end: socket.socket, wrap: Wrap, path: str, until: float) -> tuple[int, bytes]:
    """Status and body; `wrap` may make it TLS. Raises OSError, at `until` (monotonic) at the latest."""
    end.settimeout(_left(until))
    with closing(wrap(end)) as wrapped:
        wrapped.settimeout(_left(until))
        wrapped.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        answer = http.client.HTTPResponse(cast("socket.socket", _Source(wrapped, until)), method="GET")
        try:
            answer.begin()
            body = answer.read(_MAX_BODY + 1)
        except (http.client.HTTPException, ValueError) as error:  # of a chunk of negative length, too
            raise ConnectionError(f"no HTTP answer ({type(error).__name__})") from None
    if len(body) > _MAX_BODY:
        raise ConnectionError(f"its answer has more than {_MAX_BODY} bytes")
    return answer.status, body


class _Source(io.RawIOBase):
    """What a response reads from: a socket's own timeout is for one byte, and this one for all of them."""

    def __init__(self, end: socket.socket, until: float) -> None:
        self._end = end
        self._until = until

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        self._end.settimeout(_left(self._until))
        return self._end.recv_into(buffer)


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("no whole answer in time")
    return left
