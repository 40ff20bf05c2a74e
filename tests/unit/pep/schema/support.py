"""A catalog of one tool, as text, loaded as the PEP loads it."""

from __future__ import annotations

from collections.abc import Mapping
from json import dumps
from typing import Any

from sallyport.pep.catalog import LoadedCatalog, load
from sallyport.pep.model import CallTool, CheckedCall, Envelope, Era, Json
from sallyport.pep.reach import Reach
from sallyport.pep.refusal import Refusal
from sallyport.pep.schema import check, compile_schema

HOSTED = frozenset({"read_file", "copy", "database_query", "list_files", "write_file", "delete_file", "describe_table"})
REACH = Reach(HOSTED, {}, frozenset({"crm.test:443"}))


def loaded(schema: Mapping[str, Any], resources: list[dict[str, Any]] | None = None) -> LoadedCatalog:
    tool: dict[str, Any] = {"name": "copy", "provider": {"hosted": "copy"}, "input": {"type": "object", **schema}}
    if resources is not None:
        tool["resources"] = resources
    return load(dumps({"tools": [tool]}).encode(), compile_schema=compile_schema, reach=REACH)


def envelope(method: str, era: Era = Era.MODERN) -> Envelope:
    return Envelope(1, era, era.value, method)


def called(name: str, arguments: Mapping[str, Json], held: LoadedCatalog) -> CheckedCall | Refusal:
    """What room 4 makes of a call of a tool."""
    return check(CallTool(envelope("tools/call"), name, arguments), held)
