"""An address in every spelling that some resolver, library or browser takes for it, and names that lead home."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Final

INNER: Final = ("127.0.0.1", "0.0.0.0", "169.254.169.254", "10.0.0.1", "172.16.0.1", "192.168.0.1", "100.100.100.200")
SIX: Final = (
    "::1",
    "::",
    "0:0:0:0:0:0:0:1",
    "fe80::1",
    "fe80::1%eth0",
    "fe80::1%251",
    "fd00:ec2::254",
    "fc00::1",
    "ff02::1",
)
# Of clouds, of clusters, of containers, of this machine; and services that answer with the address within the name.
NAMES: Final = (
    *("localhost", "localhost.localdomain", "localhost6", "ip6-localhost", "ip6-loopback", "loopback", "broadcasthost"),
    *("metadata", "metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal"),
    *("kubernetes", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "host.docker.internal"),
    *("gateway.docker.internal", "host.containers.internal", "wpad", "router.lan", "printer.local", "a.home.arpa"),
    *("127.0.0.1.nip.io", "127-0-0-1.sslip.io", "a.localtest.me", "lvh.me", "7f000001.a9fea9fe.rbndr.us"),
    *("169.254.169.254.nip.io", "www.10.0.0.1.sslip.io", "localhost.crm.test", "crm.test.localhost", "db.internal"),
)  # fmt: skip
_WIDE: Final = str.maketrans("0123456789.", "".join(map(chr, range(0xFF10, 0xFF1A))) + "\u3002")
_CIRCLED: Final = str.maketrans("123456789", "①②③④⑤⑥⑦⑧⑨")


def spellings(address: str) -> Iterator[str]:
    """Of an IPv4 address."""
    octets = [*IPv4Address(address).packed]
    yield from (address, f"{address}.", address.translate(_WIDE), address.translate(_CIRCLED))
    yield from _numbers(octets, int(IPv4Address(address)))
    yield from _six(address, f"{int(IPv4Address(address)) >> 16:x}:{int(IPv4Address(address)) & 0xFFFF:x}")


def _numbers(octets: list[int], number: int) -> Iterator[str]:
    """What inet_aton reads: any base, one to four parts, leading zeros, and what only a careless one does."""
    first, second, third, fourth = octets
    yield from (str(number), hex(number), f"0X{number:08X}", f"0{number:o}", f"000000{number:o}")
    yield from (f"{first}.{number & 0xFFFFFF}", f"{first}.{second}.{number & 0xFFFF}")
    yield ".".join(f"0{octet:o}" if octet > 7 else str(octet) for octet in octets)
    yield from (".".join(f"{octet:0{width}o}" for octet in octets) for width in (4, 9))
    yield from (
        ".".join(form.format(octet) for octet in octets) for form in ("0x{:x}", "0x{:02X}", "0x{:08x}", "{:03}")
    )
    yield from (f"0x{first:x}.{second}.0{third:o}.{fourth}", f"0{first:o}.0x{number & 0xFFFFFF:x}")
    yield from (".".join(str(octet + 256) for octet in octets), str(number + (1 << 32)), hex(number + (1 << 64)))


def _six(four: str, pair: str) -> Iterator[str]:
    """Mapped, compatible, translated, NAT64 of both prefixes, 6to4; in short and in full."""
    for prefix in ("::ffff:", "::FFFF:", "0:0:0:0:0:ffff:", "::ffff:0:", "::", "64:ff9b::", "64:ff9b:1::"):
        yield from (f"{prefix}{four}", f"{prefix}{pair}")
    yield from (f"2002:{pair}::", f"2002:{pair}::1", f"::ffff:{four}%1", f"0000:0000:0000:0000:0000:ffff:{pair}")


def everywhere() -> Iterator[str]:
    """All of them."""
    for address in INNER:
        yield from spellings(address)
    yield from SIX
