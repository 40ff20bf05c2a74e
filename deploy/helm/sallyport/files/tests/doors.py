"""One door, knocked at: whether whoever stands behind it answers.

A refusal by the host itself (a TCP reset) isn't closed, for the packet got there; a firewall's refusal (ICMP) is.
"""

from __future__ import annotations

import errno
import socket
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

_UNREACHABLE = {
    *(errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EPERM),  # by ICMP, or by this pod's own firewall
    *(errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.ENETDOWN),  # no address of that family in this pod
}
# (level, option) that keeps ICMP errors for us to read: IP_RECVERR and IPV6_RECVERR, which Python doesn't name.
_KEEP_ERRORS = {socket.AF_INET: (socket.IPPROTO_IP, 11), socket.AF_INET6: (socket.IPPROTO_IPV6, 25)}
_ORIGIN = slice(4, 5)  # in struct sock_extended_err
_BY_ICMP = {b"\x02", b"\x03"}


class State(StrEnum):
    OPEN = "open"
    REFUSED = "refused"  # by the host itself: nobody listens, and the packet got there
    CLOSED = "closed"
    UNKNOWN = "unknown"  # not tried: its name isn't known


@dataclass(frozen=True, slots=True)
class Answer:
    state: State
    why: str


@dataclass(frozen=True, slots=True)
class Door:
    host: str
    port: int
    what: str
    question: bytes = b""  # sent by UDP; empty: a TCP connection is tried

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}{'/udp' if self.question else ''}"


def door(address: str, what: str) -> Door:
    """From HOST:PORT or [ADDRESS]:PORT."""
    host, _, port = address.rpartition(":")
    return Door(host.strip("[]"), int(port), what)


def knock(at: Door, seconds: float) -> Answer:
    """As the one of its addresses that answers most."""
    try:
        found = socket.getaddrinfo(at.host, at.port, type=socket.SOCK_DGRAM if at.question else socket.SOCK_STREAM)
    except socket.gaierror as error:
        return Answer(State.UNKNOWN, f"not tried: the name isn't known ({error.strerror})")
    answers = [_knock(at, family, address, seconds) for family, _, _, _, address in found]
    return min(answers, key=lambda answer: list(State).index(answer.state))


def _knock(at: Door, family: socket.AddressFamily, address: Any, seconds: float) -> Answer:
    try:
        with socket.socket(family, socket.SOCK_DGRAM if at.question else socket.SOCK_STREAM) as sock:
            sock.settimeout(seconds)
            sock.setsockopt(*_KEEP_ERRORS[family], 1)
            return _try(sock, address, at.question)
    except TimeoutError:
        return Answer(State.CLOSED, f"no answer in {seconds:g} s")
    except OSError as error:
        if error.errno not in _UNREACHABLE:
            raise
        return Answer(State.CLOSED, str(error.strerror).lower())


def _try(sock: socket.socket, address: Any, question: bytes) -> Answer:
    began = time.monotonic()
    try:
        sock.connect(address)
        if question:
            _ask(sock, question)
    except ConnectionRefusedError:
        if question or _came_by_icmp(sock):
            return Answer(State.CLOSED, "refused on the way (ICMP)")
        return Answer(State.REFUSED, "refused by the host itself: the packet got there")
    return Answer(
        State.OPEN, f"{'answered' if question else 'connected'} in {(time.monotonic() - began) * 1000:.0f} ms"
    )


def _ask(sock: socket.socket, question: bytes) -> None:
    """By UDP, twice within the time: one packet may get lost. Raises TimeoutError."""
    patience = sock.gettimeout() or 0.0
    sock.settimeout(patience / 2)
    sock.send(question)
    try:
        sock.recv(4096)
    except TimeoutError:
        sock.send(question)
        sock.recv(4096)


def _came_by_icmp(sock: socket.socket) -> bool:
    """Some networks refuse instead of dropping, by a message that connect() reports like a reset. Linux 5.16 keeps it."""
    sock.setblocking(False)
    try:
        _, kept, _, _ = sock.recvmsg(0, 512, socket.MSG_ERRQUEUE)
    except BlockingIOError:
        return False
    return any(error[_ORIGIN] in _BY_ICMP for _, _, error in kept)
