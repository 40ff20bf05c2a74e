"""Which catalog is in force: the one that the PDP names, as this process finds it in the policy directory.

Also what readiness is made of: a PDP that answers with a valid set, its catalog parsed here, an audit that writes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from sallyport.pep.catalog import CatalogStore, LoadedCatalog
from sallyport.pep.decision import NoDecision, PdpClient
from sallyport.runtime.problems import ConfigError

_POLL: Final = 0.5  # seconds between looks: readiness returns well within a second of the PDP


class CatalogInForce:
    """Two parsed catalogs at most; the digest comes from the PDP's sealed answers only."""

    def __init__(
        self,
        store: CatalogStore,
        client: PdpClient,
        deadline: float,
        on_catalog: Callable[[Iterable[str]], None],
    ) -> None:
        """`on_catalog` hears the tools' names whenever another catalog comes into force."""
        self._store = store
        self._client = client
        self._deadline = deadline
        self._on_catalog = on_catalog
        self._draining = False
        self._digest = ""
        self._pdp = "not asked yet"
        self._catalog = "not read yet"

    def loaded(self, digest: str) -> LoadedCatalog | None:
        """The catalog with this digest, or None if the directory doesn't hold it or it can't be served."""
        try:
            found = self._store.get(digest)
        except ConfigError as error:
            self._catalog = str(error)
            return None
        self._catalog = "" if found else f"the policy directory doesn't hold the PDP's catalog {digest[:12]}"
        if found and digest != self._digest:
            self._digest = digest
            self._on_catalog(found.names)
        return found

    async def current(self) -> LoadedCatalog | None:
        """The catalog that served last, or else the one that the PDP names now."""
        if not self._digest:
            await self.look()
        return self.loaded(self._digest) if self._digest else None

    async def look(self) -> None:
        """Ask the PDP once which revision and catalog serve."""
        try:
            answer = await self._client.revision(timeout=self._deadline)
        except NoDecision as error:
            self._pdp = str(error)
            return
        self._pdp = "" if answer.ready else "; ".join(answer.problems) or "no valid policy set"
        if answer.ready:
            self.loaded(answer.catalog_digest)

    async def watch(self) -> None:
        """Keep readiness fresh until cancelled."""
        while True:
            started = time.monotonic()
            try:
                await self.look()
            except Exception as error:  # noqa: BLE001 — a watch that dies would leave the last readiness standing
                self._pdp = f"looking broke: {type(error).__name__}"
            await asyncio.sleep(max(0.0, started + _POLL - time.monotonic()))

    def drain(self) -> None:
        """Not ready from now on: a balancer looks away before the listener closes."""
        self._draining = True

    def not_ready(self, audit: str) -> Mapping[str, str]:
        """Reasons by part; empty means ready. `audit` is why the stream can't be written, or empty."""
        stopping = "stopping" if self._draining else ""
        reasons = {"pdp": self._pdp, "catalog": self._catalog, "audit": audit, "process": stopping}
        return {part: reason for part, reason in reasons.items() if reason}
