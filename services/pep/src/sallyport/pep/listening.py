"""subscriptions/listen: one long answer. The gate itself tells of lists; updates of resources come from upstreams.

Each frame is sent only while token and policies still permit it (N28), and tagged with the id of the request that asked
for it, so that nobody's frames are taken for another's (N1).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from sallyport.pep import VERSION, answers
from sallyport.pep.asked import Asked
from sallyport.pep.audit import AuditUnavailable
from sallyport.pep.catalog import LoadedCatalog
from sallyport.pep.changes import Changes
from sallyport.pep.decision import SERVER, Denied, Mismatch
from sallyport.pep.lists import Lists
from sallyport.pep.model import Answer, Emit, Json, Listen, ResourceRef
from sallyport.pep.refusal import Reason, Refusal
from sallyport.pep.rpc import results
from sallyport.pep.standing import Revoked
from sallyport.pep.upstream import Upstreams
from sallyport.pep.upstream.failures import UpstreamBroke, UpstreamUnavailable
from sallyport.pep.upstream.forward import Forward
from sallyport.runtime import canonical_json

SUBSCRIPTION_ID: Final = "io.modelcontextprotocol/subscriptionId"
_UPDATED: Final = "notifications/resources/updated"
_FRAME_BYTES: Final = 256 << 10
_AGAIN: Final = 5.0  # seconds until an upstream whose stream ended is asked again
_WAITING: Final = 300  # frames that wait for a client, each of another kind or URI, of which it may name fewer
_ASKING: Final = 2.0  # seconds to ask the PDP anew
_SERVER: Final = (ResourceRef(*SERVER),)


@dataclass(frozen=True, slots=True)
class Listening:
    lists: Lists
    changes: Changes
    upstreams: Upstreams
    stopping: asyncio.Event
    revision: Callable[[], str]  # of the policy set in force; empty: unknown
    known: Callable[[], LoadedCatalog | None]  # the catalog in force

    async def listen(self, message: Listen, asked: Asked, emit: Emit) -> Answer | Refusal | Denied | Mismatch:
        """Ends when the client goes, the token expires, a policy says no, or the gate stops."""
        refused = await self.lists.permitted(message, asked)
        if refused is not None:
            return refused
        refs = [ResourceRef("McpResource", uri) for uri in message.uris]
        may = await self.lists.may("resources/subscribe", refs, asked)
        if not isinstance(may, frozenset):
            return may
        uris = tuple(ref.id for ref in refs if ref in may and asked.view.catalog.resource(ref.id) is not None)
        try:
            await self.lists.recorder.listing(asked.trail, asked.digest, len(uris), "subscriptions")
        except AuditUnavailable as error:
            return Refusal(Reason.AUDIT_UNAVAILABLE, str(error))
        stream = _Stream(self, message, asked, emit, uris)
        ended = await stream.run()
        return ended or answers.result(message, results.ended(message.envelope.id, SUBSCRIPTION_ID, VERSION))


class _Stream:
    """One subscription at work."""

    def __init__(self, room: Listening, message: Listen, asked: Asked, emit: Emit, uris: tuple[str, ...]) -> None:
        self._room, self._message, self._asked, self._emit, self._uris = room, message, asked, emit, uris
        self._waiting: dict[tuple[str, str], dict[str, Json]] = {}  # the same change twice is one
        self._something = asyncio.Event()
        self._revision = asked.trail.revision
        self._refs = tuple(ResourceRef("McpResource", uri) for uri in uris)

    async def run(self) -> Refusal | None:
        self._something.set()  # what changed since it was permitted is looked at first
        kinds = {"tools": self._message.tools, "prompts": self._message.prompts, "resources": self._message.resources}
        with self._room.changes.heard(self._changed, frozenset(kind for kind, wanted in kinds.items() if wanted)):
            await self._send("notifications/subscriptions/acknowledged", {"notifications": self._honoured()})
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._follow(name, uris)) for name, uris in self._by_upstream().items()]
                try:
                    return await self._frames()
                finally:
                    for task in tasks:
                        task.cancel()

    async def _frames(self) -> Refusal | None:
        """Until something ends it: None at the gate's own stop."""
        stop = asyncio.ensure_future(self._room.stopping.wait())
        try:
            while not stop.done():
                left = self._asked.caller.expires_at - time.time()
                wake = asyncio.ensure_future(self._something.wait())
                await asyncio.wait((wake, stop), timeout=max(0.0, left), return_when=asyncio.FIRST_COMPLETED)
                wake.cancel()
                self._something.clear()
                await self._stands()
                waiting, self._waiting = self._waiting, {}
                for (method, _), params in waiting.items():
                    await self._send(method, params)
        except Revoked as error:
            return Refusal(Reason.REVOKED, str(error))
        finally:
            stop.cancel()
        return None

    async def _stands(self) -> None:
        """Decided anew where the policies changed, on the catalog that serves by then."""
        if time.time() >= self._asked.caller.expires_at:
            raise Revoked("the token has expired")
        now, loaded = self._room.revision(), self._room.known()
        if now == self._revision:
            return
        view = loaded.within(self._asked.server) if loaded else None
        if not now or view is None or not await self._permitted(view):
            raise Revoked("a policy no longer permits it" if now else "no policy set serves")
        self._revision = now

    async def _permitted(self, view: LoadedCatalog) -> bool:
        again = replace(self._asked, view=view, deadline=time.monotonic() + _ASKING)
        for action, refs in (("subscriptions/listen", _SERVER), ("resources/subscribe", self._refs)):
            may = await self._room.lists.may(action, refs, again)
            if not isinstance(may, frozenset) or not may >= set(refs):
                return False
        return True

    async def _follow(self, name: str, uris: list[str]) -> None:
        """What one upstream tells of its resources; its stream is opened again for as long as ours is open."""
        entry = self._asked.view.catalog.upstreams[name]
        wanted = canonical_json.encode({"notifications": {"resourceSubscriptions": [*uris]}})
        forward = Forward(
            method="subscriptions/listen",
            name="",
            params=wanted,
            envelope=self._message.envelope,
            identity=self._asked.who(self._asked.trail.traceparent),
            digest="",
            timeout_ms=entry.limits.connect_ms,
            result_bytes=_FRAME_BYTES,
        )
        while True:
            with contextlib.suppress(UpstreamUnavailable, UpstreamBroke, TimeoutError):
                told = self._room.upstreams.listen(name, entry, forward, begun=lambda: None)
                async with contextlib.aclosing(told) as frames:
                    async for method, params in frames:
                        uri = params.get("uri")
                        if method == _UPDATED and isinstance(uri, str) and uri in uris:
                            self._changed(_UPDATED, {"uri": uri})
            await asyncio.sleep(_AGAIN)

    def _changed(self, method: str, params: dict[str, Json]) -> None:
        if method and len(self._waiting) < _WAITING:
            self._waiting[method, str(params.get("uri", ""))] = params
        self._something.set()

    async def _send(self, method: str, params: Mapping[str, Json]) -> None:
        await self._emit(method, {**params, "_meta": {SUBSCRIPTION_ID: self._message.envelope.id}})

    def _honoured(self) -> dict[str, Json]:
        wanted = self._message
        flags = {
            "toolsListChanged": wanted.tools,
            "promptsListChanged": wanted.prompts,
            "resourcesListChanged": wanted.resources,
        }
        honoured: dict[str, Json] = {key: True for key, flag in flags.items() if flag}
        return honoured | ({"resourceSubscriptions": [*self._uris]} if self._uris else {})

    def _by_upstream(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for uri in self._uris:
            entry = self._asked.view.catalog.resource(uri)
            if entry is not None:
                found.setdefault(entry.upstream, []).append(uri)
        return found
