"""Hosted tools that read tables. No SQL comes from a caller, and the database knows for whom it answers."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Table

from sallyport.pep.model import CheckedCall, Identity, Json, Resolved, ToolOutput, Unresolved
from sallyport.pep.tools.database.engine import Database
from sallyport.pep.tools.database.statement import build
from sallyport.pep.tools.database.values import as_json
from sallyport.pep.tools.hosted import HostedCall, HostedTool, Pool, hosted_tool
from sallyport.runtime import canonical_json

__all__ = ["Database", "tools"]

_FRAME: Final = 1024  # bytes left for what stands around the rows
_SPARE_SECONDS: Final = 0.1  # the statement ends before the tool's own time does


def tools(database: Database, pool: Pool) -> tuple[HostedTool, ...]:
    """The two tools, bound to one database."""

    async def a_table(_: Identity, call: CheckedCall) -> tuple[Resolved, ...] | Unresolved:
        if len(call.resources) != 1 or call.resources[0].type != "Table":
            return Unresolved("the catalog must map this tool to exactly one Table")
        table = database.tables.get(call.resources[0].id)
        return Unresolved("no such table") if table is None else (Resolved(call.resources[0], handle=table),)

    @hosted_tool("database_query", pool=pool, resolver=a_table)
    async def database_query(call: HostedCall) -> ToolOutput:
        statement, limit = build(_table(call), call.arguments, database.bind)
        seconds = max(call.limits.timeout_ms / 1000 - _SPARE_SECONDS, _SPARE_SECONDS / 2)
        collected = _Rows(limit, call.limits.result_bytes - _FRAME)
        async with database.rows(statement, call.identity, seconds) as rows:
            async for row in rows:
                if not collected.add([as_json(value) for value in row]):
                    break
        names: list[Json] = [column.name for column in statement.selected_columns]
        return _output({"columns": names, "rows": collected.rows, "truncated": collected.truncated})

    @hosted_tool("describe_table", pool=pool, resolver=a_table)
    async def describe_table(call: HostedCall) -> ToolOutput:
        described: list[Json] = [
            {"name": column.name, "type": column.info["type"], "nullable": bool(column.nullable)}
            for column in _table(call).columns
        ]
        return _output({"columns": described})

    return (database_query, describe_table)


class _Rows:
    """Takes rows while they fit, by number and by their size in the answer."""

    def __init__(self, limit: int, room: int) -> None:
        self.rows: list[Json] = []
        self.truncated = False
        self._limit = limit
        self._room = room

    def add(self, row: list[Json]) -> bool:
        encoded = canonical_json.encode(list(row))
        # Each row leaves twice: as structured content, and as text that is escaped once more.
        self._room -= len(encoded) + len(canonical_json.encode(encoded.decode()))
        self.truncated = len(self.rows) >= self._limit or self._room < 0
        if not self.truncated:
            self.rows.append(list(row))
        return not self.truncated


def _table(call: HostedCall) -> Table:
    (resolved,) = call.resolved
    handle: Any = resolved.handle
    if not isinstance(handle, Table):
        raise TypeError("a database tool runs only on the table that its resolver found")
    return handle


def _output(value: dict[str, Json]) -> ToolOutput:
    return ToolOutput(({"type": "text", "text": canonical_json.encode(value).decode()},), value)
