"""JSON-RPC as MCP 2025-11-25 has it: what a client may post, and what goes back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from sallyport.runtime import exact_json, strict_json
from sallyport.runtime.strict_json import Json

Id: TypeAlias = str | int

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INTERNAL_ERROR: Final = -32603
UNSUPPORTED_VERSION: Final = -32022
VERSIONS: Final = ("2025-11-25", "2025-06-18", "2025-03-26")  # those that this transport speaks
_MEMBERS: Final = frozenset({"jsonrpc", "id", "method", "params"})


class Malformed(Exception):
    """Not one request or notification."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


@dataclass(frozen=True, slots=True)
class Posted:
    method: str
    params: dict[str, Json] | None
    id: Id | None  # None: a notification


def posted(body: bytes) -> Posted:
    """Raises Malformed."""
    try:
        found = strict_json.parse(body)
    except strict_json.JsonRefused as refused:
        raise Malformed(PARSE_ERROR, f"not JSON as it is taken here: {refused}") from None
    if not isinstance(found, dict) or found.get("jsonrpc") != "2.0" or not found.keys() <= _MEMBERS:
        raise Malformed(INVALID_REQUEST, "one JSON-RPC request or notification is taken here, and no batch")
    method, params = found.get("method"), found.get("params", {})
    if not isinstance(method, str) or not isinstance(params, dict):
        raise Malformed(INVALID_REQUEST, "the method is a string and params an object")
    return Posted(method, params if "params" in found else None, _id(found))


def _id(found: dict[str, Json]) -> Id | None:
    if "id" not in found:
        return None
    given = found["id"]
    if isinstance(given, bool) or not isinstance(given, str | int):
        raise Malformed(INVALID_REQUEST, "an id is a string or an integer")
    return given


def request(number: int, method: str, params: Json) -> bytes:
    return message(id=number, method=method, **_params(params))


def notification(method: str, params: Json) -> bytes:
    return message(method=method, **_params(params))


def error(request_id: Json, code: int, text: str, data: Json = None) -> bytes:
    said: dict[str, Json] = {"code": code, "message": text}
    return message(id=request_id, error=said if data is None else {**said, "data": data})


def message(**members: Json) -> bytes:
    """Canonical, and so on one line: a newline in a string is escaped."""
    return exact_json.encode({"jsonrpc": "2.0", **members})


def _params(params: Json) -> dict[str, Json]:
    return {} if params is None else {"params": params}
