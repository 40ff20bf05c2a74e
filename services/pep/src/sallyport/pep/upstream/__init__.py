"""The upstream leg: judged requests to MCP servers behind the gate, over streamable HTTP in either era."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Callable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, Protocol

from sallyport.contract.surfaces import Upstream
from sallyport.pep.egress import Egress, EgressRefused
from sallyport.pep.model import Emit, Failed, Identity, Json, Reply
from sallyport.pep.upstream import credentials
from sallyport.pep.upstream.assertion import OwnIdentity
from sallyport.pep.upstream.channel import Channel
from sallyport.pep.upstream.counted import Together
from sallyport.pep.upstream.failures import UpstreamBroke, UpstreamUnavailable
from sallyport.pep.upstream.files import Files, Held
from sallyport.pep.upstream.forward import Forward
from sallyport.pep.upstream.leg import Leg, Manner
from sallyport.pep.upstream.outgoing import CAPABILITIES, NAME, TASKS
from sallyport.runtime.problems import ConfigError

__all__ = ["CAPABILITIES", "Forward", "UpstreamBroke", "UpstreamSettings", "UpstreamUnavailable", "Upstreams"]

Hear = Callable[[str, str], None]
_BY_OUR_FILES: Final = "the gate isn't set up for its server"


@dataclass(frozen=True, slots=True)
class UpstreamSettings:
    """What holds for all upstreams."""

    version: str  # of this program
    files: Files  # whoever makes them runs their `watch`
    passed: AbstractSet[str] = CAPABILITIES  # of the callers' capabilities


class Doubts(Protocol):
    """Who has to know that another server may stand where one stood."""

    def lost(self, upstream: str) -> None:
        """A connection ended that wasn't ended by us, or the last one did."""

    def met(self, upstream: str) -> None:
        """There is a new one."""

    async def sure(self, upstream: str) -> None:
        """Return, soon, when it was looked at since."""


@dataclass(frozen=True, slots=True)
class _Standing:
    """A leg, and what it was made of."""

    leg: Leg
    files: Held
    tls: ssl.SSLContext | None

    def serves(self, upstream: Upstream) -> bool:
        same = self.leg.upstream is upstream or self.leg.upstream == upstream
        return same and (self.tls is None or self.tls is self.files.tls)


def _asked_of_clients(upstream: Upstream) -> frozenset[str]:
    """The capabilities that the catalog lets an upstream see, under the names that the protocol has for them."""
    return frozenset(TASKS if name == "tasks" else name for name in upstream.capabilities)


