"""SQLite, opened so that it can't be written: read-only file, query_only, and an authorizer behind both."""

from __future__ import annotations

import sqlite3
import time
from typing import Any, Final
from urllib.parse import quote

import aiosqlite
from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

_MAX_VALUE: Final = 1 << 20  # bytes of one value or row; longer ones are an error, not a full memory
_INSTRUCTIONS: Final = (
    50  # of SQLite's machine between two looks at the clock: one LIKE on a long value is one instruction
)
_ALLOWED: Final = frozenset({
    sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE,
    sqlite3.SQLITE_TRANSACTION,
})  # fmt: skip
# What SQLAlchemy reads to learn the tables; none of them changes anything without a value.
_PRAGMAS: Final = frozenset({
    "foreign_key_list", "index_info", "index_list", "read_uncommitted", "table_info", "table_list", "table_xinfo",
})  # fmt: skip


class _ReadOnly(sqlite3.Connection):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_VALUE)
        self.text_factory = _text
        self.execute("PRAGMA query_only=ON")
        self.execute("PRAGMA trusted_schema=OFF")
        self.set_authorizer(_authorize)


def engine(path: str, size: int) -> AsyncEngine:
    """`path` is absolute. Nothing is opened yet."""
    url = URL.create("sqlite+aiosqlite", database=f"file:{quote(path)}", query={"mode": "ro", "uri": "true"})
    return create_async_engine(
        url,
        poolclass=AsyncAdaptedQueuePool,
        pool_size=size,
        max_overflow=0,
        hide_parameters=True,  # an argument must not reach a log by way of an error
        connect_args={"factory": _ReadOnly},
    )


async def limit_time(connection: AsyncConnection, seconds: float) -> None:
    """Interrupt whatever this connection still does after so many seconds."""
    end = time.monotonic() + seconds
    driver = (await connection.get_raw_connection()).driver_connection
    if not isinstance(driver, aiosqlite.Connection):
        raise TypeError("not a connection of aiosqlite")
    await driver.set_progress_handler(lambda: int(time.monotonic() > end), _INSTRUCTIONS)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _authorize(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    allowed = action in _ALLOWED or (action == sqlite3.SQLITE_PRAGMA and first in _PRAGMAS)
    if action == sqlite3.SQLITE_FUNCTION and second == "load_extension":
        allowed = False
    return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY
