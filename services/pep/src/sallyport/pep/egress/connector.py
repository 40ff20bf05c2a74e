"""Connections to one destination: its name resolved, every address checked, a checked one connected (N19)."""

from __future__ import annotations

import socket
import ssl
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from sallyport.pep.egress.allowed import Allowed
from sallyport.pep.egress.lookup import Lookups
from sallyport.pep.egress.refused import EgressRefused

_SHARED: Final = 2  # seconds in which new connections share what was found
_TRIED: Final = 3  # addresses, one after the other


class Connector(aiohttp.TCPConnector):
    """For one scheme, host and port. Nothing that a single request says leads anywhere else."""

    def __init__(
        self, scheme: str, allowed: Allowed, lookups: Lookups, *, tls: ssl.SSLContext | None, limit: int, seconds: float
    ) -> None:
        self._scheme, self._allowed, self._seconds = scheme, allowed, seconds
        super().__init__(
            resolver=_Checked(allowed, lookups),
            ttl_dns_cache=_SHARED,
            socket_factory=self._socket,
            ssl=True if tls is None else tls,
            limit=limit,
            happy_eyeballs_delay=None,
        )

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Any],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 — the signature is aiohttp's
    ) -> aiohttp.connector.Connection:
        """Raises EgressRefused before anything is looked up, also for the second leg of a redirect."""
        if self._elsewhere(req):
            raise EgressRefused(f"a request to another place, or in another way, than {self._allowed.destination}")
        least = min(self._seconds, timeout.sock_connect or self._seconds)
        limits = aiohttp.ClientTimeout(connect=timeout.connect, sock_connect=least)
        return await super().connect(req, traces, limits)

    def _elsewhere(self, req: aiohttp.ClientRequest) -> bool:
        """By the URL as it is used, not as somebody else parsed it."""
        asked = (req.url.scheme, req.url.raw_host, req.url.port)
        otherwise = req.proxy is not None or req.ssl is not True or req.server_hostname is not None
        return otherwise or asked != (self._scheme, self._allowed.host, self._allowed.port)

    def _socket(self, found: tuple[Any, ...]) -> socket.socket:
        """The last look, at the very address that is connected next: for literals it is the only one."""
        family, kind, protocol, _, (address, port, *_) = found
        wrong = self._allowed.refuses(address)
        if wrong or port != self._allowed.port:
            raise EgressRefused(f"{self._allowed.destination}: {address} port {port} {wrong or 'is not the one'}")
        return socket.socket(family, kind, protocol)


class _Checked(AbstractResolver):
    def __init__(self, allowed: Allowed, lookups: Lookups) -> None:
        self._allowed, self._lookups = allowed, lookups

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002 — both, always
    ) -> list[ResolveResult]:
        """Raises EgressRefused, or OSError."""
        found = self._allowed.check(await self._lookups.addresses(host, port))
        return [_result(host, address, port) for address in found[:_TRIED]]

    async def close(self) -> None:
        """Nothing is held."""


def _result(host: str, address: str, port: int) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return ResolveResult(
        hostname=host, host=address, port=port, family=family, proto=socket.IPPROTO_TCP, flags=socket.AI_NUMERICHOST
    )
