"""Outputs as upstreams give them, and what the room lets out of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sallyport.pep import release
from sallyport.pep.model import CheckedCall, Era, Failed, Json, Output, Reply, ToolOutput
from sallyport.pep.refusal import Reason, Refusal
from sallyport.pep.release import HeldTo
from sallyport.pep.schema.validator import compile_schema
from sallyport.runtime import canonical_json, strict_json

CAP = 256 << 10
CAPABLE: Mapping[str, Json] = {
    "elicitation": {"form": {}, "url": {}},
    "sampling": {},
    "roots": {},
    "extensions": {"io.modelcontextprotocol/tasks": {}},
}
# Each can be fulfilled on some results and on none that is opaque or prose.
SHAPES = ("redact:/ssn", "redact:/rows/*/ssn", "drop_rows:/rows where /org = 'globex'", "max_rows:2")


def call(method: str = "tools/call", name: str = "find") -> CheckedCall:
    return CheckedCall(name, {}, b"{}", "0" * 64, (), "1" * 64, method)


def shown(
    output: Output,
    *obligations: str,
    schema: Mapping[str, Any] | None = None,
    method: str = "tools/call",
    name: str = "find",
    cap: int = CAP,
    capabilities: Mapping[str, Json] = CAPABLE,
    era: Era = Era.MODERN,
) -> ToolOutput | Reply | Failed | Refusal:
    validator = None if schema is None else compile_schema(schema)
    held_to = HeldTo(call(method, name), cap, validator, "crm", capabilities, era)
    return release.result(output, held_to=held_to, obligations=obligations)


def tool(output: ToolOutput, *obligations: str, schema: Mapping[str, Any] | None = None, cap: int = CAP) -> ToolOutput:
    found = shown(output, *obligations, schema=schema, cap=cap)
    assert isinstance(found, ToolOutput), found
    return found


def reply(result: Mapping[str, Json], *obligations: str, method: str, kind: str = "complete", **more: Any) -> Reply:
    found = shown(Reply(result, kind), *obligations, method=method, **more)
    assert isinstance(found, Reply), found
    return found


def withheld(found: object) -> str:
    """Why."""
    assert isinstance(found, Refusal), found
    assert found.reason is Reason.WITHHELD
    assert found.data == {"effect": "done"}
    assert not found.public
    return found.detail


def text(value: str, structured: dict[str, Json] | None = None, **more: Any) -> ToolOutput:
    return ToolOutput(({"type": "text", "text": value},), structured, **more)


def spelt(value: Json) -> str:
    return canonical_json.encode(value).decode()


def both(structured: dict[str, Json]) -> ToolOutput:
    """As servers should: the structured content, and the same as text."""
    return text(spelt(structured), structured)


def data(output: ToolOutput, place: int = 0) -> Json:
    told = output.content[place]["text"]
    assert isinstance(told, str)
    return strict_json.parse(told.encode())


def leaving(found: object) -> str:
    """Everything of an answer, refusals included, as one text."""
    if isinstance(found, ToolOutput):
        return repr((found.content, found.structured, found.meta))
    return repr(found)
