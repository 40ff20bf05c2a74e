"""Addresses to listen on and to connect to: literal, so that no resolver that others own has a say."""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import Final
from urllib.parse import urlsplit

from sallyport.runtime import hosts

_MAX_PORT: Final = 65535
_UNIX: Final = "unix:"
_MAX_SOCKET_PATH: Final = 107  # sun_path of unix(7), without its final NUL
_MAX_NAME: Final = 253
_WIDEST: Final = 8
# Its last label has a letter first: resolvers read `127.1`, `2130706433` and `0x7f.1` as addresses.
_HOST: Final = re.compile(r"([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_PORT: Final = re.compile(r"[1-9][0-9]{0,4}")


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


def destination(text: str) -> str:
    """One host and port to connect to, as it may stand in an allowlist: compared as text, so it has one spelling."""
    host, _, port = text.rpartition(":")
    if not _PORT.fullmatch(port) or int(port) > _MAX_PORT:
        raise ValueError(f"{text!r} has no port from 1 to {_MAX_PORT} at its end; write db.example:5432")
    wrong = _not_a_host(host)
    if wrong:
        raise ValueError(f"{text!r} {wrong}")
    return text


def is_name(host: str) -> bool:
    """Whether the host of a destination must be looked up."""
    return _HOST.fullmatch(host) is not None


def subnet(text: str) -> str:
    """A network in its one spelling, no wider than an operator can answer for."""
    try:
        found = ipaddress.ip_network(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is no network ({error}); write 10.0.0.0/8 or fd00::/8") from None
    if text != found.compressed:
        raise ValueError(f"{text!r} is spelled otherwise than others spell it; write {found.compressed}")
    if found.prefixlen < _WIDEST:
        raise ValueError(f"{text!r} is wider than /{_WIDEST}; list where the host's addresses really lie")
    if closed := hosts.closed(found):
        raise ValueError(f"{text!r} {closed}")
    return text


def destination_of(url: str, port: int) -> str:
    """Where a URL leads, `port` being its scheme's, in the spelling of `destination`. Raises ValueError."""
    try:
        parts = urlsplit(url)
        host, named = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError("the URL names no single host and port") from None
    if ":" in host:
        host = f"[{ipaddress.IPv6Address(host).compressed}]"
    return destination(f"{host}:{port if named is None else named}")


def listening(host: str, port: int, backlog: int) -> socket.socket:
    """A socket that listens. On `::` it takes IPv4, too, and where the machine has no IPv6 it takes that alone."""
    if host != "::":
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=backlog)
    if not socket.has_dualstack_ipv6():
        return socket.create_server(("0.0.0.0", port), backlog=backlog)
    return socket.create_server((host, port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=backlog)


def unmapped(host: str) -> str:
    """A peer's address as policies and records know it: an IPv4 client of a socket for both isn't an IPv6 one."""
    mapped = host.removeprefix("::ffff:")
    return mapped if mapped != host and "." in mapped else host


def _not_a_host(host: str) -> str:
    """What is wrong with the host of a destination, or ""."""
    literal = host.removeprefix("[").removesuffix("]")
    try:
        address = ipaddress.ip_address(literal)
    except ValueError:
        if _HOST.fullmatch(host) and len(host) <= _MAX_NAME:
            return ""
        return "is no host: write a name in lower case or an IP address, IPv6 in brackets; no wildcard, no network"
    spelled = f"[{address.compressed}]" if address.version == 6 else str(address)  # noqa: PLR2004 — IPv6
    if host != spelled and "%" not in host:
        return f"is spelled otherwise than it is compared; write {spelled}"
    return hosts.wrong(address)
