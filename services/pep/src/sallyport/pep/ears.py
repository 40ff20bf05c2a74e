"""The gate's own subscription at each upstream: it hears at once that a list changed, and need not wait for its next look."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Final

from sallyport.contract.catalog import Catalog, Upstream
from sallyport.pep.upstream import Forward, UpstreamBroke, Upstreams, UpstreamUnavailable
from sallyport.runtime import canonical_json

_WANTED: Final = canonical_json.encode(
    {"notifications": dict.fromkeys(("toolsListChanged", "promptsListChanged", "resourcesListChanged"), True)}
)
_AGAIN: Final = 5.0  # seconds until a stream that ended is opened again; twice as long each time that it didn't last
_LATER: Final = 60.0  # at most, and where there is none
_FRAME_BYTES: Final = 256 << 10


class Ears:
    """One stream an upstream. What comes on it is told by `Upstreams.on_list_changed`."""

    def __init__(
        self,
        upstreams: Upstreams,
        *,
        wait: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._upstreams, self._wait, self._clock = upstreams, wait, clock
        self._wanted: dict[str, Upstream] = {}
        self._moved = asyncio.Event()

    def follow(self, catalog: Catalog) -> None:
        """Another catalog is in force."""
        self._wanted = dict(catalog.upstreams)
        self._moved.set()

    async def watch(self) -> None:
        """Listen until cancelled."""
        async with asyncio.TaskGroup() as together:
            running: dict[str, tuple[Upstream, asyncio.Task[None]]] = {}
            while True:
                self._moved.clear()
                for name, (upstream, task) in list(running.items()):
                    if self._wanted.get(name) != upstream:
                        task.cancel()
                        del running[name]
                for name, upstream in self._wanted.items():
                    if name not in running:
                        running[name] = (upstream, together.create_task(self._listen(name, upstream)))
                await self._moved.wait()

    async def _listen(self, name: str, upstream: Upstream) -> None:
        pause = _AGAIN
        while True:
            began = self._clock()
            heard = await self._hear(name, upstream)
            if self._clock() - began >= _LATER:
                pause = _AGAIN
            await self._wait(pause if heard else _LATER)
            pause = min(pause * 2, _LATER)

    async def _hear(self, name: str, upstream: Upstream) -> bool:
        """Until the stream ends; whether there was one."""
        forward = Forward(
            method="subscriptions/listen",
            name="",
            params=_WANTED,
            envelope=None,
            identity=None,
            digest="",
            timeout_ms=upstream.limits.connect_ms + upstream.limits.idle_ms,
            result_bytes=_FRAME_BYTES,
        )
        there = False
        try:
            async with aclosing(self._upstreams.listen(name, upstream, forward, begun=lambda: None)) as frames:
                async for _ in frames:
                    there = True
        except (UpstreamUnavailable, UpstreamBroke, TimeoutError):
            return there
        return there
