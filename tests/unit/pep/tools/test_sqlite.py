"""The database tools on SQLite: no SQL from a caller, nothing written, nothing endless."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from sallyport.contract.catalog import Limits
from sallyport.pep.model import Json, ResourceRef, ToolOutput, Unresolved
from sallyport.pep.tools import ToolFailure
from sallyport.pep.tools.database import Database, sqlite
from sallyport.pep.tools.database.values import as_json
from sallyport.runtime import strict_json
from sallyport.runtime.problems import ConfigError
from tests.unit.pep.tools.support import call_of, through
from tests.unit.pep.tools.tables import Bench, bench, sample


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Bench]:
    path = sample(tmp_path)
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    async with bench(f"sqlite:///{path}") as made:
        yield made
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before


async def test_rows_come_as_json_with_their_columns(here: Bench) -> None:
    found = await here.query("orders", limit=2, order=[{"column": "id"}])
    assert isinstance(found, ToolOutput)
    assert found.structured == {
        "columns": ["id", "customer", "amount", "at", "note"],
        "rows": [[1, "Ann", 10, "2026-01-01 10:00:00", "AP8="], [2, "Bo_b", 20.5, "not a date", None]],
        "truncated": True,
    }
    assert strict_json.parse(str(found.content[0]["text"]).encode()) == found.structured


async def test_columns_are_given_in_the_order_asked_for(here: Bench) -> None:
    assert await here.rows("orders", columns=["customer", "id"], limit=1) == [["Ann", 1]]


@pytest.mark.parametrize(
    ("op", "value", "ids"),
    [
        ("eq", 1, [1]), ("ne", 1, [2, 3, 4]), ("lt", 2, [1]), ("le", 2, [1, 2]), ("gt", 3, [4]), ("ge", 3, [3, 4]),
        ("in", [1, 3], [1, 3]), ("eq", True, [1]), ("eq", 1.0, [1]), ("eq", "1", [1]),
    ],
)  # fmt: skip
async def test_every_operator_means_what_it_says(here: Bench, op: str, value: Json, ids: list[int]) -> None:
    rows = await here.rows("orders", columns=["id"], filters=[{"column": "id", "op": op, "value": value}])
    assert [row[0] for row in rows] == ids


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("A%", ["Ann"]),
        ("Bo\\_b", ["Bo_b"]),
        ("Bo\\%b", []),
        ("100\\%", ["100%"]),
        ("%\\%", ["100%"]),
        ("C_rl", ["Carl"]),
    ],
)
async def test_a_pattern_has_wildcards_and_a_backslash_takes_them_away(
    here: Bench, pattern: str, names: list[str]
) -> None:
    filters: list[Json] = [{"column": "customer", "op": "like", "value": pattern}]
    assert await here.rows("orders", columns=["customer"], filters=filters) == [[name] for name in names]


async def test_all_filters_must_hold_and_order_is_kept(here: Bench) -> None:
    filters: list[Json] = [{"column": "id", "op": "gt", "value": 1}, {"column": "id", "op": "lt", "value": 4}]
    order: list[Json] = [{"column": "id", "direction": "desc"}]
    assert await here.rows("orders", columns=["id"], filters=filters, order=order) == [[3], [2]]


async def test_integers_that_json_readers_disagree_about_come_as_text(here: Bench) -> None:
    filters: list[Json] = [{"column": "id", "op": "eq", "value": 4}]
    assert await here.rows("orders", columns=["amount"], filters=filters) == [["9007199254740993"]]


async def test_a_view_is_a_table_and_a_describe_tells_columns_only(here: Bench) -> None:
    assert await here.rows("big_orders", columns=["id"]) == [[2], [3], [4]]
    found = await here.describe("orders")
    assert isinstance(found, ToolOutput)
    assert found.structured is not None
    columns = found.structured["columns"]
    assert isinstance(columns, list)
    assert columns[:2] == [
        {"name": "id", "type": "INTEGER", "nullable": True},
        {"name": "customer", "type": "TEXT", "nullable": False},
    ]


@pytest.mark.parametrize(
    "table", ["Orders", "ORDERS", "orders ", "main.orders", '"orders"', "sqlite_master", "", "none"]
)
async def test_n20_only_a_reflected_table_in_its_exact_spelling_is_found(here: Bench, table: str) -> None:
    here.statements.clear()
    assert isinstance(await here.query(table), Unresolved)
    assert isinstance(await here.describe(table), Unresolved)
    assert here.statements == []


@pytest.mark.parametrize(
    ("arguments", "at"),
    [
        ({"columns": ["Id"]}, "/columns/0"),
        ({"columns": ["id", "id; DROP TABLE orders"]}, "/columns/1"),
        ({"columns": ["rowid"]}, "/columns/0"),
        ({"columns": "id"}, "/columns"),
        ({"filters": [{"column": "x", "op": "eq", "value": 1}]}, "/filters/0/column"),
        ({"filters": [{"column": "id", "op": "=", "value": 1}]}, "/filters/0/op"),
        ({"filters": [{"column": "id", "op": "eq", "value": None}]}, "/filters/0/value"),
        ({"filters": [{"column": "id", "op": "eq", "value": {"a": 1}}]}, "/filters/0/value"),
        ({"filters": [{"column": "id", "op": "in", "value": []}]}, "/filters/0/value"),
        ({"filters": [{"column": "id", "op": "in", "value": [[1]]}]}, "/filters/0/value/0"),
        ({"filters": [{"column": "id", "op": "in", "value": [1] * 101}]}, "/filters/0/value"),
        ({"filters": [{"column": "id", "op": "like", "value": "%" * 257}]}, "/filters/0/value"),
        ({"filters": ["id"]}, "/filters/0"),
        ({"order": [{"column": "id", "direction": "asc; --"}]}, "/order/0/direction"),
        ({"order": [{"column": "id desc"}]}, "/order/0/column"),
        ({"limit": 0}, "/limit"),
        ({"limit": 1001}, "/limit"),
        ({"limit": True}, "/limit"),
        ({"limit": "1; DROP"}, "/limit"),
    ],
)
async def test_n20_what_is_no_name_or_operator_reaches_no_database(here: Bench, arguments: Any, at: str) -> None:
    here.statements.clear()
    with pytest.raises(ToolFailure, match=f"^{at}: "):
        await here.query("orders", **arguments)
    assert here.statements == []


async def test_n20_the_judged_table_is_asked_whatever_the_arguments_say(here: Bench) -> None:
    call = call_of("database_query", {"table": "canary", "columns": ["id"]}, ResourceRef("Table", "orders"))
    found = await through(here.tools, call)
    assert isinstance(found, ToolOutput)
    assert "FROM orders" in here.statements[-1]


async def test_a_result_stays_within_its_bytes_and_says_that_it_was_cut(tmp_path: Path) -> None:
    path = sample(tmp_path)
    with sqlite3.connect(path) as connection:
        connection.executemany("INSERT INTO canary (secret) VALUES (?)", [('"' * 1000,)] * 500)
    connection.close()
    async with bench(f"sqlite:///{path}", limits=Limits(result_bytes=20_000)) as here:
        found = await here.query("canary", limit=1000)
    assert isinstance(found, ToolOutput)
    assert found.structured is not None
    assert found.structured["truncated"] is True
    assert 0 < len(str(found.content)) + len(str(found.structured)) < 20_000


ENDLESS = "CREATE VIEW endless AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"


async def test_an_endless_query_is_interrupted_and_the_connection_serves_on(tmp_path: Path) -> None:
    path = sample(tmp_path)
    with sqlite3.connect(path) as connection:
        connection.execute(ENDLESS)
    connection.close()
    async with bench(f"sqlite:///{path}", limits=Limits(timeout_ms=300)) as here:
        for _ in range(3):
            async with asyncio.timeout(60):
                with pytest.raises(ToolFailure, match="took longer"):
                    await here.query("endless", filters=[{"column": "i", "op": "lt", "value": 0}])
        assert await here.rows("orders", columns=["id"], limit=1) == [[1]]


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO canary VALUES (2, 'x')", "UPDATE canary SET secret = 'x'", "DELETE FROM canary",
        "DROP TABLE canary", "CREATE TABLE t (a)", "CREATE TEMP TABLE t (a)", "PRAGMA query_only=OFF",
        "PRAGMA journal_mode=DELETE", "PRAGMA user_version=7", "ATTACH DATABASE '{}' AS other", "VACUUM INTO '{}'",
        "SELECT load_extension('{}')",
    ],
)  # fmt: skip
async def test_the_connection_itself_can_not_write_even_if_sql_were_injected(tmp_path: Path, statement: str) -> None:
    path = sample(tmp_path)
    engine = sqlite.engine(str(path), 1)
    async with engine.connect() as connection:
        with pytest.raises(DBAPIError):
            await connection.execute(text(statement.format(tmp_path / "other.db")))
    await engine.dispose()
    assert not (tmp_path / "other.db").exists()


async def test_values_that_no_sqlite_type_promises_still_come_out(tmp_path: Path) -> None:
    path = sample(tmp_path)
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE odd (a BOOLEAN, b DATE, c, d MYTYPE)")
        connection.execute("INSERT INTO odd VALUES ('maybe', 12, CAST(x'c3' AS TEXT), 9e999)")
    connection.close()
    async with bench(f"sqlite:///{path}") as here:
        assert await here.rows("odd") == [["maybe", 12, "\ufffd", "inf"]]


@pytest.mark.parametrize("url", ["", "sqlite://", "sqlite:///relative.db", "mysql://x/y", "sqlite:////none/none.db"])
async def test_n5_a_database_that_can_not_be_opened_stops_the_start(url: str) -> None:
    with pytest.raises(ConfigError, match=r"database\.url"):
        await Database.open(url)


@pytest.mark.parametrize("url", ["postgresql:///x", "postgresql://db.test/x", "postgresql://db.test/x?sslmode=require"])
async def test_another_host_needs_a_verified_certificate(url: str) -> None:
    with pytest.raises(ConfigError, match=r"host|verify-full"):
        await Database.open(url, "secret")


def test_every_value_becomes_json() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    value = [Decimal("1.10"), moment, date(2026, 1, 2), timedelta(hours=1), UUID(int=1), {"a": (2**60, float("nan"))}]
    assert as_json(value) == [
        "1.10", "2026-01-02T03:04:05+00:00", "2026-01-02", "1:00:00", "00000000-0000-0000-0000-000000000001",
        {"a": ["1152921504606846976", "nan"]},
    ]  # fmt: skip
