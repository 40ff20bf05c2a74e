"""The request line and the fields that frame a request: one reading, or a refusal (RFC 9112, RFC 9110 §7.2). Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sallyport.pep.refusal import SHAPES, Reason
from sallyport.pep.transport.limits import Limits

Headers = Sequence[tuple[bytes, bytes]]

_HOST: Final = re.compile(rb"(?:\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._~-]{1,255})(?::[0-9]{1,5})?")
_ABSOLUTE: Final = re.compile(rb"https?://([^/?#]*)(.*)", re.DOTALL | re.IGNORECASE)
# No %-escape, empty or dot segment, parameter or backslash: no two texts name the same route.
_PATH: Final = re.compile(rb"/(?:[A-Za-z0-9._~-]+/)*[A-Za-z0-9._~-]*")
_QUERY: Final = re.compile(rb"[\x21-\x7e]*")


@dataclass(frozen=True, slots=True)
class Bad:
    """Why a request goes no further, and the HTTP status to say so with."""

    reason: Reason
    detail: str
    status: int

    @classmethod
    def of(cls, reason: Reason, detail: str) -> Bad:
        return cls(reason, detail, SHAPES[reason].status)


@dataclass(frozen=True, slots=True)
class Target:
    path: bytes
    query: bytes


def check(version: str, method: bytes, target: bytes, headers: Headers, limits: Limits) -> Target | Bad:
    """Give the route of a request whose framing has exactly one meaning, and else the refusal."""
    if version != "1.1":
        return _invalid(f"HTTP version {version}")
    if method == b"CONNECT":
        return _invalid("CONNECT")
    return _framing(headers, limits) or _target(target, headers)


def _invalid(detail: str) -> Bad:
    return Bad.of(Reason.INVALID_REQUEST, detail)


def _values(headers: Headers, name: bytes) -> list[bytes]:
    return [value.strip(b" \t") for key, value in headers if key == name]


def _framing(headers: Headers, limits: Limits) -> Bad | None:
    lengths, codings = _values(headers, b"content-length"), _values(headers, b"transfer-encoding")
    if len(lengths) + len(codings) > 1:
        return _invalid("body length stated twice")  # request smuggling, RFC 9112 §6.1
    if codings and codings[0].lower() != b"chunked":
        return _invalid("transfer coding other than chunked")
    if lengths and not (lengths[0].isdigit() and len(lengths[0]) < 20):  # noqa: PLR2004 — 64 bits
        return _invalid("malformed Content-Length")
    if lengths and int(lengths[0]) > limits.body_bytes:
        return Bad.of(Reason.TOO_LARGE, "Content-Length over the cap")
    if _values(headers, b"upgrade"):
        return _invalid("upgrade")
    expected = _values(headers, b"expect")
    return _invalid("unknown expectation") if any(v.lower() != b"100-continue" for v in expected) else None


def _target(target: bytes, headers: Headers) -> Target | Bad:
    hosts = _values(headers, b"host")
    if len(hosts) != 1:
        return _invalid("Host missing or repeated")
    if not _HOST.fullmatch(hosts[0]):
        return _invalid("malformed Host")
    if absolute := _ABSOLUTE.fullmatch(target):
        if absolute[1].lower() != hosts[0].lower():
            return _invalid("target names another authority than Host")
        target = absolute[2]
    path, _, query = target.partition(b"?")
    if not _PATH.fullmatch(path) or any(segment in {b".", b".."} for segment in path.split(b"/")):
        return _invalid("malformed path")
    return Target(path, query) if _QUERY.fullmatch(query) else _invalid("malformed query")