class Upstreams:
    """The room's door, one per process. A leg is made when it is first needed, and anew when its entry or its TLS is."""

    def __init__(self, settings: UpstreamSettings, egress: Egress, own: OwnIdentity | None) -> None:
        self._settings, self._egress, self._own = settings, egress, own
        self._standing: dict[str, _Standing] = {}
        self._making: dict[str, asyncio.Lock] = {}
        self._trouble: dict[str, str] = {}  # of those that couldn't be made
        self._retiring: set[asyncio.Task[None]] = set()
        self._retired: set[Leg] = set()
        self._hearing: list[Hear] = []
        self._doubts: list[Doubts] = []

    async def request(
        self, name: str, upstream: Upstream, forward: Forward, *, begun: Callable[[], None], emit: Emit
    ) -> Reply | Failed:
        """Send one judged request and give its answer; what comes before the answer goes to `emit`, in order.

        `begun` is called once, when a place is held and right before the first byte goes out; if it raises, nothing is
        sent. Before it UpstreamUnavailable is raised, after it UpstreamBroke, TimeoutError or CancelledError.
        """
        leg = self._found(name, upstream) or await self._made(name, upstream)
        return await leg.request(forward, begun, emit)

    async def ready(self, name: str, upstream: Upstream, identity: Identity) -> None:
        """What may take longer than a permit lives, before there is one. Raises UpstreamUnavailable."""
        leg = self._found(name, upstream) or await self._made(name, upstream)
        leg.standing.circuit.check()  # nobody waits for who is away
        for doubts in self._doubts:
            await doubts.sure(name)
        await leg.ready(identity)

    async def listen(
        self, name: str, upstream: Upstream, forward: Forward, *, begun: Callable[[], None]
    ) -> AsyncGenerator[tuple[str, Mapping[str, Json]]]:
        """Give the notifications of subscriptions/listen, the acknowledgement first. Close it: use `aclosing`.

        Without its own `_meta`; a legacy upstream's own stream is told in the same words. Raises as `request` does.
        """
        leg = self._found(name, upstream) or await self._made(name, upstream)
        async with aclosing(leg.listen(forward, begun)) as frames:
            async for frame in frames:
                yield frame

    def health(self) -> Mapping[str, str]:
        """Each upstream that was tried, and what is wrong with it; empty: nothing."""
        return {**{name: one.leg.standing.circuit.trouble for name, one in self._standing.items()}, **self._trouble}

    def dropped(self) -> Mapping[str, int]:
        """Messages of each upstream that nobody had asked for."""
        return {name: one.leg.dropped for name, one in self._standing.items()}

    def on_list_changed(self, hear: Hear) -> None:
        """`hear` is told (upstream, "tools" | "prompts" | "resources") when it says so, and when it is back."""
        self._hearing.append(hear)

    def on_doubt(self, doubts: Doubts) -> None:
        self._doubts.append(doubts)

    async def close(self) -> None:
        """End what is under way, and every session."""
        for task in self._retiring:
            task.cancel()
        await asyncio.gather(*self._retiring, return_exceptions=True)
        legs = [one.leg for one in self._standing.values()] + [*self._retired]
        self._standing.clear()
        await asyncio.gather(*(leg.close() for leg in legs))

    def _found(self, name: str, upstream: Upstream) -> Leg | None:
        one = self._standing.get(name)
        return one.leg if one is not None and one.serves(upstream) else None

    async def _made(self, name: str, upstream: Upstream) -> Leg:
        async with self._making.setdefault(name, asyncio.Lock()):
            found = self._found(name, upstream)
            if found is not None:
                return found
            try:
                one = await self._make(name, upstream)
            except (ConfigError, EgressRefused) as error:
                self._trouble[name] = str(error)
                raise UpstreamUnavailable(_BY_OUR_FILES, str(error)) from None
            self._trouble.pop(name, None)
            before, self._standing[name] = self._standing.get(name), one
            if before is not None:
                self._retire(before.leg)
            return one.leg

    async def _make(self, name: str, upstream: Upstream) -> _Standing:
        """Reads files, so in a thread."""
        files = await asyncio.to_thread(
            self._settings.files.follow, name, client_certificate=upstream.client_certificate
        )
        tls = files.tls if upstream.url.startswith("https:") else None
        connector = self._egress.connector(upstream.url, tls=tls, limit=0)  # places bound it
        version, connect = self._settings.version, upstream.limits.connect_ms / 1000
        together = Together(lambda: self._met(name), lambda: self._lost(name))
        channel = Channel(upstream.url, connector, together, agent=f"{NAME}/{version}", connect=connect)
        source = credentials.of(upstream, files, self._own)
        leg = Leg(
            upstream,
            channel,
            source,
            Manner(version, self._settings.passed & _asked_of_clients(upstream)),
            lambda kind: self._hear(name, kind),
        )
        return _Standing(leg, files, tls)

    def _retire(self, leg: Leg) -> None:
        self._retired.add(leg)
        task = asyncio.get_running_loop().create_task(self._end(leg))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def _end(self, leg: Leg) -> None:
        await leg.close(unused=True)
        self._retired.discard(leg)

    def _met(self, name: str) -> None:
        for doubts in self._doubts:
            doubts.met(name)

    def _lost(self, name: str) -> None:
        for doubts in self._doubts:
            doubts.lost(name)

    def _hear(self, name: str, kind: str) -> None:
        for hear in self._hearing:
            hear(name, kind)
