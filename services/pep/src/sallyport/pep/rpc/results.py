"""What goes back: JSON-RPC results as each era wants them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from json import JSONEncoder
from typing import Final

from mcp_types import SERVER_INFO_META_KEY
from mcp_types.jsonrpc import JSONRPC_VERSION

from sallyport.contract.catalog import Catalog
from sallyport.pep.model import Envelope, Era, Json, Reply, ToolOutput
from sallyport.runtime import sliced_json

SERVER_NAME: Final = "sallyport"
_ENCODER: Final = JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def envelope(request_id: str | int, result: Mapping[str, Json]) -> bytes:
    """Give the body of an answer to the request of this id."""
    return sliced_json.written({"jsonrpc": JSONRPC_VERSION, "id": request_id, "result": dict(result)}, _written)


def error(request_id: str | int, told: Json) -> bytes:
    """Give the body of an error."""
    return _written({"jsonrpc": JSONRPC_VERSION, "id": request_id, "error": told})


def _written(value: Json) -> bytes:
    return _ENCODER.encode(value).encode()


def initialize(catalog: Catalog | None, version: str) -> dict[str, Json]:
    """Legacy only: the handshake's answer, always 2025-11-25. `version` is this program's."""
    info: Json = {"name": SERVER_NAME, "version": version}
    offered = _capabilities(catalog, pushed=False)
    return {"protocolVersion": Era.LEGACY.value, "capabilities": offered, "serverInfo": info}


def discover(catalog: Catalog | None, eras: frozenset[Era], version: str) -> dict[str, Json]:
    """Modern only: the revisions spoken and the capabilities."""
    spoken: list[Json] = [*sorted(era.value for era in eras)]
    offered = _capabilities(catalog, pushed=True)
    return _fresh({"supportedVersions": spoken, "capabilities": offered}, Era.MODERN, version)


def _capabilities(catalog: Catalog | None, *, pushed: bool) -> dict[str, Json]:
    """What the catalog in force has. Changes are told on a stream that legacy clients have no part in."""
    changed: dict[str, Json] = {"listChanged": True} if pushed else {}
    offered: dict[str, Json] = {"tools": dict(changed)}
    if catalog is not None and catalog.prompts:
        offered["prompts"] = dict(changed)
    if catalog is not None and catalog.resources:
        offered["resources"] = {**changed, "subscribe": True} if pushed else {}
    if catalog is not None and catalog.upstreams:
        offered |= {"completions": {}, "logging": {}}
    return offered


def empty(era: Era, version: str) -> dict[str, Json]:
    return _complete({}, era, version)


def listed(
    what: str, entries: Sequence[Mapping[str, Json]], era: Era, version: str, cursor: str = ""
) -> dict[str, Json]:
    """One page. A filtered list is private to its caller and stale at once (Caching)."""
    page: dict[str, Json] = {what: [dict(entry) for entry in entries]}
    return _fresh(page | ({"nextCursor": cursor} if cursor else {}), era, version)


def ended(request_id: str | int | None, key: str, version: str) -> dict[str, Json]:
    """Modern only: a subscription's last word."""
    result = _complete({}, Era.MODERN, version)
    meta = result["_meta"]
    return {**result, "_meta": {**(meta if isinstance(meta, dict) else {}), key: request_id}}


def reply(shown: Reply, envelope: Envelope, version: str) -> dict[str, Json]:
    """An upstream's result of a method other than a tool's, in the era of whoever asks."""
    result = dict(shown.result)
    own = result.pop("_meta", {})
    if envelope.method == "resources/read" and shown.type == "complete":
        whole = _fresh(result, envelope.era, version)
    else:
        whole = _complete(result, envelope.era, version)
    if envelope.era is Era.MODERN:
        whole["resultType"] = shown.type
    return _with_meta(whole, own)


def tools_call(output: ToolOutput, era: Era, version: str) -> dict[str, Json]:
    result: dict[str, Json] = {"content": [*output.content], "isError": output.is_error}
    if output.structured is not None:
        result["structuredContent"] = output.structured
    return _with_meta(_complete(result, era, version), dict(output.meta))


def _with_meta(result: dict[str, Json], more: Json) -> dict[str, Json]:
    """An upstream's own _meta, beneath ours."""
    ours = result.get("_meta", {})
    if not isinstance(more, dict) or not isinstance(ours, dict) or not (more or ours):
        return result
    return {**result, "_meta": {**more, **ours}}


def _fresh(result: dict[str, Json], era: Era, version: str) -> dict[str, Json]:
    caching: dict[str, Json] = {"ttlMs": 0, "cacheScope": "private"} if era is Era.MODERN else {}
    return _complete({**result, **caching}, era, version)


def _complete(result: dict[str, Json], era: Era, version: str) -> dict[str, Json]:
    if era is Era.LEGACY:
        return result
    info: Json = {"name": SERVER_NAME, "version": version}
    return {**result, "resultType": "complete", "_meta": {SERVER_INFO_META_KEY: info}}
