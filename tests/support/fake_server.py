"""An opponent that listens: each connection is a handler's, and none outlasts the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def fake_server(handle: Handler) -> AsyncIterator[int]:
    """Listen on 127.0.0.1 and tell the port; at the end handlers are cancelled and connections cut."""
    handling: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handling.add(asyncio.current_task())
        try:
            await handle(reader, writer)
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        # asyncio drops a connection unclosed that it accepted in the turn in which its server is closed.
        for listener in server.sockets:
            asyncio.get_running_loop().remove_reader(listener)
        for _ in range(3):  # what is accepted becomes a transport, then a task, which begins
            await asyncio.sleep(0)
        server.close()
        tasks = [task for task in handling if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # the transports' own last turn
