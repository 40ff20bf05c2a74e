"""What the era with a handshake needs beside the request itself: 2025-11-25 and the revisions before it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS

from sallyport.pep.model import Era, Failed, Identity, Json
from sallyport.pep.upstream.channel import Dial, own
from sallyport.pep.upstream.deadline import Deadline
from sallyport.pep.upstream.failures import UpstreamBroke, UpstreamUnavailable
from sallyport.pep.upstream.incoming import Heard, Question
from sallyport.pep.upstream.line import SESSION, Line, Outgoing
from sallyport.pep.upstream.notices import LEVELS
from sallyport.pep.upstream.outgoing import NAME, body, notification
from sallyport.pep.upstream.sessions import Session
from sallyport.runtime import canonical_json

UNUSABLE: Final = "its server can't be used"
_SECONDS: Final = 10.0  # for a handshake
_LAST_WORD: Final = 1.0  # for what is sent when all is over
_SMALL: Final = 256 << 10
_AT_ONCE: Final = 32
_SESSION_ID: Final = re.compile(r"[!-~]{1,1024}")  # visible ASCII only (Session Management)
_METHOD_NOT_FOUND: Final = -32601
_ACCEPTED: Final = range(200, 300)


def headers(session: Session) -> dict[str, str]:
    found = {"MCP-Protocol-Version": session.version}
    return {**found, SESSION: session.id} if session.id else found


async def ignore(_heard: Heard) -> None:
    """Nothing on this stream is waited for but the answer."""


class Legacy:
    """The gate as a client of one upstream: it declares no capability, so that nothing may be asked of it."""

    def __init__(self, line: Line, version: str) -> None:
        self._line, self._info = line, {"name": NAME, "version": version}

    async def begin(self, identity: Identity | None) -> Session:
        """Shake hands. A session without an id: the upstream keeps no state. Raises UpstreamUnavailable."""
        try:
            async with Deadline(_SECONDS, None) as deadline:
                session = await self._initialize(identity, deadline)
                await self._initialized(session, deadline)
                return session
        except UpstreamBroke as broke:
            raise UpstreamUnavailable(broke.public, f"in the handshake: {broke}", fault=broke.fault, met=True) from None
        except TimeoutError:
            raise UpstreamUnavailable(UNUSABLE, "no handshake in time", fault=True, met=True) from None

    async def _initialized(self, session: Session, deadline: Deadline) -> None:
        told = self._sent(session, notification("notifications/initialized", {}))
        whole = False
        try:
            if await self._line.tell(told, deadline) not in _ACCEPTED:
                raise UpstreamUnavailable(UNUSABLE, "it refuses notifications/initialized")
            whole = True
        finally:
            if not whole and session.id:  # nobody else will know of it
                self._line.aside(self.end(session))

    async def _initialize(self, identity: Identity | None, deadline: Deadline) -> Session:
        params: dict[str, Json] = {
            "capabilities": {},
            "clientInfo": {**self._info},
            "protocolVersion": Era.LEGACY.value,
        }
        request_id = self._line.next_id()
        wire = body(request_id, "initialize", canonical_json.encode(params), {})
        sent = Outgoing(request_id, wire, {}, identity, "", _SMALL)
        answer, session_id = await self._line.ask(sent, own(), deadline, ignore)
        if isinstance(answer, Failed):
            raise UpstreamUnavailable(UNUSABLE, f"it refuses the handshake with error {answer.code}")
        version = answer.result.get("protocolVersion")
        if version not in HANDSHAKE_PROTOCOL_VERSIONS:
            raise UpstreamUnavailable(UNUSABLE, "it speaks no revision that we do")
        if session_id and not _SESSION_ID.fullmatch(session_id):
            raise UpstreamUnavailable(UNUSABLE, "its session id is none")
        return Session(session_id, str(version), identity)

    async def end(self, session: Session) -> None:
        """DELETE; an upstream may refuse that, or be gone."""
        with suppress(UpstreamUnavailable, UpstreamBroke, TimeoutError):
            async with Deadline(_LAST_WORD, None) as deadline:
                await self._line.delete(self._sent(session, b""), deadline)

    async def end_all(self, sessions: Sequence[Session]) -> None:
        """As many as can be ended in a moment; the others end when the upstream is tired of them."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORD):
                for at in range(0, len(sessions), _AT_ONCE):
                    await asyncio.gather(*(self.end(session) for session in sessions[at : at + _AT_ONCE] if session.id))

    async def cancel(self, session: Session, request_id: int) -> None:
        """A closed connection isn't a cancellation in this era, so it is said."""
        params: Mapping[str, Json] = {"reason": "the caller is gone", "requestId": request_id}
        with suppress(UpstreamUnavailable, UpstreamBroke, TimeoutError):
            async with Deadline(_LAST_WORD, None) as deadline:
                await self._line.tell(self._sent(session, notification("notifications/cancelled", params)), deadline)

    async def decline(self, session: Session, question: Question, deadline: Deadline) -> None:
        """Nothing is asked of a client through the gate in this era; it lives, though."""
        answer: dict[str, Json] = {"jsonrpc": "2.0", "id": question.id}
        if question.method == "ping":
            answer["result"] = {}
        else:
            answer["error"] = {"code": _METHOD_NOT_FOUND, "message": "not passed on by the gate"}
        with suppress(UpstreamUnavailable, UpstreamBroke):
            await self._line.tell(self._sent(session, canonical_json.encode(answer)), deadline)

    async def want_level(self, session: Session, level: str, deadline: Deadline) -> None:
        """Once a session for each finer level: what is finer than a request's own is dropped by us."""
        wanted = LEVELS.index(level) if level in LEVELS else len(LEVELS)
        async with session.levelling:
            if wanted < session.level and session.id:
                request_id = self._line.next_id()
                wire = body(request_id, "logging/setLevel", canonical_json.encode({"level": level}), {})
                with suppress(UpstreamBroke):  # it may have no logging
                    await self._line.ask(self._sent(session, wire, request_id), own(), deadline, ignore)
                session.level = wanted

    async def subscribe(self, session: Session, uri: str, dial: Dial, deadline: Deadline) -> bool:
        request_id = self._line.next_id()
        wire = body(request_id, "resources/subscribe", canonical_json.encode({"uri": uri}), {})
        answer, _ = await self._line.ask(self._sent(session, wire, request_id), dial, deadline, ignore)
        return not isinstance(answer, Failed)

    def _sent(self, session: Session, wire: bytes, request_id: int | None = None) -> Outgoing:
        return Outgoing(request_id, wire, headers(session), session.identity, "", _SMALL)
