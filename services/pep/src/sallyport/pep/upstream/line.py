"""One JSON-RPC request over HTTP and its answer, JSON or stream: what both eras have in common."""

from __future__ import annotations

import asyncio
import itertools
import re
import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from sallyport.pep.model import Failed, Identity, Reply
from sallyport.pep.upstream.background import Background
from sallyport.pep.upstream.channel import BROKE, JSON, STREAM, TOO_LARGE, Channel, Dial, Exchange, own
from sallyport.pep.upstream.credentials import CredentialMissing, CredentialSource
from sallyport.pep.upstream.deadline import Deadline
from sallyport.pep.upstream.failures import UpstreamBroke, UpstreamUnavailable
from sallyport.pep.upstream.incoming import Heard, Noise, Unbelievable, read, refusal
from sallyport.pep.upstream.sse import Events, TooLarge

SESSION: Final = "Mcp-Session-Id"
Hear: TypeAlias = Callable[[Heard], Awaitable[None]]
Read: TypeAlias = Callable[[bytes, int], Heard]

_SENDS: Final = {"Content-Type": JSON, "Accept": f"{JSON}, {STREAM}"}
_BIG: Final = 64 << 10  # bytes; what is less takes a few milliseconds
_TURN: Final = 0.005  # seconds of what comes before an answer; then it is others' turn
_DRAIN: Final = 1.0  # seconds that a stream may take to end after its answer
_OK: Final = 200
_RESUMPTIONS: Final = 8
_SHORTEST, _LONGEST = 0.1, 2.0  # seconds before each
_EVENT_ID: Final = re.compile(r"[!-~]{1,1024}")
_REDIRECTS: Final = range(300, 400)
_AWAY: Final = frozenset({502, 503, 504})  # any other status is a server's own word, on what a caller sent


class HttpRefused(UpstreamBroke):
    """An HTTP status instead of an answer."""

    def __init__(self, status: int) -> None:
        super().__init__(f"its server answered HTTP {status}", f"HTTP {status}", fault=status in _AWAY)
        self.status = status


class Unfinished(UpstreamBroke):
    """The stream ended before the answer, and said from where it can be taken up again."""

    def __init__(self, last_id: str, pause: float) -> None:
        super().__init__(BROKE, "its stream ended without an answer")
        self.last_id, self.pause = last_id, pause


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message on its way; `id` is None for what isn't answered."""

    id: int | None
    body: bytes
    headers: Mapping[str, str]
    identity: Identity | None
    digest: str
    max_bytes: int
    read: Read = read


