"""Which hosted tools there are: the explicit table, and what a catalog may ask of this gate because of it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from sallyport.pep.reach import Reach
from sallyport.pep.settings import PepSettings
from sallyport.pep.tools import NEEDS, Registry, database, files
from sallyport.pep.tools.hosted import HostedTool, Pool
from sallyport.runtime import atomic_file

_THREADS: Final = 8


@asynccontextmanager
async def hosted(settings: PepSettings) -> AsyncIterator[Registry]:
    """The explicit table of hosted tools, bound to what the settings name."""
    tools: list[HostedTool] = []
    async with contextlib.AsyncExitStack() as stack:
        if settings.files is not None:
            root = files.Root(settings.files.root)
            stack.callback(root.close)
            tools += files.tools(root, _pool("files", stack))
        if settings.database is not None:
            password = settings.database.password_file
            secret = atomic_file.read_private(password).decode().strip() if password else None
            tables = await database.Database.open(settings.database.url, secret)
            stack.push_async_callback(tables.close)
            tools += database.tools(tables, _pool("database", stack))
        yield Registry(tools)


def _pool(name: str, stack: contextlib.AsyncExitStack) -> Pool:
    """Closed before what its threads use."""
    pool = Pool(_THREADS, name)
    stack.callback(pool.close)
    return pool


def reach(settings: PepSettings, registered: frozenset[str]) -> Reach:
    """What a catalog may ask of this gate."""
    unset = {name: setting for name, setting in NEEDS.items() if name not in registered}
    lacks = {name for name in ("upstreams", "assertion") if getattr(settings, name) is None}
    return Reach(registered, unset, settings.destinations, frozenset(lacks))
