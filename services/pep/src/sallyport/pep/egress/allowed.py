"""What an entry of `egress` allows: one host and port, and at which addresses that host may be found."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, Self
from urllib.parse import urlsplit

from sallyport.pep.egress.refused import EgressRefused
from sallyport.runtime import addresses, hosts
from sallyport.runtime.hosts import Network

PORTS: Final = {"https": 443, "http": 80}
_LOCALHOST: Final = ("127.0.0.1/32", "::1/128")  # RFC 6761 §6.3, whatever a resolver says


class Listed(Protocol):
    """An entry as the settings have it."""

    @property
    def destination(self) -> str: ...
    @property
    def networks(self) -> tuple[str, ...]: ...


@dataclass(frozen=True, slots=True)
class Allowed:
    destination: str  # as addresses.destination spells it
    host: str  # without brackets
    port: int
    networks: tuple[Network, ...]  # where its addresses must lie; none: anywhere in the world, but nowhere private

    @classmethod
    def of(cls, entry: Listed) -> Self:
        """Raises ValueError."""
        host, _, port = addresses.destination(entry.destination).rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        networks = entry.networks or _own(host)
        return cls(entry.destination, host, int(port), tuple(ipaddress.ip_network(network) for network in networks))

    def refuses(self, address: str) -> str:
        """Why nothing may connect to this address, or "". A cloud's metadata service no network can allow."""
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return "is no address"
        if wrong := hosts.wrong(found):
            return wrong
        if self.networks:
            listed = any(found in network for network in self.networks)
            return "" if listed else "lies in none of the networks that egress lists for it"
        special = hosts.special(found)
        return special and f"{special}; if that is meant, list its network under `networks` in egress"

    def check(self, found: Sequence[str]) -> Sequence[str]:
        """One bad address spoils the others: who answers with it owns the name, or has been fooled."""
        for address in found:
            if wrong := self.refuses(address):
                raise EgressRefused(f"{self.destination} resolves to {address}, which {wrong}")
        if not found:
            raise EgressRefused(f"{self.destination} has no address")
        return found

    @property
    def local(self) -> bool:
        """Whether it is found on this machine alone."""
        return bool(self.networks) and all(network.is_loopback for network in self.networks)


def destination_of(url: str) -> str:
    """Where a URL leads, which must be written in one way only: what other parsers read otherwise is refused."""
    try:
        parts = urlsplit(url)
        port = PORTS[parts.scheme]
        leads_to = addresses.destination_of(url, port)
    except KeyError:
        raise EgressRefused("the URL is neither https nor http") from None
    except ValueError as error:
        raise EgressRefused(f"the URL leads nowhere: {error}") from None
    origins = [f"{parts.scheme}://{host}" for host in (leads_to, leads_to.removesuffix(f":{port}"))]
    if not any(url == origin or url.startswith(f"{origin}/") for origin in origins):
        raise EgressRefused(f"the URL is not spelled {origins[0]}/…: no user, no capitals, no encoding")
    return leads_to


def _own(host: str) -> tuple[str, ...]:
    """An address is where it is; a name may be anywhere."""
    if host == "localhost":
        return _LOCALHOST
    try:
        return (str(ipaddress.ip_network(host)),)
    except ValueError:
        return ()
