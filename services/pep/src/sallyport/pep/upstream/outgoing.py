"""One request as bytes and headers. Nothing of it is the client's but what was judged, and it is sent as it was judged."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Final

from mcp_types import CLIENT_CAPABILITIES_META_KEY, CLIENT_INFO_META_KEY, LOG_LEVEL_META_KEY, PROTOCOL_VERSION_META_KEY

from sallyport.pep.model import Era, Json
from sallyport.pep.upstream.forward import Forward
from sallyport.runtime import canonical_json

TASKS: Final = "io.modelcontextprotocol/tasks"
CAPABILITIES: Final = frozenset({"elicitation", "sampling", "roots", TASKS})  # that may be passed on at all
NAME: Final = "sallyport"

_PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    "elicitation": ("form", "url"),
    "sampling": ("tools", "context"),
    "roots": (),
}
_PLAIN: Final = re.compile(r"(?!=\?base64\?.*\?=\Z)(?:[!-~](?:[ -~]*[!-~])?)?")
_PARAM: Final = re.compile(r"[Mm]cp-[Pp]aram-[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,128}")


def body(request_id: int, method: str, params: bytes, meta: Mapping[str, Json]) -> bytes:
    """Splice `_meta` into the judged parameters, of which no byte changes (N11)."""
    if params.startswith(b'{"_meta"') or not (params.startswith(b"{") and params.endswith(b"}")):
        raise ValueError("params is no canonical object without _meta")
    head = b'{"jsonrpc":"2.0","id":%d,"method":%s,"params":' % (request_id, canonical_json.encode(method))
    if not meta:
        return b"".join((head, params, b"}"))
    comma = b"" if params == b"{}" else b","
    return b"".join((head, params[:-1], comma, b'"_meta":', canonical_json.encode(dict(meta)), b"}}"))


def notification(method: str, params: Mapping[str, Json]) -> bytes:
    return canonical_json.encode({"jsonrpc": "2.0", "method": method, "params": dict(params)})


def modern_meta(forward: Forward, token: int, version: str, passed: AbstractSet[str]) -> dict[str, Json]:
    """What every modern request says of itself; `token` is the progress token, where progress was asked for."""
    envelope = forward.envelope
    declared = capabilities(envelope.capabilities, passed) if envelope else {}
    meta: dict[str, Json] = {
        PROTOCOL_VERSION_META_KEY: Era.MODERN.value,
        CLIENT_CAPABILITIES_META_KEY: declared,
        CLIENT_INFO_META_KEY: {"name": NAME, "version": version},
        **legacy_meta(forward, token),
    }
    if envelope and envelope.log_level:
        meta[LOG_LEVEL_META_KEY] = envelope.log_level
    return meta


def legacy_meta(forward: Forward, token: int) -> dict[str, Json]:
    meta: dict[str, Json] = {}
    if forward.envelope and forward.envelope.progress_token is not None:
        meta["progressToken"] = token
    if forward.envelope and forward.envelope.traceparent:
        meta["traceparent"] = forward.envelope.traceparent
    return meta


def capabilities(declared: Mapping[str, Json], passed: AbstractSet[str]) -> dict[str, Json]:
    """The caller's capabilities as far as they are known and passed on, in our words: no byte of theirs goes out."""
    found: dict[str, Json] = {}
    for name, parts in _PARTS.items():
        value = declared.get(name)
        if name in passed and isinstance(value, dict):
            found[name] = {part: {} for part in parts if isinstance(value.get(part), dict)}
    extensions = declared.get("extensions")
    if TASKS in passed and isinstance(extensions, dict) and isinstance(extensions.get(TASKS), dict):
        found["extensions"] = {TASKS: {}}
    return found


def modern_headers(forward: Forward) -> dict[str, str]:
    """Every header that repeats the body, and the version. Raises ValueError where a parameter's header is none."""
    headers = {"MCP-Protocol-Version": Era.MODERN.value, "Mcp-Method": forward.method}
    if forward.name:
        headers["Mcp-Name"] = header_value(forward.name)
    for name, value in forward.param_headers:
        if not _PARAM.fullmatch(name) or not (value and value.isascii() and value.isprintable()):
            raise ValueError("a parameter's header that can't be one")
        headers[name] = value
    return headers | trace(forward)


def trace(forward: Forward) -> dict[str, str]:
    return {"traceparent": forward.envelope.traceparent} if forward.envelope and forward.envelope.traceparent else {}


def header_value(text: str) -> str:
    """=?base64?…?= where a header couldn't carry the text as it is, or it looks encoded already (Value Encoding)."""
    if _PLAIN.fullmatch(text):
        return text
    return f"=?base64?{base64.b64encode(text.encode()).decode()}?="
