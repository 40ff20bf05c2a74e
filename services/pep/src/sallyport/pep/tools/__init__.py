"""Room 7: runs what was permitted, and nothing else. The effect begins where the permit is redeemed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, Protocol

from sallyport.contract import catalog
from sallyport.pep.model import TIMEOUT, CheckedCall, Identity, Resolved, TookTooLong, ToolOutput, Unresolved, digest_of
from sallyport.pep.tools.hosted import HostedCall, HostedTool, Registry, ToolFailure
from sallyport.pep.tools.pool import PoolBusy
from sallyport.runtime import canonical_json

__all__ = [
    "NAMES",
    "NEEDS",
    "CallMismatch",
    "CatalogSource",
    "PermitLike",
    "PoolBusy",
    "Registry",
    "ToolFailure",
    "Tools",
    "release",
]

# What `app.hosted` registers, known without opening a file or a database -> the setting that brings it.
NEEDS: Final[Mapping[str, str]] = MappingProxyType({
    **dict.fromkeys(("list_files", "read_file", "write_file", "delete_file"), "files"),
    **dict.fromkeys(("database_query", "describe_table"), "database"),
})  # fmt: skip
NAMES: Final = frozenset(NEEDS)
_METHOD: Final = "tools/call"


class PermitLike(Protocol):
    """What this room asks of a permit; only decision/ makes one."""

    @property
    def tool_name(self) -> str: ...
    @property
    def arguments_digest(self) -> str: ...
    @property
    def identity(self) -> Identity: ...
    @property
    def resolved(self) -> tuple[Resolved, ...]: ...

    def redeem(self, *, method: str, name: str, digest: str) -> None:
        """Raise where the permit names another call, was used, or is dead."""


class CatalogSource(Protocol):
    """Where the entry that a call was checked against is found again."""

    def tool(self, digest: str, name: str) -> catalog.Tool | None: ...

    def entries(self, name: str) -> Iterable[catalog.Tool]:
        """The entries of that name in all catalogs held."""


class CallMismatch(Exception):
    """The call isn't one that this room can run; nothing has begun."""


class Tools:
    """The room's door."""

    def __init__(self, registry: Registry, catalogs: CatalogSource) -> None:
        self._registry = registry
        self._catalogs = catalogs

    def has_resolver(self, name: str) -> bool:
        """Whether a tool of this name looks anything up, in any catalog held: then visibility is asked first."""
        found = (self._hosted(entry) for entry in self._catalogs.entries(name))
        return any(hosted is not None and hosted.resolver is not None for hosted in found)

    async def resolve(self, identity: Identity, call: CheckedCall) -> tuple[Resolved, ...] | Unresolved:
        """Open what the call names, before it is judged. Changes nothing; release what it returns."""
        hosted = self._hosted(self._catalogs.tool(call.catalog_digest, call.name))
        if hosted is None:
            return Unresolved("no hosted tool stands behind this name")
        if hosted.resolver is None:
            return tuple(Resolved(ref) for ref in call.resources)
        async with hosted.pool.place():
            return await hosted.resolver(identity, call)

    async def release(self, resolved: Iterable[Resolved]) -> None:
        """See `release`; here for the decision room's port."""
        await release(resolved)

    async def run(self, permit: PermitLike, call: CheckedCall) -> ToolOutput:
        """Run the one call that the permit names, and let its handles go.

        Before the effect: PoolBusy, CallMismatch, or what `redeem` raises. After it: ToolFailure, whose effect is
        known; anything else (TimeoutError and CancelledError too) leaves the effect unknown.
        """
        try:
            entry, hosted = self._bind(permit, call)
            async with hosted.pool.place():
                hosted_call = HostedCall(call.arguments, permit.resolved, permit.identity, entry.limits)
                try:
                    async with asyncio.timeout(entry.limits.timeout_ms / 1000) as limit:
                        permit.redeem(method=_METHOD, name=call.name, digest=call.digest)
                        return await hosted.function(hosted_call)
                except TimeoutError:
                    if not limit.expired():
                        raise
                    raise TookTooLong.in_all(entry.limits.timeout_ms, TIMEOUT) from None
        finally:
            await release(permit.resolved)

    def _bind(self, permit: PermitLike, call: CheckedCall) -> tuple[catalog.Tool, HostedTool]:
        if (permit.tool_name, permit.arguments_digest) != (call.name, _digest(call)):
            raise CallMismatch("the permit names another call")
        entry = self._catalogs.tool(call.catalog_digest, call.name)
        hosted = self._hosted(entry)
        if entry is None or hosted is None:
            raise CallMismatch("no hosted tool stands behind this name")
        return entry, hosted

    def _hosted(self, entry: catalog.Tool | None) -> HostedTool | None:
        if entry is None or not isinstance(entry.provider, catalog.Hosted):
            return None
        return self._registry.get(entry.provider.hosted)


def _digest(call: CheckedCall) -> str:
    """Taken anew from what the tool will get: nothing may have changed the arguments since they were judged."""
    return digest_of(canonical_json.encode(dict(call.arguments)), call.retry)


async def release(resolved: Iterable[Resolved]) -> None:
    """Close every handle that can be closed; closing twice does nothing."""
    for item in resolved:
        close = getattr(item.handle, "close", None)
        if close is not None:
            close()
