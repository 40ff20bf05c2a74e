"""Requests to /mcp as model values, right in every detail but the one that a test changes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mcp_types import CLIENT_CAPABILITIES_META_KEY, PROTOCOL_VERSION_META_KEY

from sallyport.pep.model import Era, Peer, Request

BOTH = frozenset(Era)
# What Mcp-Name repeats.
_NAMED = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"} | dict.fromkeys(
    ("tasks/get", "tasks/update", "tasks/cancel"), "taskId"
)
META: dict[str, Any] = {PROTOCOL_VERSION_META_KEY: "2026-07-28", CLIENT_CAPABILITIES_META_KEY: {}}


def request(body: bytes, headers: Mapping[str, str] | list[tuple[str, str]] | None = None) -> Request:
    """One POST with these headers beside Host, Content-Type and Accept."""
    pairs = list(headers.items()) if isinstance(headers, Mapping) else list(headers or [])
    names = {name.lower() for name, _ in pairs}
    usual = [("host", "localhost"), ("content-type", "application/json"), ("accept", "application/json")]
    pairs = [pair for pair in usual if pair[0] not in names] + pairs
    raw = tuple((name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in pairs)
    return Request(Peer("127.0.0.1"), "POST", raw, body)


def encoded(method: str, params: Mapping[str, Any] | None = None, request_id: Any = 1) -> bytes:
    message: dict[str, Any] = {"jsonrpc": "2.0", "method": method}
    if request_id is not None:
        message["id"] = request_id
    if params is not None:
        message["params"] = params
    return json.dumps(message).encode()


def legacy(method: str, params: Mapping[str, Any] | None = None, request_id: Any = 1, **headers: str) -> Request:
    version = {} if method == "initialize" else {"mcp-protocol-version": "2025-11-25"}
    changed = {name.replace("_", "-"): value for name, value in headers.items()}
    return request(encoded(method, params, request_id), {**version, **changed})


def modern(method: str, params: Mapping[str, Any] | None = None, request_id: Any = 1, **headers: str) -> Request:
    params = {"_meta": META, **(params or {})}
    usual = {"mcp-protocol-version": "2026-07-28", "mcp-method": method}
    if method in _NAMED:
        usual["mcp-name"] = str(params.get(_NAMED[method], ""))
    changed = {name.replace("_", "-"): value for name, value in headers.items()}
    return request(encoded(method, params, request_id), {**usual, **changed})
