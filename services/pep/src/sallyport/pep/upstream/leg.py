"""One upstream: requests to it on whatever footing it is, its places, its circuit, its sessions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from dataclasses import dataclass
from typing import Final

from sallyport.contract.surfaces import Upstream
from sallyport.pep.model import Emit, Era, Failed, Identity, Json, Reply, TookTooLong
from sallyport.pep.upstream import incoming, listening, outgoing
from sallyport.pep.upstream.background import Background
from sallyport.pep.upstream.channel import UNREACHABLE, Channel, Dial
from sallyport.pep.upstream.credentials import CredentialSource
from sallyport.pep.upstream.deadline import Deadline
from sallyport.pep.upstream.failures import Disconnected, SessionLost, UpstreamBroke, UpstreamUnavailable
from sallyport.pep.upstream.footing import UNSUPPORTED_VERSION
from sallyport.pep.upstream.forward import Forward
from sallyport.pep.upstream.hearing import Hearing
from sallyport.pep.upstream.legacy import Legacy, headers
from sallyport.pep.upstream.line import HttpRefused, Line, Outgoing, Unfinished
from sallyport.pep.upstream.places import Places, Streams
from sallyport.pep.upstream.sessions import Session, Sessions
from sallyport.pep.upstream.standing import Standing

_REFUSING: Final = frozenset({401, 403, 404, 405, 429})  # nothing ran, as far as HTTP says anything
_UNAUTHORIZED: Final = frozenset({401, 403})
_NOT_THERE: Final = frozenset({404, 405})
_NOT_FOUND, _BAD_REQUEST = 404, 400
_INTERNAL: Final = -32603
_MOST_BRACKETS: Final = 100_000  # of a page of definitions: empty ones are read in one go, and nothing else goes on
_LAST_WORDS: Final = 1.0  # seconds, at the end
_WITHOUT_EFFECT: Final = frozenset(
    {
        "tools/list",
        "prompts/list",
        "prompts/get",
        "resources/list",
        "resources/templates/list",
        "resources/read",
        "completion/complete",
        "tasks/get",
    }
)


@dataclass(frozen=True, slots=True)
class Manner:
    """How the gate presents itself, to all upstreams alike."""

    version: str
    passed: AbstractSet[str]  # of the callers' capabilities


class Leg:
    """To one upstream as one catalog has it."""

    def __init__(
        self,
        upstream: Upstream,
        channel: Channel,
        source: CredentialSource,
        manner: Manner,
        changed: Callable[[str], None],
    ) -> None:
        limits = upstream.limits
        self.upstream, self._channel, self._manner, self._changed = upstream, channel, manner, changed
        self._idle = limits.idle_ms / 1000
        self._background = Background()
        self._line = Line(channel, source, self._background)
        self._legacy = Legacy(self._line, manner.version)
        self._sessions = Sessions(limits, self._begin, self._end)
        self._places = Places(limits.connections, limits.queue)
        self._streams = Streams(limits.connections)
        self.standing = Standing(
            self._line, self._legacy, (upstream.era, manner.version), self._sessions.adopt, changed
        )
        self._busy = 0
        self._unused = asyncio.Event()
        self.dropped = 0  # messages that nobody waited for

    async def request(self, forward: Forward, begun: Callable[[], None], emit: Emit) -> Reply | Failed:
        """See `Upstreams.request`."""
        self.standing.circuit.check()
        dial, deadline = Dial(begun), Deadline(forward.timeout_ms / 1000, self._idle)
        self._busy += 1
        try:
            async with deadline, self._places.one(forward.identity):
                return await self._ask(forward, dial, deadline, emit)
        except TimeoutError:
            if not dial.out:
                raise UpstreamUnavailable(UNREACHABLE, "no place, connection or session in time") from None
            self.standing.slow(deadline.began)
            if not deadline.over:
                raise
            raise self._too_long(forward, deadline) from None
        except UpstreamUnavailable as unavailable:
            if dial.out:  # of a second try: what the first one did isn't known
                raise UpstreamBroke(unavailable.public, str(unavailable)) from None
            raise
        finally:
            if forward.received is not None:
                forward.received(dial.received)
            self._leave()

    async def ready(self, identity: Identity) -> None:
        """Have the era known, and the caller's session open where the upstream keeps any. Raises UpstreamUnavailable."""
        self.standing.circuit.check()
        self._busy += 1
        try:
            footing = await self.standing.footing()
            if footing.session is not None:
                async with self._session(identity, footing.session):
                    return
        finally:
            self._leave()

    async def listen(
        self, forward: Forward, begun: Callable[[], None]
    ) -> AsyncGenerator[tuple[str, Mapping[str, Json]]]:
        """See `Upstreams.listen`."""
        self.standing.circuit.check()
        dial, deadline = Dial(begun), Deadline(forward.timeout_ms / 1000, None)
        self._busy += 1
        try:
            with self._streams.one(forward.identity):
                async with deadline, aclosing(self._frames(forward, dial, deadline)) as frames:
                    async for frame in frames:
                        yield frame
        except TimeoutError:
            raise (UpstreamBroke if dial.out else UpstreamUnavailable)(UNREACHABLE, "no stream in time") from None
        finally:
            self._leave()

    async def close(self, *, unused: bool = False) -> None:
        """Say good-bye in every session, for a moment; with `unused` once nothing is under way."""
        if unused and self._busy:
            await self._unused.wait()
        await self.standing.close()
        await self._legacy.end_all(await self._sessions.close())
        await self._background.close(_LAST_WORDS)
        await self._channel.close()

    def _too_long(self, forward: Forward, deadline: Deadline) -> TookTooLong:
        if not deadline.silent:
            return TookTooLong.in_all(forward.timeout_ms, forward.timeout_by)
        limit = self.upstream.limits.idle_ms
        silence = f"was silent for longer than its server's limit of {limit} ms"
        return TookTooLong(silence, "the upstream's limits.idle_ms")

    def _leave(self) -> None:
        self._busy -= 1
        if not self._busy:
            self._unused.set()
            self._unused.clear()

    async def _ask(self, forward: Forward, dial: Dial, deadline: Deadline, emit: Emit) -> Reply | Failed:
        try:
            return await self._once(forward, dial, deadline, emit)
        except SessionLost:
            pass  # nothing ran
        except Disconnected:
            if forward.method not in _WITHOUT_EFFECT:
                raise
        try:
            return await self._once(forward, dial, deadline, emit)
        except SessionLost:
            return Failed(_INTERNAL, "the upstream lost its session")

    async def _once(self, forward: Forward, dial: Dial, deadline: Deadline, emit: Emit) -> Reply | Failed:
        footing = await self.standing.footing()
        if footing.session is None:
            return await self._send(forward, None, dial, deadline, emit)
        async with self._session(forward.identity, footing.session) as session:
            if forward.envelope and forward.envelope.log_level:
                await self._legacy.want_level(session, forward.envelope.log_level, deadline)
            return await self._send(forward, session, dial, deadline, emit)

    def _session(self, identity: Identity | None, own: Session) -> AbstractAsyncContextManager[Session]:
        return self._sessions.of(identity) if own.id else nullcontext(own)

    async def _send(
        self, forward: Forward, session: Session | None, dial: Dial, deadline: Deadline, emit: Emit
    ) -> Reply | Failed:
        request_id = self._line.next_id()
        sent = self._outgoing(forward, session, request_id)
        hearing = Hearing(forward.envelope, request_id, emit, self._changed)
        if session is not None:
            hearing.decline = lambda question: self._legacy.decline(session, question, deadline)
        try:
            answer = await self._answer(sent, session, dial, deadline, hearing)
        except HttpRefused as refused:
            return self._refused(refused, session, deadline.began)
        except BaseException as error:
            self.standing.failed(error, deadline.began)
            if session is not None and dial.out and not isinstance(error, Disconnected):
                self._background.spawn(self._legacy.cancel(session, request_id))
            raise
        finally:
            self.dropped += hearing.dropped
        self.standing.answered()
        return self._believed(answer, session)

    async def _answer(
        self, sent: Outgoing, session: Session | None, dial: Dial, deadline: Deadline, hearing: Hearing
    ) -> Reply | Failed:
        try:
            return (await self._line.ask(sent, dial, deadline, hearing))[0]
        except Unfinished as unfinished:
            if session is None or not session.id:
                raise
            return await self._line.resume(sent, unfinished, dial, deadline, hearing)

    def _outgoing(self, forward: Forward, session: Session | None, request_id: int) -> Outgoing:
        try:
            if session is None:
                meta = outgoing.modern_meta(forward, request_id, self._manner.version, self._manner.passed)
                sent = outgoing.modern_headers(forward)
            else:
                meta, sent = outgoing.legacy_meta(forward, request_id), {**headers(session), **outgoing.trace(forward)}
            wire = outgoing.body(request_id, forward.method, forward.params, meta)
        except ValueError as error:
            raise UpstreamUnavailable("the request can't be said to its server", str(error)) from None
        read = _listed if forward.definitions else incoming.read
        return Outgoing(request_id, wire, sent, forward.identity, forward.digest, forward.result_bytes, read)

    def _believed(self, answer: Reply | Failed, session: Session | None) -> Reply | Failed:
        if isinstance(answer, Failed):
            if answer.code != UNSUPPORTED_VERSION:
                return answer
            self.standing.forget()  # it has changed its mind; the next request asks
            return Failed(_INTERNAL, "the upstream speaks another revision by now")
        return answer if session is None else Reply(answer.result)  # the legacy era has no result types

    def _refused(self, refused: HttpRefused, session: Session | None, began: float) -> Failed:
        if refused.fault:
            self.standing.failed(refused, began)
        else:
            self.standing.answered()
        if session is not None and session.id and refused.status in {_NOT_FOUND, _BAD_REQUEST}:
            self._sessions.forget(session)
            if refused.status == _NOT_FOUND:
                raise SessionLost
        if refused.status not in _REFUSING:
            raise refused
        if refused.status in _UNAUTHORIZED:
            self.standing.circuit.trouble = f"HTTP {refused.status}: correct its credential"
        if refused.status in _NOT_THERE:
            self.standing.forget()
        return Failed(_INTERNAL, f"the upstream refused the request (HTTP {refused.status})")

    async def _begin(self, identity: Identity | None) -> Session:
        began = asyncio.get_running_loop().time()
        try:
            return await self._legacy.begin(identity)
        except UpstreamUnavailable as unavailable:
            self.standing.failed(unavailable, began)
            raise

    def _end(self, session: Session) -> None:
        if session.id:
            self._background.spawn(self._legacy.end(session))

    async def _frames(
        self, forward: Forward, dial: Dial, deadline: Deadline
    ) -> AsyncGenerator[tuple[str, Mapping[str, Json]]]:
        footing = await self.standing.footing()
        if footing.era is Era.MODERN:
            request_id = self._line.next_id()
            sent = self._outgoing(forward, None, request_id)
            frames = listening.modern(self._line.stream("POST", sent, dial, deadline), request_id, self._changed)
        else:
            frames = listening.legacy(self._line, self._legacy, self._sessions, forward, dial, deadline, self._changed)
        try:
            async with aclosing(frames):
                async for frame in frames:
                    yield frame
        except (UpstreamBroke, UpstreamUnavailable) as error:
            self.standing.failed(error, deadline.began)
            raise


def _listed(data: bytes, request_id: int) -> incoming.Heard:
    """Raises Unbelievable."""
    if data.count(b"[") + data.count(b"{") > _MOST_BRACKETS:
        raise incoming.Unbelievable(f"a page of over {_MOST_BRACKETS} brackets")
    return incoming.listed(data, request_id)
