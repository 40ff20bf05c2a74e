"""What goes back: JSON-RPC results as each era wants them. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final

from mcp_types import SERVER_INFO_META_KEY
from mcp_types.jsonrpc import JSONRPC_VERSION

from sallyport.pep.model import Era, Json, ToolOutput

SERVER_NAME: Final = "sallyport"
_CAPABILITIES: Final[Mapping[str, Json]] = {"tools": {}}


def envelope(request_id: str | int, result: Mapping[str, Json]) -> bytes:
    """Give the body of an answer to the request of this id."""
    message = {"jsonrpc": JSONRPC_VERSION, "id": request_id, "result": result}
    return json.dumps(message, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def initialize(version: str) -> dict[str, Json]:
    """Legacy only: the handshake's answer, always 2025-11-25. `version` is this program's."""
    info: Json = {"name": SERVER_NAME, "version": version}
    return {"protocolVersion": Era.LEGACY.value, "capabilities": dict(_CAPABILITIES), "serverInfo": info}


def discover(eras: frozenset[Era], version: str) -> dict[str, Json]:
    """Modern only: the revisions spoken and the capabilities."""
    spoken: list[Json] = [*sorted(era.value for era in eras)]
    return _fresh({"supportedVersions": spoken, "capabilities": dict(_CAPABILITIES)}, Era.MODERN, version)


def empty(era: Era, version: str) -> dict[str, Json]:
    return _complete({}, era, version)


def tools_list(tools: Sequence[dict[str, Json]], era: Era, version: str) -> dict[str, Json]:
    """All visible tools on one page. A filtered list is private to its caller and stale at once (Caching)."""
    return _fresh({"tools": [*tools]}, era, version)


def tools_call(output: ToolOutput, era: Era, version: str) -> dict[str, Json]:
    result: dict[str, Json] = {"content": [*output.content], "isError": output.is_error}
    if output.structured is not None:
        result["structuredContent"] = output.structured
    return _complete(result, era, version)


def _fresh(result: dict[str, Json], era: Era, version: str) -> dict[str, Json]:
    caching: dict[str, Json] = {"ttlMs": 0, "cacheScope": "private"} if era is Era.MODERN else {}
    return _complete({**result, **caching}, era, version)


def _complete(result: dict[str, Json], era: Era, version: str) -> dict[str, Json]:
    if era is Era.LEGACY:
        return result
    info: Json = {"name": SERVER_NAME, "version": version}
    return {**result, "resultType": "complete", "_meta": {SERVER_INFO_META_KEY: info}}
