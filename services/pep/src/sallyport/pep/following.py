"""What upstreams tell of the resources of one subscription, for as long as it is open."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from sallyport.contract.surfaces import Upstream
from sallyport.pep.model import Envelope, Identity, Json
from sallyport.pep.upstream import Upstreams
from sallyport.pep.upstream.failures import UpstreamBroke, UpstreamUnavailable
from sallyport.pep.upstream.forward import Forward
from sallyport.pep.upstream.listening import ACKNOWLEDGED, UPDATED
from sallyport.runtime import canonical_json

_FRAME_BYTES: Final = 256 << 10
_OPENING: Final = 2.0  # seconds for an upstream to say what it will tell
_AGAIN: Final = 5.0  # seconds until an upstream whose stream ended is asked again


@dataclass(frozen=True, slots=True)
class Source:
    """An upstream as a catalog has it, and which of its resources are followed."""

    upstream: Upstream
    uris: tuple[str, ...]


class Following:
    """`updated` hears of each URI that changed, or may have changed while nobody listened."""

    def __init__(
        self,
        upstreams: Upstreams,
        envelope: Envelope,
        identity: Identity,
        updated: Callable[[str], None],
        group: asyncio.TaskGroup,
    ) -> None:
        self._upstreams, self._envelope, self._identity = upstreams, envelope, identity
        self._updated, self._group = updated, group
        self._running: dict[str, tuple[Source, asyncio.Task[None]]] = {}

    async def begin(self, sources: Mapping[str, Source]) -> frozenset[str]:
        """Those that their upstreams will tell of. An upstream that doesn't say so in time isn't followed."""
        opened = {name: asyncio.get_running_loop().create_future() for name in sources}
        for name, source in sources.items():
            self._start(name, source, opened[name])
        if opened:
            await asyncio.wait(opened.values(), timeout=_OPENING)
        for name in [name for name, granted in opened.items() if not granted.done() or not granted.result()]:
            self._end(name)
        return frozenset(uri for granted in opened.values() if granted.done() for uri in granted.result())

    def turn(self, sources: Mapping[str, Source]) -> None:
        """Another catalog is in force: what it has elsewhere is followed there."""
        for name in [name for name, (source, _) in self._running.items() if sources.get(name) != source]:
            self._end(name)
        for name, source in sources.items():
            if name not in self._running:
                self._start(name, source, None)

    def end(self) -> None:
        for name in [*self._running]:
            self._end(name)

    def _start(self, name: str, source: Source, opened: asyncio.Future[frozenset[str]] | None) -> None:
        self._running[name] = source, self._group.create_task(self._follow(name, source, opened))

    def _end(self, name: str) -> None:
        _, task = self._running.pop(name)
        task.cancel()

    async def _follow(self, name: str, source: Source, opened: asyncio.Future[frozenset[str]] | None) -> None:
        forward = self._forward(source)
        while True:
            with contextlib.suppress(UpstreamUnavailable, UpstreamBroke, TimeoutError):
                told = self._upstreams.listen(name, source.upstream, forward, begun=lambda: None)
                async with contextlib.aclosing(told) as frames:
                    async for method, params in frames:
                        if method == ACKNOWLEDGED and opened is not None and not opened.done():
                            opened.set_result(_granted(params) & frozenset(source.uris))
                        elif method == ACKNOWLEDGED:  # what changed meanwhile nobody told us
                            self._tell(_granted(params), source)
                        elif method == UPDATED and isinstance(uri := params.get("uri"), str):
                            self._tell(frozenset({uri}), source)
            if opened is not None and not opened.done():
                opened.set_result(frozenset())
            await asyncio.sleep(_AGAIN)

    def _tell(self, uris: frozenset[str], source: Source) -> None:
        for uri in source.uris:
            if uri in uris:
                self._updated(uri)

    def _forward(self, source: Source) -> Forward:
        return Forward(
            method="subscriptions/listen",
            name="",
            params=canonical_json.encode({"notifications": {"resourceSubscriptions": [*source.uris]}}),
            envelope=self._envelope,
            identity=self._identity,
            digest="",
            timeout_ms=source.upstream.limits.connect_ms,
            result_bytes=_FRAME_BYTES,
        )


def _granted(params: Mapping[str, Json]) -> frozenset[str]:
    told = params.get("notifications")
    uris = told.get("resourceSubscriptions") if isinstance(told, dict) else None
    return frozenset(uri for uri in uris if isinstance(uri, str)) if isinstance(uris, list) else frozenset()
