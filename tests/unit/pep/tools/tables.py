"""A database of sample tables, and the database tools over it."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

from sallyport.contract.catalog import Limits
from sallyport.pep.model import Identity, Json, ResourceRef, ToolOutput, Unresolved
from sallyport.pep.tools import Registry, Tools, database
from sallyport.pep.tools.database import Database
from sallyport.pep.tools.pool import Pool
from tests.unit.pep.tools.support import ALICE, Catalogs, call_of, through

SCRIPT = """
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer TEXT NOT NULL, amount NUMERIC, at DATETIME, note BLOB);
CREATE TABLE canary (id INTEGER PRIMARY KEY, secret TEXT);
CREATE VIEW big_orders AS SELECT id, amount FROM orders WHERE amount > 15;
INSERT INTO orders VALUES (1, 'Ann', 10, '2026-01-01 10:00:00', x'00ff'), (2, 'Bo_b', 20.5, 'not a date', NULL),
                          (3, 'Carl', 30, NULL, 'text'), (4, '100%', 9007199254740993, NULL, NULL);
INSERT INTO canary VALUES (1, 'canary-row');
"""


@dataclass(slots=True)
class Bench:
    """The tools, and every statement that reached the database through them."""

    tools: Tools
    statements: list[str] = field(default_factory=list)

    async def query(self, table: str, who: Identity = ALICE, **arguments: Json) -> ToolOutput | Unresolved:
        call = call_of("database_query", {"table": table, **arguments}, ResourceRef("Table", table))
        return await through(self.tools, call, who)

    async def describe(self, table: str) -> ToolOutput | Unresolved:
        return await through(self.tools, call_of("describe_table", {"table": table}, ResourceRef("Table", table)))

    async def rows(self, table: str, who: Identity = ALICE, **arguments: Json) -> Any:
        found = await self.query(table, who, **arguments)
        assert isinstance(found, ToolOutput), found
        assert found.structured is not None
        return found.structured["rows"]


@asynccontextmanager
async def bench(url: str, password: str | None = None, limits: Limits | None = None) -> AsyncIterator[Bench]:
    opened = await Database.open(url, password, size=2)
    pool = Pool(2, "database")
    made = Bench(
        Tools(Registry(database.tools(opened, pool)), Catalogs("database_query", "describe_table", limits=limits))
    )

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        made.statements.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield made
    finally:
        event.remove(Engine, "before_cursor_execute", note)
        await opened.close()
        pool.close()


def sample(folder: Path) -> Path:
    path = folder / "sample.db"
    with sqlite3.connect(path) as connection:
        connection.executescript(SCRIPT)
    connection.close()
    return path
