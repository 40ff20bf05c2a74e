"""Results, checked with the protocol's own models of each revision."""

from __future__ import annotations

import json
from typing import Any

import pytest
from mcp_types import methods

from sallyport.pep.model import Era, ToolOutput
from sallyport.pep.rpc import results

TOOL: dict[str, Any] = {"name": "read_file", "inputSchema": {"type": "object"}}
OUTPUT = ToolOutput(({"type": "text", "text": "é"},), {"a": 1}, is_error=True)


@pytest.mark.parametrize(
    ("method", "era", "result"),
    [
        ("initialize", Era.LEGACY, results.initialize(None, "0.1.0")),
        ("ping", Era.LEGACY, results.empty(Era.LEGACY, "0.1.0")),
        ("server/discover", Era.MODERN, results.discover(None, frozenset(Era), "0.1.0")),
        *[("tools/list", era, results.listed("tools", [TOOL], era, "0.1.0")) for era in Era],
        *[("tools/call", era, results.tools_call(OUTPUT, era, "0.1.0")) for era in Era],
    ],
)
def test_a_result_is_what_its_revision_wants(method: str, era: Era, result: dict[str, Any]) -> None:
    methods.validate_server_result(method, era.value, result)
    assert ("resultType" in result) is (era is Era.MODERN)


def test_a_filtered_list_is_private_and_stale_at_once() -> None:
    result = results.listed("tools", [TOOL], Era.MODERN, "0.1.0")
    assert (result["cacheScope"], result["ttlMs"]) == ("private", 0)


def test_the_envelope_echoes_the_id_and_keeps_the_text() -> None:
    body = results.envelope("a", results.tools_call(OUTPUT, Era.LEGACY, "0.1.0"))
    assert json.loads(body) == {
        "jsonrpc": "2.0",
        "id": "a",
        "result": {"content": [{"type": "text", "text": "é"}], "isError": True, "structuredContent": {"a": 1}},
    }
