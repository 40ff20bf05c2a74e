"""Bytes → the members of one JSON-RPC 2.0 request or notification."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeGuard

from mcp_types.jsonrpc import JSONRPC_VERSION

from sallyport.pep.model import Json
from sallyport.pep.refusal import Reason, Refusal
from sallyport.pep.rpc.rejected import Rejected, bad_params, invalid
from sallyport.runtime import strict_json

MAX_KEYS: Final = 64  # of params and of _meta; no method of the protocol has more than six
MAX_KEY: Final = 128  # characters
MAX_MARKS: Final = 140_000  # brackets, commas and colons of a body: arguments as large as they may be have fewer
ID_LENGTH: Final = 256
METHOD_LENGTH: Final = 128
_MARKS: Final = (b",", b":", b"[", b"{")
_MEMBERS: Final = frozenset({"jsonrpc", "id", "method", "params"})


@dataclass(frozen=True, slots=True)
class Call:
    """A well-formed message of any method; `id` is None for a notification."""

    id: str | int | None
    method: str
    params: Mapping[str, Json]
    meta: Mapping[str, Json] = field(default_factory=dict)


def read(body: bytes, max_depth: int) -> Call | Rejected:
    if _has_too_many_marks(body):
        public = f"more than {MAX_MARKS} elements: brackets, commas and colons outside strings; send less at once"
        return Rejected(Refusal(Reason.MALFORMED, f"JSON: {public}", public))
    try:
        value = strict_json.parse(body, max_depth=max_depth)
    except strict_json.JsonRefused as error:
        return Rejected(Refusal(Reason.MALFORMED, f"JSON: {error}"))
    if not isinstance(value, dict):
        return Rejected(invalid("the body is no object; a batch is not taken"))
    request_id = value.get("id")
    known_id = request_id if is_id(request_id) else None
    if refusal := _members(value):
        return Rejected(refusal, known_id)
    return _call(value, known_id)


def _has_too_many_marks(body: bytes) -> bool:
    """Whether it would take long to parse, in one go in which nothing else goes on."""
    return _marks(body) > MAX_MARKS and _marks(strict_json.outside_strings(body)) > MAX_MARKS


def _marks(text: bytes) -> int:
    return sum(map(text.count, _MARKS))


def is_id(value: Json) -> TypeGuard[str | int]:
    """Tell whether it may be a request's id: a string of at most 256 characters or an integer, never null."""
    return (isinstance(value, int) and not isinstance(value, bool)) or (
        isinstance(value, str) and len(value) <= ID_LENGTH
    )


@dataclass(frozen=True, slots=True)
class Names:
    """The keys that the protocol has in one place."""

    known: frozenset[str]
    folded: frozenset[str]

    @classmethod
    def of(cls, *known: str) -> Names:
        return cls(frozenset(known), frozenset(map(_fold, known)))

    def looks_like(self, key: str) -> bool:
        """Tell whether a lenient reader would take `key` for a known one, though it isn't: Method, param\u017f, U+212A."""
        return key not in self.known and _fold(key) in self.folded


def _call(value: Mapping[str, Json], request_id: str | int | None) -> Call | Rejected:
    method, params = value["method"], value.get("params", {})
    if not isinstance(method, str) or not 0 < len(method) <= METHOD_LENGTH:
        return Rejected(invalid("method is no string of 1 to 128 characters"), request_id)
    if not isinstance(params, dict):
        return Rejected(bad_params("params is no object"), request_id, method=method)
    meta = params.get("_meta", {})
    if not isinstance(meta, dict):
        return Rejected(bad_params("_meta is no object"), request_id, method=method)
    if refusal := _crowded("params", params) or _crowded("_meta", meta):
        return Rejected(refusal, request_id, method=method)
    return Call(request_id, method, params, meta)


def _crowded(place: str, members: Mapping[str, Json]) -> Refusal | None:
    """Before any key is folded: that takes the square of the combining marks in it."""
    if len(members) > MAX_KEYS:
        return bad_params(f"{place} has more than {MAX_KEYS} members")
    if any(len(key) > MAX_KEY for key in members):
        return bad_params(f"{place} has a key of more than {MAX_KEY} characters")
    return None


def _fold(text: str) -> str:
    letters = (c for c in unicodedata.normalize("NFKC", text).casefold() if c.isalnum() or c in "/.")
    return "".join(letters)


def _members(value: Mapping[str, Json]) -> Refusal | None:
    if "result" in value or "error" in value:
        return invalid("a response is not taken from a client")
    if not value.keys() <= _MEMBERS:
        return invalid("a member that JSON-RPC does not have")
    if value.get("jsonrpc") != JSONRPC_VERSION or "method" not in value:
        return invalid("jsonrpc is not 2.0, or method is missing")
    if "id" in value and not is_id(value["id"]):
        return invalid("id is no integer and no string of at most 256 characters")
    return None
