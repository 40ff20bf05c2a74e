"""Which revision a message is in. No message chooses the one with fewer checks by leaving something out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from mcp_types import PROTOCOL_VERSION_META_KEY
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS

from sallyport.pep.model import Era, Json
from sallyport.pep.refusal import Reason, Refusal
from sallyport.pep.rpc.envelope import Call
from sallyport.pep.rpc.rejected import bad_params, mismatch

_SHOWABLE: Final = re.compile(r"[A-Za-z0-9._-]{1,32}")


def of(call: Call, headers: Mapping[str, str], eras: frozenset[Era]) -> Era | Refusal:
    """Give the era by the MCP-Protocol-Version header (Streamable HTTP, Protocol Version Header), or why there is none."""
    header = headers.get("mcp-protocol-version")
    if call.method == "initialize" and header != Era.MODERN:
        return _handshake(call, header, eras)
    if header is None:
        if PROTOCOL_VERSION_META_KEY in call.meta:
            return mismatch("_meta states a protocol version, MCP-Protocol-Version is missing")
        return _if_spoken(Era.LEGACY, eras)  # initialize has no answer to remember here: the newest legacy revision
    if header == Era.LEGACY:
        return _if_spoken(Era.LEGACY, eras)  # also with modern _meta, which stays opaque then
    if header == Era.MODERN:
        return _modern(call, eras)
    return unsupported(header, eras)


def unsupported(requested: str, eras: frozenset[Era]) -> Refusal:
    """-32022, with what is spoken (2026-07-28, Versioning)."""
    shown = requested if _SHOWABLE.fullmatch(requested) else ""
    data: dict[str, Json] = {"supported": [*sorted(era.value for era in eras)], "requested": shown}
    return Refusal(Reason.UNSUPPORTED_VERSION, "protocol version not spoken", data=data)


def _handshake(call: Call, header: str | None, eras: frozenset[Era]) -> Era | Refusal:
    # Older clients are answered with 2025-11-25 and leave if they can't speak it (2025-11-25, Lifecycle).
    if header is not None and header != call.params.get("protocolVersion"):
        return mismatch("MCP-Protocol-Version and params.protocolVersion disagree")
    if header is not None and header not in HANDSHAKE_PROTOCOL_VERSIONS:
        return unsupported(header, eras)
    return _if_spoken(Era.LEGACY, eras)


def _modern(call: Call, eras: frozenset[Era]) -> Era | Refusal:
    if PROTOCOL_VERSION_META_KEY not in call.meta:
        return bad_params("_meta lacks the protocol version")
    if call.meta[PROTOCOL_VERSION_META_KEY] != Era.MODERN:
        return mismatch("MCP-Protocol-Version and _meta disagree")
    return _if_spoken(Era.MODERN, eras)


def _if_spoken(era: Era, eras: frozenset[Era]) -> Era | Refusal:
    return era if era in eras else unsupported(era.value, eras)
