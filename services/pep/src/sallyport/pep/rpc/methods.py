"""The closed table of methods: what has no row here is refused. A new method is a row and its reader."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from mcp_types import CLIENT_CAPABILITIES_META_KEY, CLIENT_INFO_META_KEY, LOG_LEVEL_META_KEY, PROTOCOL_VERSION_META_KEY

from sallyport.pep.model import (
    Discover,
    Envelope,
    Era,
    Json,
    ListPrompts,
    ListResources,
    ListTools,
    Message,
    Notification,
    Ping,
)
from sallyport.pep.refusal import Refusal
from sallyport.pep.rpc import readers
from sallyport.pep.rpc.envelope import Call, Names, is_id
from sallyport.pep.rpc.readers import LEVELS, RETRIED, Read
from sallyport.pep.rpc.rejected import bad_params, invalid

LEGACY_LEVEL: Final = (
    "info"  # no request remembers another's logging/setLevel here (2025-11-25, Logging: ours to choose)
)
_BOTH: Final = frozenset(Era)
_LEGACY: Final = frozenset({Era.LEGACY})
_MODERN: Final = frozenset({Era.MODERN})
_META_KEYS: Final = Names.of(
    PROTOCOL_VERSION_META_KEY,
    CLIENT_CAPABILITIES_META_KEY,
    CLIENT_INFO_META_KEY,
    LOG_LEVEL_META_KEY,
    "progressToken",
    "traceparent",
    "tracestate",
    "baggage",
)
_LEGACY_KEYS: Final = frozenset({"task"})
_MODERN_KEYS: Final = frozenset(RETRIED)
_TRACEPARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(frozen=True, slots=True)
class Row:
    """One method: the eras that have it, whether a decision is asked for, its parameters and their reader."""

    eras: frozenset[Era]
    decided: bool
    notification: bool
    keys: frozenset[str]
    read: Read
    names: Mapping[Era, Names]  # of its parameters, by the era


def check_params(row: Row, call: Call, era: Era) -> Refusal | None:
    """Refuse unknown keys, look-alikes of known ones, and in the modern era a _meta without what it requires."""
    names = row.names[era]
    if any(map(names.looks_like, call.params)) or any(map(_META_KEYS.looks_like, call.meta)):
        return invalid("a key that only looks like a protocol key")
    if not call.params.keys() <= names.known:
        return bad_params("a parameter that this method does not have")
    if not is_id(call.meta.get("progressToken", 0)):
        return bad_params("_meta: progressToken is no integer and no string of at most 256 characters")
    return _check_meta(call.meta) if era is Era.MODERN else None


def envelope(call: Call, era: Era, trace: str) -> Envelope:
    """What the request says of itself. Of a legacy client the capabilities aren't known here, so it has none."""
    token = call.meta.get("progressToken")
    level = call.meta.get(LOG_LEVEL_META_KEY) if era is Era.MODERN else LEGACY_LEVEL
    offered = call.meta.get(CLIENT_CAPABILITIES_META_KEY) if era is Era.MODERN else None
    return Envelope(
        call.id,
        era,
        era.value,
        call.method,
        traceparent(call, trace),
        offered if isinstance(offered, dict) else {},
        level if isinstance(level, str) else "",
        token if isinstance(token, str | int) else None,
    )


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
    level = meta.get(LOG_LEVEL_META_KEY, "info")
    if not isinstance(level, str) or level not in LEVELS:
        return bad_params("_meta: logLevel is no level of RFC 5424")
    return None


def _bare(make: Callable[[Envelope], Message]) -> Read:
    return lambda envelope, _: make(envelope)


def _row(eras: frozenset[Era], read: Read, *keys: str, decided: bool = False, notification: bool = False) -> Row:
    others = {Era.LEGACY: _MODERN_KEYS, Era.MODERN: _LEGACY_KEYS}
    names = {era: Names.of("_meta", *(key for key in keys if key not in others[era])) for era in eras}
    return Row(eras, decided, notification, frozenset(keys), read, names)


# `task` is taken and ignored, as 2025-11-25 demands of a server without its tasks.
METHODS: Final[Mapping[str, Row]] = {
    "initialize": _row(_LEGACY, readers.initialize, "protocolVersion", "capabilities", "clientInfo"),
    "ping": _row(_LEGACY, _bare(Ping)),
    "notifications/initialized": _row(_LEGACY, _bare(Notification), notification=True),
    "notifications/cancelled": _row(_BOTH, readers.cancelled, "requestId", "reason", notification=True),
    "notifications/progress": _row(
        _LEGACY, _bare(Notification), "progressToken", "progress", "total", "message", notification=True
    ),
    "notifications/roots/list_changed": _row(_LEGACY, _bare(Notification), notification=True),
    "server/discover": _row(_MODERN, _bare(Discover)),
    "tools/list": _row(_BOTH, readers.listing(ListTools), "cursor", decided=True),
    "tools/call": _row(_BOTH, readers.call_tool, "name", "arguments", "task", *RETRIED, decided=True),
    "prompts/list": _row(_BOTH, readers.listing(ListPrompts), "cursor", decided=True),
    "prompts/get": _row(_BOTH, readers.get_prompt, "name", "arguments", *RETRIED, decided=True),
    "resources/list": _row(_BOTH, readers.listing(ListResources), "cursor", decided=True),
    "resources/templates/list": _row(
        _BOTH, readers.listing(partial(ListResources, templates=True)), "cursor", decided=True
    ),
    "resources/read": _row(_BOTH, readers.read_resource, "uri", *RETRIED, decided=True),
    "resources/subscribe": _row(_LEGACY, readers.subscribe, "uri", decided=True),
    "resources/unsubscribe": _row(_LEGACY, readers.unsubscribe, "uri"),
    "completion/complete": _row(_BOTH, readers.complete, "ref", "argument", "context", decided=True),
    "logging/setLevel": _row(_LEGACY, readers.set_level, "level", decided=True),
    "subscriptions/listen": _row(_MODERN, readers.listen, "notifications", decided=True),
    "tasks/get": _row(_MODERN, readers.about_task, "taskId", decided=True),
    "tasks/update": _row(_MODERN, readers.about_task, "taskId", "inputResponses", decided=True),
    "tasks/cancel": _row(_MODERN, readers.about_task, "taskId", decided=True),
}
