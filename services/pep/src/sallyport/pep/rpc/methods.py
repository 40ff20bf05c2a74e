"""The closed table of methods: what has no row here is refused. A new method is a row and its reader."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from mcp_types import CLIENT_CAPABILITIES_META_KEY, CLIENT_INFO_META_KEY, LOG_LEVEL_META_KEY, PROTOCOL_VERSION_META_KEY

from sallyport.pep.model import (
    CallTool,
    Discover,
    Envelope,
    Era,
    Initialize,
    Json,
    ListTools,
    Message,
    Notification,
    Ping,
)
from sallyport.pep.refusal import Refusal
from sallyport.pep.rpc.envelope import Call, is_id, looks_like
from sallyport.pep.rpc.rejected import bad_params, invalid

Read = Callable[[Envelope, Mapping[str, Json]], Message | Refusal]

NAME_LENGTH: Final = 128
CURSOR_LENGTH: Final = 1024
VERSION_LENGTH: Final = 64
_BOTH: Final = frozenset(Era)
_LEGACY: Final = frozenset({Era.LEGACY})
_MODERN: Final = frozenset({Era.MODERN})
_META_KEYS: Final = frozenset(
    {
        PROTOCOL_VERSION_META_KEY,
        CLIENT_CAPABILITIES_META_KEY,
        CLIENT_INFO_META_KEY,
        LOG_LEVEL_META_KEY,
        "progressToken",
        "traceparent",
        "tracestate",
        "baggage",
    }
)
_LEGACY_KEYS: Final = frozenset({"task"})
_TRACEPARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(frozen=True, slots=True)
class Row:
    """One method: the eras that have it, whether a decision is asked for, its parameters and their reader."""

    eras: frozenset[Era]
    decided: bool
    notification: bool
    keys: frozenset[str]
    read: Read


def check_params(row: Row, call: Call, era: Era) -> Refusal | None:
    """Refuse unknown keys, look-alikes of known ones, and in the modern era a _meta without what it requires."""
    known = (row.keys if era is Era.LEGACY else row.keys - _LEGACY_KEYS) | {"_meta"}
    if any(looks_like(key, known) for key in call.params) or any(looks_like(key, _META_KEYS) for key in call.meta):
        return invalid("a key that only looks like a protocol key")
    if call.params.keys() - known:
        return bad_params("a parameter that this method does not have")
    return _check_meta(call.meta) if era is Era.MODERN else None


def traceparent(call: Call, header: str) -> str:
    """Give the W3C trace context of _meta, or else of the HTTP header; what isn't well-formed is dropped."""
    for value in (call.meta.get("traceparent"), header):
        if isinstance(value, str) and _TRACEPARENT.fullmatch(value):
            return value
    return ""


def _check_meta(meta: Mapping[str, Json]) -> Refusal | None:
    if not isinstance(meta.get(CLIENT_CAPABILITIES_META_KEY), dict):
        return bad_params("_meta lacks the client capabilities")
    if not isinstance(meta.get(CLIENT_INFO_META_KEY, {}), dict):
        return bad_params("_meta: clientInfo is no object")
    return None


def _initialize(envelope: Envelope, params: Mapping[str, Json]) -> Message | Refusal:
    version = params.get("protocolVersion")
    if not isinstance(version, str) or not 0 < len(version) <= VERSION_LENGTH:
        return bad_params("protocolVersion is no string of 1 to 64 characters")
    if not isinstance(params.get("capabilities"), dict) or not isinstance(params.get("clientInfo"), dict):
        return bad_params("capabilities or clientInfo is no object")
    return Initialize(envelope, version)


def _cancelled(envelope: Envelope, params: Mapping[str, Json]) -> Message | Refusal:
    # Over HTTP a call is cancelled by closing its connection; this one is taken and has no effect.
    if "requestId" in params and not is_id(params["requestId"]):
        return bad_params("requestId is no id")
    return Notification(envelope)


def _list_tools(envelope: Envelope, params: Mapping[str, Json]) -> Message | Refusal:
    cursor = params.get("cursor", "")
    if not isinstance(cursor, str) or len(cursor) > CURSOR_LENGTH:
        return bad_params("cursor is no string of at most 1024 characters")
    return ListTools(envelope, cursor if "cursor" in params else None)


def _call_tool(envelope: Envelope, params: Mapping[str, Json]) -> Message | Refusal:
    name, arguments = params.get("name"), params.get("arguments", {})
    if not isinstance(name, str) or not 0 < len(name) <= NAME_LENGTH:
        return bad_params("name is no string of 1 to 128 characters")
    if not isinstance(arguments, dict):
        return bad_params("arguments is no object")
    return CallTool(envelope, name, arguments)


def _bare(make: Callable[[Envelope], Message]) -> Read:
    return lambda envelope, _: make(envelope)


def _row(eras: frozenset[Era], read: Read, *keys: str, decided: bool = False, notification: bool = False) -> Row:
    return Row(eras, decided, notification, frozenset(keys), read)


# `task` is taken and ignored, as 2025-11-25 demands of a server without tasks. `inputResponses` and `requestState`
# have no place in any row: no such handle was ever given out, so none can be presented (N2).
METHODS: Final[Mapping[str, Row]] = {
    "initialize": _row(_LEGACY, _initialize, "protocolVersion", "capabilities", "clientInfo"),
    "ping": _row(_LEGACY, _bare(Ping)),
    "notifications/initialized": _row(_LEGACY, _bare(Notification), notification=True),
    "notifications/cancelled": _row(_BOTH, _cancelled, "requestId", "reason", notification=True),
    "notifications/progress": _row(
        _LEGACY, _bare(Notification), "progressToken", "progress", "total", "message", notification=True
    ),
    "notifications/roots/list_changed": _row(_LEGACY, _bare(Notification), notification=True),
    "server/discover": _row(_MODERN, _bare(Discover)),
    "tools/list": _row(_BOTH, _list_tools, "cursor", decided=True),
    "tools/call": _row(_BOTH, _call_tool, "name", "arguments", "task", decided=True),
}
