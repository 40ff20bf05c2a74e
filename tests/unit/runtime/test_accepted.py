"""A connection that is cut on its way to its protocol ends, whenever that is."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest

from sallyport.runtime.accepted import Accepted
from tests.support import pki
from tests.support.stopwatch import own_garbage


@pytest.fixture(autouse=True)
def _alone() -> Iterator[None]:
    """Others' garbage has warnings of its own."""
    with own_garbage():
        yield


async def until_gone(client: socket.socket) -> bytes:
    """What the other side sees at last; a connection without an owner would never end."""
    async with asyncio.timeout(60):
        with suppress(ConnectionResetError):
            return await asyncio.get_running_loop().sock_recv(client, 1)
    return b""


@pytest.mark.parametrize("tls", [True, False], ids=["TLS", "plain"])
@pytest.mark.parametrize("turns", range(8))
async def test_n26_a_connection_that_is_cut_before_it_is_handed_over_ends(turns: int, tls: bool) -> None:
    ours, client = socket.socketpair()
    client.setblocking(False)
    accepted = Accepted(ours)
    context = {"ssl": pki.authority().server_context(), "ssl_handshake_timeout": 60} if tls else {}
    task = asyncio.create_task(accepted.hand_over(asyncio.Protocol, **context))
    for _ in range(turns):
        await asyncio.sleep(0)
    done = task.done()
    task.cancel()
    accepted.hang_up()
    with suppress(asyncio.CancelledError, OSError):
        await task
    if not done:
        assert await until_gone(client) == b""
    client.close()
    del ours, task, accepted
    for _ in range(4):
        await asyncio.sleep(0)
    gc.collect()  # an unclosed transport is a warning, and so an error
