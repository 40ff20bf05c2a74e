"""What stands behind the gate and must be looked after: upstreams, their files, their definitions, and who hears of changes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Iterator, Mapping
from typing import Any, Final

import structlog

from sallyport.contract.catalog import Catalog
from sallyport.pep import VERSION
from sallyport.pep.audit import Recorder
from sallyport.pep.changes import Changes
from sallyport.pep.ears import Ears
from sallyport.pep.egress import Egress
from sallyport.pep.settings import PepSettings
from sallyport.pep.telemetry import Metrics
from sallyport.pep.upstream import Upstreams, UpstreamSettings
from sallyport.pep.upstream.assertion import OwnIdentity
from sallyport.pep.upstream.definitions import Definitions, Touched
from sallyport.pep.upstream.files import Files
from sallyport.pep.upstream.listing import fetcher

_PATIENCE: Final = 10.0  # seconds that a start waits for upstreams: one that is away keeps nothing else from serving
_NOTHING: Final = Catalog.model_construct(tools=(), prompts=(), resources=(), upstreams={}, servers={})
_log: Final = structlog.get_logger()


class Behind:
    """One per process. `watches` run while it serves."""

    def __init__(
        self, settings: PepSettings, egress: Egress, own: OwnIdentity | None, recorder: Recorder, metrics: Metrics
    ) -> None:
        self._files = Files(settings.upstreams)
        self._recorder, self._metrics = recorder, metrics
        self.changes = Changes()
        self.stopping = asyncio.Event()
        self.upstreams = Upstreams(UpstreamSettings(VERSION, self._files), egress, own)
        self.definitions = Definitions(fetcher(self.upstreams), _NOTHING)
        self._ears = Ears(self.upstreams)
        self._followed = asyncio.Event()
        self._settled = False
        self.definitions.on_change(self._quarantine)
        self.upstreams.on_list_changed(self._list_changed)
        self.upstreams.on_doubt(self.definitions)

    def follow(self, catalog: Catalog) -> None:
        """Another catalog is in force."""
        self.definitions.follow(catalog)
        self._ears.follow(catalog)
        self._followed.set()

    def not_ready(self) -> str:
        """Until each upstream was asked once, or didn't answer: before, all that it has is in quarantine."""
        return "" if self._settled else "upstreams were not asked yet"

    def watches(self) -> Iterator[Coroutine[Any, Any, None]]:
        """What looks at files and definitions, until cancelled."""
        yield self._files.watch()
        yield self.definitions.watch()
        yield self._ears.watch()
        yield self._settle()

    async def close(self) -> None:
        self.changes.close()
        await self.upstreams.close()

    def warnings(self) -> Mapping[str, str]:
        """What an operator wants to know although it keeps nothing else from serving."""
        troubles = "; ".join(f"{name}: {why}" for name, why in sorted(self.upstreams.health().items()) if why)
        files = "; ".join(f"{name}: {why}" for name, why in sorted(self._files.warnings().items()) if why)
        parts = {"upstreams": troubles, "upstream_files": files, "definitions": self.definitions.readiness()}
        return {part: told for part, told in parts.items() if told}

    async def _settle(self) -> None:
        await self._followed.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                await self.definitions.settled()
        self._settled = True

    def _list_changed(self, upstream: str, kind: str) -> None:
        self.definitions.changed(upstream, kind)
        self.changes.tell(kind, upstream=upstream)

    def _quarantine(self, quarantined: Mapping[str, str], touched: Touched) -> None:
        self._metrics.quarantined(len(quarantined))
        self._recorder.quarantined(quarantined)
        for upstream, kind in touched:
            self.changes.tell(kind, upstream=upstream)
        for name, why in quarantined.items():
            _log.warning("in quarantine", name=name, why=why)
