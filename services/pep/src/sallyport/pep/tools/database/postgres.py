"""PostgreSQL: read-only transactions that carry who asks, for row-level security policies to see."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import asyncpg
from sqlalchemy import String, bindparam, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from sallyport.pep.model import Identity
from sallyport.pep.settings import database_server

_CONNECT_SECONDS: Final = 5
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_SESSION: Final = {
    "default_transaction_read_only": "on",
    "idle_in_transaction_session_timeout": "60000",
    "application_name": "sallyport",
}
_NAMES: Final = ("statement_timeout", "sallyport.issuer", "sallyport.user", "sallyport.agent", "sallyport.org")
_IDENTIFY: Final = select(*(
    func.set_config(name, bindparam(name.replace(".", "_"), type_=String), True).label(name.replace(".", "_"))
    for name in _NAMES
))  # fmt: skip
# Row-level security doesn't bind a superuser, BYPASSRLS, or a table's owner unless it is forced.
_UNBOUND: Final = text("""
    SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = current_user AND (rolsuper OR rolbypassrls))
        OR EXISTS (SELECT FROM pg_class WHERE relrowsecurity AND NOT relforcerowsecurity
                   AND pg_has_role(current_user, relowner, 'USAGE'))
""")


def problem(url: str) -> str:
    """What is wrong with a URL before anything is opened, or ""."""
    parts = urlsplit(url)
    mode = parse_qs(parts.query).get("sslmode", [""])
    if not parts.hostname:
        return "name the database's host"
    if parts.hostname not in _LOOPBACK and mode != ["verify-full"]:
        return "a database on another host needs sslmode=verify-full (and sslrootcert)"
    return ""


def engine(url: str, password: str | None, size: int) -> AsyncEngine:
    """Nothing is opened yet. `url` is libpq's form, with sslmode and sslrootcert."""

    # Given apart, so that no service file, PGPORT or second host in the URL leads elsewhere than `egress` allows.
    host, _, port = database_server(url).rpartition(":")
    where = {"host": host.removeprefix("[").removesuffix("]"), "port": int(port)}

    async def connect(*_: Any, **__: Any) -> Any:
        return await asyncpg.connect(
            url, **where, password=password, timeout=_CONNECT_SECONDS, server_settings=_SESSION
        )

    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connect,
        pool_size=size,
        max_overflow=0,
        pool_pre_ping=True,
        hide_parameters=True,  # an argument must not reach a log by way of an error
        execution_options={"postgresql_readonly": True},
    )


async def refuse_unbound_role(connection: AsyncConnection) -> str:
    """What is wrong with the role we are, or ""."""
    if (await connection.execute(_UNBOUND)).scalar_one():
        return (
            "row-level security doesn't bind this role: use one that is no superuser, has no BYPASSRLS, owns no table"
        )
    return ""


async def identify(connection: AsyncConnection, who: Identity, seconds: float) -> None:
    """Tell this transaction for whom it runs, and how long a statement may take; both end with it."""
    values = (str(int(seconds * 1000)), who.issuer, who.user, who.agent, who.org)
    await connection.execute(_IDENTIFY, {n.replace(".", "_"): v for n, v in zip(_NAMES, values, strict=True)})
