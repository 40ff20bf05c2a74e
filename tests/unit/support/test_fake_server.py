"""The opponents' listener: no connection is left open, whenever its client came."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Iterator

import pytest

from tests.support.fake_server import fake_server
from tests.support.stopwatch import own_garbage


@pytest.fixture(autouse=True)
def _alone() -> Iterator[None]:
    """Others' garbage has warnings of its own."""
    with own_garbage():
        yield


async def black_hole(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(65_536):
        pass


@pytest.mark.parametrize("turns", range(6))
async def test_a_client_that_comes_while_the_server_ends_leaves_no_connection_behind(turns: int) -> None:
    async with fake_server(black_hole) as port:
        client = socket.create_connection(("127.0.0.1", port))
        for _ in range(turns):
            await asyncio.sleep(0)
    client.close()
    gc.collect()  # an unclosed transport is a warning, and so an error
