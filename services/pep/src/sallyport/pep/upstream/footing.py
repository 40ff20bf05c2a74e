"""On which footing we are with an upstream: which era it speaks, and whether it keeps sessions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mcp_types import CLIENT_CAPABILITIES_META_KEY, CLIENT_INFO_META_KEY, PROTOCOL_VERSION_META_KEY
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS

from sallyport.pep.model import Era, Failed, Json, Reply
from sallyport.pep.upstream.channel import own
from sallyport.pep.upstream.deadline import Deadline
from sallyport.pep.upstream.failures import UpstreamBroke, UpstreamUnavailable
from sallyport.pep.upstream.incoming import Unbelievable
from sallyport.pep.upstream.legacy import UNUSABLE, Legacy, ignore
from sallyport.pep.upstream.line import HttpRefused, Line, Outgoing
from sallyport.pep.upstream.outgoing import NAME, body
from sallyport.pep.upstream.sessions import Session

UNSUPPORTED_VERSION: Final = -32022
_METHOD: Final = "server/discover"
_SECONDS: Final = 10.0
_SMALL: Final = 256 << 10
_CLIENT_ERRORS: Final = range(400, 500)
_SERVER_ERRORS: Final = range(500, 600)
_ABOUT_US: Final = frozenset({401, 403, 407, 408, 425, 429})  # says nothing of what the server speaks


@dataclass(frozen=True, slots=True)
class Footing:
    era: Era
    session: Session | None = None  # legacy: the gate's own; without an id the upstream keeps none


async def settle(line: Line, legacy: Legacy, asked: str, version: str) -> Footing:
    """Ask `server/discover`, and what doesn't show a modern server is shaken hands with (Versioning).

    Raises UpstreamUnavailable: no caller's request was sent.
    """
    if asked != Era.LEGACY.value and await _is_modern(line, version):
        return Footing(Era.MODERN)
    if asked == Era.MODERN.value:
        raise UpstreamUnavailable(UNUSABLE, f"it doesn't speak {asked}; correct `era`")
    return Footing(Era.LEGACY, await legacy.begin(None))


async def _is_modern(line: Line, version: str) -> bool:
    try:
        async with Deadline(_SECONDS, None) as deadline:
            answer, _ = await line.ask(_discover(line.next_id(), version), own(), deadline, ignore)
    except HttpRefused as refused:
        if refused.status in _CLIENT_ERRORS and refused.status not in _ABOUT_US:
            return False
        fault = refused.status in _SERVER_ERRORS  # no caller had a part in this question
        raise UpstreamUnavailable(refused.public, f"asked what it speaks: {refused}", fault=fault) from None
    except Unbelievable:
        return False  # an outage says nothing, but an answer that isn't one is no modern server's
    except UpstreamBroke as broke:
        raise UpstreamUnavailable(broke.public, f"asked what it speaks: {broke}", fault=broke.fault) from None
    except TimeoutError:
        raise UpstreamUnavailable(UNUSABLE, "asked what it speaks: no answer in time", fault=True) from None
    return _speaks(answer)


def _speaks(answer: Reply | Failed) -> bool:
    if isinstance(answer, Reply):
        spoken = answer.result.get("supportedVersions")
        return isinstance(spoken, list) and Era.MODERN.value in spoken
    spoken = answer.data.get("supported") if isinstance(answer.data, dict) else None
    shaken = not isinstance(spoken, list) or any(one in HANDSHAKE_PROTOCOL_VERSIONS for one in spoken)
    if answer.code == UNSUPPORTED_VERSION and not shaken:
        raise UpstreamUnavailable(UNUSABLE, "it speaks no revision that we do")
    return False


def _discover(request_id: int, version: str) -> Outgoing:
    meta: dict[str, Json] = {
        PROTOCOL_VERSION_META_KEY: Era.MODERN.value,
        CLIENT_CAPABILITIES_META_KEY: {},
        CLIENT_INFO_META_KEY: {"name": NAME, "version": version},
    }
    headers = {"MCP-Protocol-Version": Era.MODERN.value, "Mcp-Method": _METHOD}
    return Outgoing(request_id, body(request_id, _METHOD, b"{}", meta), headers, None, "", _SMALL)
