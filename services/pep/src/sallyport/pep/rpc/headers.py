"""The headers that somebody could believe: each once, in one spelling, with one value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from sallyport.pep.refusal import Reason, Refusal
from sallyport.pep.rpc.rejected import invalid, mismatch, refuse

Headers = tuple[tuple[bytes, bytes], ...]

_GUARDED: Final = frozenset(
    {
        "authorization",
        "proxy-authorization",
        "content-type",
        "content-encoding",
        "content-length",
        "transfer-encoding",
        "host",
        "origin",
        "cookie",
        "forwarded",
        "dpop",
        "x-api-key",
        "x-real-ip",
        "x-client-ip",
    }
)
_MCP: Final = frozenset({"mcp-protocol-version", "mcp-method", "mcp-name", "mcp-session-id"})
_PARAM: Final = "mcp-param-"
_GUARDED_PREFIXES: Final = ("mcp-", "x-user-", "x-agent-", "x-org-", "x-tenant-", "x-risk-", "x-forwarded-", "x-mcp-")
# A comma may stand in these: lists by their nature that nobody here believes, dates, and mirrored text.
_COMMA_ALLOWED: Final = ("forwarded", "x-forwarded-", "cookie", "mcp-name", "mcp-param-")
_VISIBLE: Final = re.compile(rb"[\x20-\x7e]*")
_JSON: Final = re.compile(r'application/json[ \t]*(?:;[ \t]*charset="?utf-8"?[ \t]*)?', re.IGNORECASE)
_ACCEPTED: Final = frozenset({"application/json", "application/*", "*/*"})


def read(headers: Headers) -> dict[str, str] | Refusal:
    """Give the guarded headers by lower-case name, or refuse those that two readers could read differently (N8)."""
    found: dict[str, str] = {}
    listed = {t.strip().lower() for n, v in headers if n == b"connection" for t in v.decode("latin-1").split(",")}
    for raw, value in headers:
        name = raw.decode("latin-1")
        if not _guarded(name.replace("_", "-")):
            continue
        if refusal := _ambiguous(name, value, listed, found):
            return refusal
        found[name] = value.decode("ascii")
    return found


def negotiable(found: Mapping[str, str], headers: Headers, origins: frozenset[str]) -> Refusal | None:
    """Check Origin (DNS rebinding), Content-Type and Accept."""
    if "origin" in found and found["origin"] not in origins:
        return refuse(Reason.FORBIDDEN_ORIGIN, "Origin is not in the configured list")
    if not _JSON.fullmatch(found.get("content-type", "")):
        return refuse(Reason.UNSUPPORTED_MEDIA_TYPE, "Content-Type is not application/json")
    if found.get("content-encoding", "identity") != "identity":  # a body that others would read otherwise
        return refuse(Reason.UNSUPPORTED_MEDIA_TYPE, "Content-Encoding is not supported")
    accepts = [v.decode("latin-1") for n, v in headers if n == b"accept"]
    if accepts and not any(_takes_json(part) for value in accepts for part in value.split(",")):
        return refuse(Reason.NOT_ACCEPTABLE, "Accept excludes application/json")
    return None


def _guarded(name: str) -> bool:
    return name in _GUARDED or name.startswith(_GUARDED_PREFIXES)


def _ambiguous(name: str, value: bytes, listed: set[str], found: Mapping[str, str]) -> Refusal | None:
    say = mismatch if name.startswith(("mcp-", "mcp_")) else invalid
    wrong = (
        ("_" in name, "a header name with an underscore looks like another"),  # CGI-style readers fold _ and -
        (not _has_a_body_part(name), "an Mcp header that the protocol does not have"),
        (name in listed, "a security header is listed in Connection"),  # the next hop would drop it
        (name in found, "a security header is repeated"),
        (not _VISIBLE.fullmatch(value), "a security header holds other than visible ASCII"),
        (b"," in value and not name.startswith(_COMMA_ALLOWED), "a security header holds several values"),
    )
    return next((say(detail) for applies, detail in wrong if applies), None)


def _has_a_body_part(name: str) -> bool:
    """An Mcp header that nothing in the body could match is refused like one that doesn't match."""
    return not name.startswith("mcp-") or name in _MCP or (name.startswith(_PARAM) and name != _PARAM)


def _takes_json(part: str) -> bool:
    media, *parameters = (piece.strip().lower() for piece in part.split(";"))
    zero = any(re.fullmatch(r"q=0(\.0{0,3})?", parameter) for parameter in parameters)
    return media in _ACCEPTED and not zero
