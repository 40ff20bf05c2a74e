"""One subscription at work: what is told to one client, for as long as that stands."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, Literal, Protocol

from sallyport.contract.catalog import UpstreamRef
from sallyport.pep.again import Again
from sallyport.pep.asked import Asked
from sallyport.pep.catalog import LoadedCatalog
from sallyport.pep.changes import Changes
from sallyport.pep.following import Following, Source
from sallyport.pep.model import Emit, Json, Listen, ResourceRef
from sallyport.pep.standing import AGAIN, PATIENCE, Believed, No, Revoked, Unanswered, proven
from sallyport.pep.upstream import Upstreams

SUBSCRIPTION_ID: Final = "io.modelcontextprotocol/subscriptionId"
_UPDATED: Final = "notifications/resources/updated"


class Room(Protocol):
    """What all subscriptions share."""

    @property
    def again(self) -> Again: ...
    @property
    def changes(self) -> Changes: ...
    @property
    def upstreams(self) -> Upstreams: ...
    @property
    def stopping(self) -> asyncio.Event: ...
    @property
    def revision(self) -> Callable[[], str]: ...
    @property
    def known(self) -> Callable[[], LoadedCatalog | None]: ...
    @property
    def believed(self) -> Believed: ...


class Stream:
    """`run` raises Revoked or Unanswered, and returns at the gate's own stop."""

    def __init__(self, room: Room, message: Listen, asked: Asked, emit: Emit, uris: tuple[str, ...]) -> None:
        self._room, self._message, self._asked, self._emit, self._uris = room, message, asked, emit, uris
        flags = {"tools": message.tools, "prompts": message.prompts, "resources": message.resources}
        self._kinds = frozenset(kind for kind, wanted in flags.items() if wanted)
        self._offered = _offered(asked.view)
        self._waiting: dict[tuple[str, str], dict[str, Json]] = {}  # the same change twice is one
        self._something = asyncio.Event()
        self._judged = asked.trail.revision, asked.digest
        self._look_at = self._until = 0.0  # when it is to be decided anew, and until when; 0: it needn't
        self._following: Following | None = None

    @property
    def followed(self) -> int:
        return len(self._uris)

    async def run(self) -> None:
        self._something.set()  # what changed since it was permitted is looked at first
        who = self._asked.who(self._asked.trail.traceparent)
        with self._room.changes.heard(self._changed, self._concerns):
            async with asyncio.TaskGroup() as group:
                following = Following(self._room.upstreams, self._message.envelope, who, self._updated, group)
                try:
                    honoured = await following.begin(_sources(self._asked.view, self._uris))
                    self._uris = tuple(uri for uri in self._uris if uri in honoured)
                    self._following = following
                    await self._send("notifications/subscriptions/acknowledged", {"notifications": self._honoured()})
                    ended = await self._frames()
                finally:
                    following.end()
        if ended is not None:
            raise ended

    async def _frames(self) -> Revoked | Unanswered | None:
        """Until something ends it: None at the gate's own stop."""
        stop = asyncio.ensure_future(self._room.stopping.wait())
        try:
            while not stop.done():
                await self._woken(stop)
                if not await self._stands():
                    continue
                waiting, self._waiting = self._waiting, {}
                for (method, _), params in waiting.items():
                    await self._send(method, params)
        except (Revoked, Unanswered) as error:  # as a value: a group of tasks would wrap it
            return error
        finally:
            stop.cancel()
        return None

    async def _woken(self, stop: asyncio.Future[Literal[True]]) -> None:
        wake = asyncio.ensure_future(self._something.wait())
        try:
            await asyncio.wait((wake, stop), timeout=self._pause(), return_when=asyncio.FIRST_COMPLETED)
        finally:
            wake.cancel()
        self._something.clear()

    def _pause(self) -> float:
        """Seconds until something is due, whatever happens."""
        expiry = self._asked.caller.expires_at - time.time()
        return max(0.0, min(expiry, self._look_at - time.monotonic()) if self._until else expiry)

    async def _stands(self) -> bool:
        """Decided anew where the policies changed, on the catalog that serves by then; False: it isn't known yet."""
        proven(self._asked.caller, self._room.believed)
        loaded, now = self._room.known(), time.monotonic()
        in_force = self._room.revision(), loaded.digest if loaded else ""
        if in_force == self._judged:
            self._until = 0.0
        elif not self._until:
            self._look_at, self._until = now + self._room.again.turn(), now + PATIENCE
        elif now >= self._look_at:
            await self._decide(in_force, loaded)
        return not self._until

    async def _decide(self, in_force: tuple[str, str], loaded: LoadedCatalog | None) -> None:
        permitted: bool | None = None
        if in_force[0] and loaded is not None:
            view = loaded.within(self._asked.server)
            if view is None or any(view.catalog.resource(uri) is None for uri in self._uris):
                raise Revoked("the catalog no longer has it")
            self._asked = replace(self._asked, view=view)
            refs = tuple(ResourceRef("McpResource", uri) for uri in self._uris)
            permitted = await self._room.again.permitted(self._asked, in_force[0], refs)
        if permitted is False:
            raise Revoked(No.PERMIT.value)
        if permitted:
            self._judged, self._until = in_force, 0.0
            self._turn()
        elif time.monotonic() >= self._until:
            raise Unanswered
        else:
            self._look_at = time.monotonic() + AGAIN

    def _turn(self) -> None:
        """To the catalog in force."""
        self._offered = _offered(self._asked.view)
        if self._following is not None:
            self._following.turn(_sources(self._asked.view, self._uris))

    def _concerns(self, upstream: str, kind: str) -> bool:
        return kind in self._kinds and (not upstream or (upstream, kind) in self._offered)

    def _changed(self, kinds: frozenset[str]) -> None:
        for kind in kinds:
            self._waiting[f"notifications/{kind}/list_changed", ""] = {}
        self._something.set()

    def _updated(self, uri: str) -> None:
        if uri in self._uris:
            self._waiting[_UPDATED, uri] = {"uri": uri}
            self._something.set()

    async def _send(self, method: str, params: Mapping[str, Json]) -> None:
        await self._emit(method, {**params, "_meta": {SUBSCRIPTION_ID: self._message.envelope.id}})

    def _honoured(self) -> dict[str, Json]:
        honoured: dict[str, Json] = {
            f"{kind}ListChanged": True for kind in ("tools", "prompts", "resources") if kind in self._kinds
        }
        return honoured | ({"resourceSubscriptions": [*self._uris]} if self._uris else {})


def _offered(view: LoadedCatalog) -> frozenset[tuple[str, str]]:
    """The upstreams of what is shown, by kind."""
    catalog = view.catalog
    providers = {tool.provider.upstream for tool in catalog.tools if isinstance(tool.provider, UpstreamRef)}
    return frozenset(
        {(name, "tools") for name in providers}
        | {(prompt.upstream, "prompts") for prompt in catalog.prompts}
        | {(entry.upstream, "resources") for entry in catalog.resources}
    )


def _sources(view: LoadedCatalog, uris: tuple[str, ...]) -> dict[str, Source]:
    """By upstream; what the catalog has nowhere is left out."""
    found: dict[str, list[str]] = {}
    for uri in uris:
        entry = view.catalog.resource(uri)
        if entry is not None:
            found.setdefault(entry.upstream, []).append(uri)
    return {name: Source(view.catalog.upstreams[name], tuple(each)) for name, each in found.items()}
