"""Egress: the only way in which the gate dials out by HTTP. What `egress` doesn't list isn't even looked up."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Sequence
from typing import Final

import aiohttp

from sallyport.pep.egress import lookup as lookups
from sallyport.pep.egress.allowed import Allowed, Listed, destination_of
from sallyport.pep.egress.connector import Connector
from sallyport.pep.egress.lookup import Lookup, Lookups
from sallyport.pep.egress.refused import EgressRefused

__all__ = ["Egress", "EgressRefused", "Listed"]

_SECONDS: Final = 5.0  # for a name to be resolved, and for each address to be connected


class Egress:
    """The allowlist. Proxies don't exist here, so a session must be made without `trust_env`, which is the default."""

    def __init__(self, allowed: Iterable[Listed], *, lookup: Lookup = lookups.system) -> None:
        """Raises ValueError where an entry is none."""
        self._allowed = {entry.destination: Allowed.of(entry) for entry in allowed}
        self._lookup = lookup

    def connector(
        self, url: str, *, tls: ssl.SSLContext | None, limit: int, seconds: float = _SECONDS
    ) -> aiohttp.TCPConnector:
        """Connections to where `url` leads and nowhere else. Raises EgressRefused; connecting may raise it, too.

        `tls` must be there for https; plain http stays on this machine.
        """
        scheme, allowed = url.partition(":")[0], self._listed(url)
        if (scheme == "https") != (tls is not None):
            raise EgressRefused(f"{allowed.destination}: https needs a TLS context, and http has none")
        if scheme == "http" and not allowed.local:
            raise EgressRefused(f"{allowed.destination}: plain http is for loopback only")
        return Connector(scheme, allowed, Lookups(self._lookup, seconds), tls=tls, limit=limit, seconds=seconds)

    def addresses(self, url: str, *, seconds: float = _SECONDS) -> Sequence[str]:
        """For what dials by itself: every address is checked, and one of these must be dialed. It waits: in a thread.

        Raises EgressRefused, or OSError.
        """
        allowed = self._listed(url)
        return allowed.check(Lookups(self._lookup, seconds).wait(allowed.host, allowed.port))

    def _listed(self, url: str) -> Allowed:
        leads_to = destination_of(url)
        if leads_to not in self._allowed:
            raise EgressRefused(f"egress doesn't list {leads_to}")
        return self._allowed[leads_to]
