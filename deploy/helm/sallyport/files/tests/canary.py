"""Somebody who answers everyone: on 8080, and as a false DNS on 53. After a quarter of an hour it shuts by itself."""

from __future__ import annotations

import selectors
import signal
import socket
import time

_PORTS = (8080, 53)
_LIFETIME = 900.0  # seconds: what an interrupted test leaves behind serves nobody


def serve() -> None:
    signal.signal(signal.SIGTERM, lambda *_: exit_now())
    ready = selectors.DefaultSelector()
    for port in _PORTS:
        ready.register(_listen(port, socket.SOCK_STREAM), selectors.EVENT_READ)
    ready.register(_listen(53, socket.SOCK_DGRAM), selectors.EVENT_READ)
    end = time.monotonic() + _LIFETIME
    while (left := end - time.monotonic()) > 0:
        for key, _ in ready.select(left):
            if isinstance(key.fileobj, socket.socket):
                _answer(key.fileobj)
    for key in list(ready.get_map().values()):
        ready.unregister(key.fileobj)
        key.fileobj.close()  # type: ignore[union-attr]
    signal.pause()


def exit_now() -> None:
    raise SystemExit(0)


def _listen(port: int, kind: socket.SocketKind) -> socket.socket:
    """Both families where the pod has both."""
    dual = socket.has_dualstack_ipv6()
    sock = socket.socket(socket.AF_INET6 if dual else socket.AF_INET, kind)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if dual:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.bind(("::" if dual else "0.0.0.0", port))
    if kind is socket.SOCK_STREAM:
        sock.listen()
    return sock


def _answer(sock: socket.socket) -> None:
    if sock.type is socket.SOCK_DGRAM:
        asked, address = sock.recvfrom(512)
        sock.sendto(asked, address)
    else:
        sock.accept()[0].close()
