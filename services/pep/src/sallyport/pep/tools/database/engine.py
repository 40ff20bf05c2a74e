"""One database, its tables as they were at the start, and read-only queries on them."""

from __future__ import annotations

import asyncio
import sqlite3
import warnings
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Self

import asyncpg
from sqlalchemy import Connection, MetaData, Select, Table, event
from sqlalchemy.exc import CompileError, DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.types import NullType

from sallyport.pep.model import Identity
from sallyport.pep.tools.database import postgres, sqlite
from sallyport.pep.tools.database.statement import Bind, bind_native, bind_text
from sallyport.pep.tools.hosted import ToolFailure
from sallyport.runtime.problems import ConfigError

_SQLITE: Final = "sqlite:///"
_POSTGRES: Final = "postgresql://"
_CANCELED: Final = "57014"  # PostgreSQL: query_canceled
_DATA: Final = ("22", "42")  # PostgreSQL: data exception; type mismatch


class Database:
    """Made by `open`. `tables` is all that can be asked for."""

    def __init__(self, engine: AsyncEngine, tables: Mapping[str, Table], bind: Bind) -> None:
        self._engine = engine
        self.tables = tables
        self.bind = bind

    @classmethod
    async def open(cls, url: str, password: str | None = None, *, size: int = 8) -> Self:
        """Connect and learn the tables. `url`: sqlite:////absolute/path or postgresql://…; else ConfigError."""
        engine, bind = _engine(url, password, size)
        try:
            async with engine.connect() as connection:
                unbound = "" if bind is bind_native else await postgres.refuse_unbound_role(connection)
                if unbound:
                    raise _config(unbound)
                tables = await connection.run_sync(_reflect)
        except (SQLAlchemyError, OSError) as error:
            await engine.dispose()
            raise _config(f"can't be opened ({type(error).__name__}): check the URL and that it is running") from error
        except (ConfigError, asyncio.CancelledError):
            await engine.dispose()
            raise
        return cls(engine, tables, bind)

    async def close(self) -> None:
        await self._engine.dispose()

    @asynccontextmanager
    async def rows(
        self, statement: Select[Any], who: Identity, seconds: float
    ) -> AsyncIterator[AsyncIterator[Sequence[Any]]]:
        """Run one SELECT in a read-only transaction for `who`; failures are ToolFailure, for nothing was changed."""
        try:
            async with self._engine.connect() as connection, connection.begin():
                await self._prepare(connection, who, seconds)
                async with connection.stream(statement) as result:
                    yield aiter(result)
        except DBAPIError as error:
            raise ToolFailure(_explain(error.orig, seconds)) from error
        # While rows are fetched the driver's own errors come through as they are.
        except (asyncpg.PostgresError, asyncpg.InterfaceError, sqlite3.Error) as error:
            raise ToolFailure(_explain(error, seconds)) from error
        except (SQLAlchemyError, OSError) as error:
            raise ToolFailure("the database can't be reached; try again later") from error

    async def _prepare(self, connection: AsyncConnection, who: Identity, seconds: float) -> None:
        if self.bind is bind_native:
            await sqlite.limit_time(connection, seconds)
        else:
            await postgres.identify(connection, who, seconds)


def _engine(url: str, password: str | None, size: int) -> tuple[AsyncEngine, Bind]:
    if url.startswith(_SQLITE) and url.removeprefix(_SQLITE).startswith("/"):
        return sqlite.engine(url.removeprefix(_SQLITE), size), bind_native
    if url.startswith(_POSTGRES):
        wrong = postgres.problem(url)
        if wrong:
            raise _config(wrong)
        return postgres.engine(url, password, size), bind_text
    raise _config("name sqlite:///PATH or postgresql://USER@HOST/NAME")


def _config(message: str) -> ConfigError:
    # Never the URL: it may hold a password.
    return ConfigError.about("pep.yaml", f"database.url: {message}")


def _reflect(connection: Connection) -> dict[str, Table]:
    metadata = MetaData()
    native = connection.dialect.name == "sqlite"

    def keep(inspector: Any, _: Table, column: Any) -> None:
        column["info"] = {"type": _spell(column["type"], inspector.dialect)}
        if native:
            # SQLite holds any value in any column: a typed column would fail on what stands there.
            column["type"] = NullType()

    event.listen(metadata, "column_reflect", keep)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a type or index that SQLAlchemy doesn't know is read as it comes
        # A PostgreSQL view reads as its owner, past the row-level security of whoever asks.
        metadata.reflect(connection, views=native, resolve_fks=False)
    return {table.name: table for table in metadata.tables.values()}


def _spell(kind: Any, dialect: Any) -> str:
    try:
        return str(kind.compile(dialect=dialect))
    except CompileError:
        return "unknown"


def _explain(error: BaseException | None, seconds: float) -> str:
    state = str(getattr(error, "sqlstate", "") or "")
    if state == _CANCELED or str(error) == "interrupted":
        return f"the query took longer than {seconds:g} s; ask for less"
    if state.startswith(_DATA) or "DataError" in type(error).__name__:
        return "a value doesn't fit its column, or is too long"
    return "the database can't answer this query"
