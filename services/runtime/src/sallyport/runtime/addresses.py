"""Addresses to listen on and to connect to: literal, so that no resolver that others own has a say."""

from __future__ import annotations

import ipaddress
from typing import Final

_MAX_PORT: Final = 65535
_UNIX: Final = "unix:"
_MAX_SOCKET_PATH: Final = 107  # sun_path of unix(7), without its final NUL


def split(address: str) -> tuple[str, int]:
    """host:port with a literal IP address, IPv6 in brackets; `localhost` is 127.0.0.1 and never looked up."""
    host, _, port = address.rpartition(":")
    host = "127.0.0.1" if host == "localhost" else host.removeprefix("[").removesuffix("]")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise ValueError(f"{address!r} is not an IP address and a port; write 127.0.0.1:8443 or [::1]:8443") from None
    if not (port.isascii() and port.isdigit() and int(port) <= _MAX_PORT):
        raise ValueError(f"{address!r} has no port from 0 to {_MAX_PORT} at its end; write 127.0.0.1:8443")
    return host, int(port)


def network(address: str) -> str:
    """Any address, in one spelling."""
    host, port = split(address)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def same_machine(address: str) -> str:
    """Loopback, or a unix socket by absolute path: what is said here never leaves the pod or machine."""
    if address.startswith("unix"):
        path = address.removeprefix(_UNIX)
        if not path.startswith("/") or len(path.encode()) > _MAX_SOCKET_PATH or "\0" in path:
            raise ValueError(f"{address!r} is not unix:/absolute/path of at most {_MAX_SOCKET_PATH} bytes")
        return address
    host, port = split(address)
    if not is_loopback(host):
        raise ValueError(f"{address!r} is not on loopback: the PDP never sees the network; use 127.0.0.1:{port}")
    return network(address)


def is_loopback(host: str) -> bool:
    """Whether a literal address is; a name may resolve to anything, so it is not."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