class Line:
    """To one upstream, with its credential."""

    def __init__(self, channel: Channel, source: CredentialSource, background: Background) -> None:
        self._channel, self._source, self._background = channel, source, background
        # By chance, so that no two replicas in one session, or before a server without sessions, use the same ids.
        self._ids = itertools.count(secrets.randbits(52))

    def next_id(self) -> int:
        return next(self._ids)

    def aside(self, work: Coroutine[Any, Any, None]) -> None:
        """What nobody waits for."""
        self._background.spawn(work)

    async def ask(self, sent: Outgoing, dial: Dial, deadline: Deadline, hear: Hear) -> tuple[Reply | Failed, str]:
        """The answer, and the session that its head names. What else the stream carries is for `hear`, in order."""
        headers = {**self._credential(sent), **_SENDS, **sent.headers}
        async with self._channel.exchange("POST", headers, sent.body, dial, deadline, sent.max_bytes) as exchange:
            answer = await _answer(exchange, sent, hear)
            if not exchange.ended and self._background.spawn(exchange.drain(_DRAIN)):
                exchange.handed_on = True
            return answer, exchange.header(SESSION)

    async def resume(
        self, sent: Outgoing, unfinished: Unfinished, dial: Dial, deadline: Deadline, hear: Hear
    ) -> Reply | Failed:
        """The rest of an answer: a legacy server may have its clients poll. Raises UpstreamBroke."""
        for _ in range(_RESUMPTIONS):
            await asyncio.sleep(unfinished.pause)
            given = {"Accept": STREAM, **sent.headers, "Last-Event-ID": unfinished.last_id}
            headers, rest = {**self._credential(sent), **given}, own()
            try:
                async with self._channel.exchange("GET", headers, None, rest, deadline, sent.max_bytes) as exchange:
                    return await _answer(exchange, sent, hear)
            except Unfinished as again:
                unfinished = again
            except HttpRefused as refused:  # of the rest: the request itself was taken
                raise UpstreamBroke(BROKE, f"HTTP {refused.status} to the rest of its answer") from None
            finally:
                dial.received += rest.received
        raise unfinished

    async def tell(self, sent: Outgoing, deadline: Deadline) -> int:
        """Send what isn't answered, and return the status."""
        return await self._bare("POST", {**_SENDS, **sent.headers}, sent, deadline)

    async def delete(self, sent: Outgoing, deadline: Deadline) -> int:
        return await self._bare("DELETE", sent.headers, sent, deadline)

    async def _bare(self, method: str, headers: Mapping[str, str], sent: Outgoing, deadline: Deadline) -> int:
        dial, given = own(), {**self._credential(sent), **headers}
        async with self._channel.exchange(method, given, sent.body or None, dial, deadline, sent.max_bytes) as exchange:
            if not exchange.ended:
                await exchange.whole()
            return exchange.status

    async def stream(self, method: str, sent: Outgoing, dial: Dial, deadline: Deadline) -> AsyncGenerator[Heard]:
        """What a stream without end carries, each event bounded by itself: noise when it begins, an answer at the end."""
        headers = {**self._credential(sent), **(_SENDS if sent.body else {"Accept": STREAM}), **sent.headers}
        async with self._channel.exchange(method, headers, sent.body or None, dial, deadline, None) as exchange:
            if exchange.status != _OK:
                yield await _refused(exchange, sent.id)
                return
            if exchange.kind != STREAM:
                raise Unbelievable("an answer that is no stream")
            dial.keep_alive()
            deadline.lift()  # before anything is given: no clock may run while the listener does something else
            yield Noise()
            async with aclosing(_heard(exchange, sent, Events(sent.max_bytes))) as stream:
                async for heard in stream:
                    yield heard

    def _credential(self, sent: Outgoing) -> Mapping[str, str]:
        try:
            return self._source.headers(sent.identity, sent.digest)
        except CredentialMissing as missing:
            raise UpstreamUnavailable("the gate has no credential for its server", str(missing)) from None


async def _read(read: Read, data: bytes, request_id: int | None) -> Heard:
    """What is big is read beside the loop: nobody waits for another's megabytes."""
    if len(data) <= _BIG:
        return read(data, request_id or 0)
    return await asyncio.to_thread(read, data, request_id or 0)


async def _answer(exchange: Exchange, sent: Outgoing, hear: Hear) -> Reply | Failed:
    if exchange.status != _OK:
        return await _refused(exchange, sent.id)
    if exchange.kind == JSON:
        heard = await _read(sent.read, await exchange.whole(), sent.id)
        if not isinstance(heard, Reply | Failed):
            raise Unbelievable("no answer in place of one")
        return heard
    if exchange.kind != STREAM:
        raise Unbelievable("an answer that is neither JSON nor a stream")
    events = Events(sent.max_bytes)
    async with aclosing(_heard(exchange, sent, events)) as stream:
        async for heard in stream:
            if isinstance(heard, Reply | Failed):
                return heard
            await hear(heard)
    last = events.last_id.decode("latin-1")
    if _EVENT_ID.fullmatch(last):
        raise Unfinished(last, min(max(events.retry / 1000, _SHORTEST), _LONGEST))
    raise UpstreamBroke(BROKE, "its stream ended without an answer")


async def _heard(exchange: Exchange, sent: Outgoing, events: Events) -> AsyncGenerator[Heard]:
    """Up to the answer: what follows it isn't heard. What comes in one piece may take long to work off."""
    turned = time.perf_counter()
    while piece := await exchange.piece():
        try:
            found = events.feed(piece)
        except TooLarge:
            raise UpstreamBroke(TOO_LARGE, "an event over its cap") from None
        for data in found:
            heard = await _read(sent.read, data, sent.id)
            yield heard
            if isinstance(heard, Reply | Failed):
                return
            if time.perf_counter() - turned >= _TURN:
                await asyncio.sleep(0)
                turned = time.perf_counter()


async def _refused(exchange: Exchange, request_id: int | None) -> Failed:
    # A JSON-RPC error with our id is the upstream's own word, whatever the status; a redirect leads nowhere (N19).
    if exchange.status not in _REDIRECTS and exchange.kind == JSON:
        heard = await _read(refusal, await exchange.whole(), request_id)
        if isinstance(heard, Failed):
            return heard
    raise HttpRefused(exchange.status)
