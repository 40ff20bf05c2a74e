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
    accepts = [v.decode("latin-1") for n, v in headers if n == b"accept"]
    if accepts and not any(_takes_json(part) for value in accepts for part in value.split(",")):
        return refuse(Reason.NOT_ACCEPTABLE, "Accept excludes application/json")
    return None


def _guarded(name: str) -> bool:
    return name in _GUARDED or name.startswith(_GUARDED_PREFIXES)


def _ambiguous(name: str, value: bytes, listed: set[str], found: Mapping[str, str]) -> Refusal | None:
    say = mismatch if name.startswith("mcp-") else invalid
    if "_" in name:
        return say("a header name with an underscore looks like another")  # CGI-style readers fold _ and -
    if name in listed:
        return say("a security header is listed in Connection")  # the next hop would drop it
    if name in found:
        return say("a security header is repeated")
    if not _VISIBLE.fullmatch(value):
        return say("a security header holds other than visible ASCII")
    if b"," in value and not name.startswith(_COMMA_ALLOWED):
        return say("a security header holds several values")
    return None


def _takes_json(part: str) -> bool:
    media, *parameters = (piece.strip().lower() for piece in part.split(";"))
    zero = any(re.fullmatch(r"q=0(\.0{0,3})?", parameter) for parameter in parameters)
    return media in _ACCEPTED and not zero
