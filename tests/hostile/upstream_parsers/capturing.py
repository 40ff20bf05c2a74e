"""What reaches an upstream of one request, and what the PDP was asked about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sallyport.contract.catalog import Catalog
from sallyport.pep import forwarding
from sallyport.pep.catalog import LoadedCatalog
from sallyport.pep.model import CallTool, CheckedCall
from sallyport.pep.rpc import parse
from sallyport.pep.schema import check, compile_schema
from sallyport.pep.upstream import outgoing
from tests.hostile.upstream_parsers.bodies import TOOL
from tests.support.messages import BOTH, META, request

_SCHEMA: Final = {"type": "object"}
_HEADERS: Final = {"mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": TOOL}
_ENTRY: Final = {"name": TOOL, "provider": {"upstream": "there"}, "input": _SCHEMA}
_UPSTREAMS: Final = {"there": {"url": "https://there.test/mcp"}}
_CATALOG: Final = Catalog.model_validate({"tools": (_ENTRY,), "upstreams": _UPSTREAMS}, strict=False)
_LOADED: Final = LoadedCatalog("0" * 64, _CATALOG, {TOOL: compile_schema(_SCHEMA)}, ())


@dataclass(frozen=True, slots=True)
class Captured:
    received: bytes  # the body, as it reached the upstream
    judged: bytes  # the canonical arguments, as the PDP was asked


def captured(body: bytes) -> Captured | None:
    """None: nothing reached the upstream. By the rooms alone, as they stand one after another in the pipeline."""
    message = parse(request(body, _HEADERS), eras=BOTH, max_depth=64)
    if not isinstance(message, CallTool):
        return None
    call = check(message, _LOADED)
    if not isinstance(call, CheckedCall):
        return None
    received = outgoing.body(1, call.method, forwarding.params(call, TOOL), dict(META))
    return Captured(received, call.canonical)
