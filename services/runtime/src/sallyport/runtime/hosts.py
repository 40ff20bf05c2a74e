"""Which addresses the gate may connect to: one host each, and none where a cloud hands out its credentials."""

from __future__ import annotations

import ipaddress
from typing import Final, TypeAlias

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_MANY: Final = "is no address of one host"
_METADATA: Final = "is no destination: a cloud's metadata service answers there, and nothing that a tool needs"
_INSIDE: Final = "leads to the IPv4 address inside it; write that one, or a name"
_REFUSED: Final = tuple(
    (ipaddress.ip_network(network), why)
    for network, why in (
        ("0.0.0.0/8", _MANY),
        ("224.0.0.0/4", _MANY),
        ("255.255.255.255/32", _MANY),
        ("::/128", _MANY),
        ("ff00::/8", _MANY),
        ("::ffff:0:0/96", f"{_MANY}: as an IPv4-mapped one it {_INSIDE}"),
        ("169.254.0.0/16", "is a link-local address: metadata services answer there, and nothing that a tool needs"),
        ("fe80::/10", "is a link-local address: metadata services answer there, and nothing that a tool needs"),
        ("168.63.129.16/32", _METADATA),
        ("100.100.100.200/32", _METADATA),
        ("192.0.0.192/32", _METADATA),
        ("fd00:ec2::254/128", _METADATA),
        ("fd00:ec2::23/128", _METADATA),
        ("fd20:ce::254/128", _METADATA),
        ("fd00:42::42/128", _METADATA),
        ("64:ff9b::/96", f"is a NAT64 address and {_INSIDE}"),
        ("64:ff9b:1::/48", f"is a NAT64 address and {_INSIDE}"),
        ("2002::/16", f"is a 6to4 address and {_INSIDE}"),
        ("2001::/32", f"is a Teredo address and {_INSIDE}"),
        ("::ffff:0:0:0/96", f"is an IPv4-translated address and {_INSIDE}"),
    )
)
_PRIVATE: Final = "is a private address"
_PAPER: Final = "is for documents and belongs to nobody"
_SPECIAL: Final = tuple(
    (ipaddress.ip_network(network), what)
    for network, what in (
        ("10.0.0.0/8", _PRIVATE),
        ("172.16.0.0/12", _PRIVATE),
        ("192.168.0.0/16", _PRIVATE),
        ("127.0.0.0/8", "is this machine's own address"),
        ("100.64.0.0/10", "is a carrier's or a cluster's inner address (RFC 6598)"),
        ("192.0.0.0/24", "is set aside for protocols"),
        ("192.88.99.0/24", "is a 6to4 relay's"),
        ("198.18.0.0/15", "is for benchmarks"),
        ("192.0.2.0/24", _PAPER),
        ("198.51.100.0/24", _PAPER),
        ("203.0.113.0/24", _PAPER),
        ("240.0.0.0/4", "is reserved"),
        ("2001::/23", "is set aside for protocols"),
        ("2001:db8::/32", _PAPER),
        ("3fff::/20", _PAPER),
    )
)
_WORLD: Final = ipaddress.IPv6Network("2000::/3")  # all that is given out; ULA, loopback and the reserved lie outside
_COMPATIBLE: Final = ipaddress.IPv6Network("::/96")
_ISATAP: Final = 0x5EFE  # RFC 5214: ...:0:5efe:a.b.c.d, or 200:5efe where the IPv4 address is the world's


def wrong(address: Address) -> str:
    """Why nothing may connect to it, or ""."""
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        return "names an interface of this machine, which differs from one to the next; leave out % and what follows"
    for network, why in _REFUSED:
        if address in network:
            return why
    return _tunnel(address) if isinstance(address, ipaddress.IPv6Address) else ""


def special(address: Address) -> str:
    """Why it isn't just somebody's address in the world, or "". A name in DNS leads there only by leave."""
    if isinstance(address, ipaddress.IPv6Address) and address not in _WORLD:
        return "is this machine's own, a private or a reserved IPv6 address"
    return next((what for network, what in _SPECIAL if address in network), "")


def closed(network: Network) -> str:
    """Why nothing at all in a network may be connected to, or ""."""
    return next((why for refused, why in _REFUSED if _within(network, refused)), "")


def _within(inner: Network, outer: Network) -> bool:
    return inner.version == outer.version and inner.subnet_of(outer)  # type: ignore[arg-type]  # of one version


def _tunnel(address: ipaddress.IPv6Address) -> str:
    if address in _COMPATIBLE and not address.is_loopback:
        return f"is an IPv4-compatible address and {_INSIDE}"
    if int(address) >> 32 & 0xFDFFFFFF == _ISATAP:
        return f"is an ISATAP address and {_INSIDE}"
    return ""
