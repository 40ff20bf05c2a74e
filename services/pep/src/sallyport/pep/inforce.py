"""Which catalog is in force: the one that the PDP names, as the policy directory or else the PDP itself has it.

Directory and PDP may turn to a new set at different times, and this process may start in between: whatever catalog the
PDP judges by can be had, so that no order of replacing policies and catalog refuses anything. Also what readiness is
made of: a PDP that answers with a valid set, its catalog parsed here, an audit that writes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sallyport.authz.v1 import authz_pb2 as pb
from sallyport.pep.catalog import CatalogStore, LoadedCatalog
from sallyport.pep.decision import NoDecision, PdpClient
from sallyport.runtime.problems import ConfigError

_POLL: Final = 0.5  # seconds between looks: readiness returns well within a second of the PDP
_DETAIL_BYTES: Final = 4096  # of one part's detail: whoever shows it reads no more
_MORE: Final = "; and more: `sallyport policy check` shows all"


@dataclass(frozen=True, slots=True)
class _Policies:
    """What the PDP said last of its policy set."""

    revision: str = ""  # of the set in force
    refused: str = ""  # what is wrong with the set that was tried after it


class CatalogInForce:
    """Two parsed catalogs at most; the digest comes from the PDP's sealed answers only."""

    def __init__(
        self,
        store: CatalogStore,
        client: PdpClient,
        deadline: float,
        on_catalog: Callable[[LoadedCatalog], None],
        on_revision: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_catalog` hears of each other catalog that comes into force, `on_revision` of each other policy set."""
        self._on_revision = on_revision
        self._store = store
        self._client = client
        self._deadline = deadline
        self._on_catalog = on_catalog
        self._draining = False
        self._digest = ""
        self._wanted, self._loads = "", 0
        self._loading: asyncio.Task[None] | None = None
        self._unservable = ""
        self._why = "not loaded yet"
        self._pdp = "not asked yet"
        self._catalog = "not read yet"
        self._refused = ""
        self._policies: _Policies | None = None  # None while the PDP doesn't answer

    async def loaded(self, digest: str, deadline: float) -> LoadedCatalog | None:
        """The catalog with this digest, or None if it can't be had and served by `deadline` (monotonic clock)."""
        found = self._store.held(digest) or await self._load(digest, deadline)
        if found and digest != self._digest:
            self._digest = digest
            self._refused = _shortened([str(problem) for problem in found.refused])
            self._on_catalog(found)
        return found

    async def current(self, deadline: float) -> LoadedCatalog | None:
        """The catalog that served last, or else the one that the PDP names now."""
        if not self._digest:
            await self.look(deadline)
        return await self.loaded(self._digest, deadline) if self._digest else None

    def known(self) -> LoadedCatalog | None:
        """The catalog that served last, from memory."""
        return self._store.held(self._digest)

    def revision(self) -> str:
        """Of the policy set in force, as the PDP said last; empty while it doesn't answer."""
        return self._policies.revision if self._policies else ""

    async def look(self, deadline: float) -> None:
        """Ask the PDP once which revision and catalog serve."""
        before = self.revision()
        try:
            answer = await self._client.revision(timeout=deadline - time.monotonic())
        except NoDecision as error:
            self._pdp, self._policies = str(error), None
            return
        problems = _shortened(answer.problems)
        self._pdp = "" if answer.ready else problems or "no valid policy set"
        self._policies = _told(answer, problems)
        if answer.ready:
            self._catalog = "" if await self.loaded(answer.catalog_digest, deadline) else self._why
        if self.revision() != before:
            self._on_revision()

    async def watch(self) -> None:
        """Keep readiness fresh until cancelled."""
        while True:
            started = time.monotonic()
            try:
                await self.look(started + self._deadline)
            except Exception as error:  # noqa: BLE001 — a watch that dies would leave the last readiness standing
                self._pdp, self._policies = f"looking broke: {type(error).__name__}", None
            await asyncio.sleep(max(0.0, started + _POLL - time.monotonic()))

    def drain(self) -> None:
        """Not ready from now on: a balancer looks away before the listener closes."""
        self._draining = True

    async def close(self) -> None:
        """Let go of a catalog that is still being fetched."""
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.wait((self._loading,))

    def not_ready(self, audit: str) -> Mapping[str, str]:
        """Reasons by part; empty means ready. `audit` is why the stream can't be written, or empty."""
        stopping = "stopping" if self._draining else ""
        reasons = {"pdp": self._pdp, "catalog": self._catalog, "audit": audit, "process": stopping}
        return {part: reason for part, reason in reasons.items() if reason}

    def warnings(self) -> Mapping[str, str]:
        """What an operator wants to know although it keeps nothing from serving: which set is in force, and what isn't."""
        known = self._policies or _Policies()
        in_force = f"revision {known.revision}" if known.revision else ""
        refused = f"last reload refused: {known.refused}" if known.refused and in_force else ""
        not_served = f"not served: {self._refused}" if self._refused else ""
        parts = {"policies": "; ".join(filter(None, (in_force, refused))), "tools": not_served}
        return {part: told for part, told in parts.items() if told}

    def policy_state(self) -> tuple[str, bool] | None:
        """The revision in force, and whether the set tried last is refused; None while the PDP doesn't answer."""
        known = self._policies
        return None if known is None else (known.revision, bool(known.refused))

    async def _load(self, digest: str, deadline: float) -> LoadedCatalog | None:
        """One load at a time, and shared: it goes on for others when somebody's deadline has passed.

        One that began before we came may be about to fail; only of one that began later is the failure ours too.
        """
        came, ours = self._loads, False
        while not (ours or self._store.held(digest) or digest == self._unservable) and time.monotonic() < deadline:
            if self._loading is None or self._loading.done():
                self._loads += 1
                self._wanted, self._loading = digest, asyncio.create_task(self._fetch(digest))
            ours = self._wanted == digest and self._loads > came
            await asyncio.wait((self._loading,), timeout=deadline - time.monotonic())
        return self._store.held(digest)

    async def _fetch(self, digest: str) -> None:
        """In a thread: a large catalog takes longer to compile than any other request may wait."""
        try:
            found = await asyncio.to_thread(self._store.find, digest)
            if found is None:
                data = await self._client.catalog(digest, timeout=self._deadline)
                found = await asyncio.to_thread(self._store.parse, data)
            self._store.hold(found, beside=self._digest)
        except ConfigError as error:
            # The digest is of these bytes, so they would be refused again.
            self._unservable, self._why = digest, str(error)
        except NoDecision as error:
            self._why = f"the policy directory doesn't hold the PDP's catalog {digest[:12]}; {error}"
        except Exception as error:  # noqa: BLE001 — whatever breaks, there is no catalog to serve
            self._why = f"the PDP's catalog {digest[:12]} can't be loaded: {type(error).__name__}"


def _told(answer: pb.RevisionAnswer, problems: str) -> _Policies:
    """A PDP that has a set and isn't ready says why it can't record; of a refused set it then says nothing for sure."""
    certain = answer.ready or not answer.revision
    return _Policies(answer.revision, problems if certain else "")


def _shortened(problems: Sequence[str]) -> str:
    """As many whole problems as fit, the first one first."""
    told = ""
    for problem in problems:
        longer = f"{told}; {problem}" if told else problem
        if len(longer.encode()) > _DETAIL_BYTES - 256:
            return (told or longer.encode()[: _DETAIL_BYTES - 256].decode("utf-8", "ignore")) + _MORE
        told = longer
    return told
