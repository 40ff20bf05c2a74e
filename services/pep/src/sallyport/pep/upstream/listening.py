"""Streams of changes: subscriptions/listen of a modern upstream, and what a legacy one has in its place."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Final, TypeAlias

from sallyport.pep.model import Failed, Json, Reply
from sallyport.pep.upstream.channel import Dial
from sallyport.pep.upstream.deadline import Deadline
from sallyport.pep.upstream.failures import UpstreamBroke
from sallyport.pep.upstream.forward import Forward
from sallyport.pep.upstream.incoming import Heard, Notice, Question
from sallyport.pep.upstream.legacy import Legacy, headers
from sallyport.pep.upstream.line import Line, Outgoing
from sallyport.pep.upstream.notices import LIST_CHANGED
from sallyport.pep.upstream.sessions import Sessions
from sallyport.runtime import strict_json

Frame: TypeAlias = tuple[str, Mapping[str, Json]]

ACKNOWLEDGED: Final = "notifications/subscriptions/acknowledged"
UPDATED: Final = "notifications/resources/updated"
MAX_FRAME: Final = 256 << 10
_ID: Final = "io.modelcontextprotocol/subscriptionId"
_FLAGS: Final = ("toolsListChanged", "promptsListChanged", "resourcesListChanged")
_URIS: Final = "resourceSubscriptions"
_REFUSED: Final = "its server offers no such stream"


async def modern(
    stream: AsyncGenerator[Heard], request_id: int, changed: Callable[[str], None]
) -> AsyncGenerator[Frame]:
    """Up to the answer that ends it."""
    async with aclosing(stream):
        async for heard in stream:
            if isinstance(heard, Failed):
                raise UpstreamBroke(_REFUSED, f"error {heard.code} to subscriptions/listen")
            if isinstance(heard, Reply):
                return
            if isinstance(heard, Notice) and _is_of(heard, request_id) and (frame := _frame(heard, changed)):
                yield frame


async def legacy(
    line: Line,
    legacy: Legacy,
    sessions: Sessions,
    forward: Forward,
    dial: Dial,
    deadline: Deadline,
    changed: Callable[[str], None],
) -> AsyncGenerator[Frame]:
    """In a session of its own: its GET stream, after a subscription for each resource."""
    async with sessions.apart(forward.identity) as session:
        wanted = _wanted(forward.params)
        granted: dict[str, Json] = {flag: True for flag in _FLAGS if wanted.get(flag) is True}
        uris = wanted.get(_URIS)
        if isinstance(uris, list):
            granted[_URIS] = [
                uri for uri in uris if isinstance(uri, str) and await legacy.subscribe(session, uri, dial, deadline)
            ]
        sent = Outgoing(None, b"", headers(session), forward.identity, forward.digest, MAX_FRAME)
        begun = False
        async with aclosing(line.stream("GET", sent, dial, deadline)) as stream:
            async for heard in stream:
                if isinstance(heard, Failed):
                    raise UpstreamBroke(_REFUSED, f"error {heard.code} to GET")
                if not begun:
                    begun = True
                    yield ACKNOWLEDGED, {"notifications": granted}
                if isinstance(heard, Question):
                    await legacy.decline(session, heard, deadline)
                elif isinstance(heard, Notice) and (frame := _frame(heard, changed)):
                    yield frame


def _frame(notice: Notice, changed: Callable[[str], None]) -> Frame | None:
    """`_meta` is the gate's own to give."""
    if kind := LIST_CHANGED.get(notice.method):
        changed(kind)
        return notice.method, {}
    if notice.method not in {ACKNOWLEDGED, UPDATED}:
        return None
    return notice.method, {key: value for key, value in notice.params.items() if key != "_meta"}


def _is_of(notice: Notice, request_id: int) -> bool:
    meta = notice.params.get("_meta")
    tag = meta.get(_ID) if isinstance(meta, dict) else None
    return tag is None or str(tag) == str(request_id)


def _wanted(params: bytes) -> Mapping[str, Json]:
    given = strict_json.parse(params)
    wanted = given.get("notifications") if isinstance(given, dict) else None
    return wanted if isinstance(wanted, dict) else {}
