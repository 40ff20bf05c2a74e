"""Names that resolve as a test says, and a web server that tells who came."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from sallyport.pep.egress import Egress
from sallyport.pep.settings import EgressEntry
from tests.support.fake_server import fake_server


class Liar:
    """A resolver: each answer once, the last one ever after."""

    def __init__(self, *answers: Sequence[str] | OSError) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append((host, port))
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, OSError):
            raise answer
        return answer


def egress(lookup: Liar, *destinations: str, networks: tuple[str, ...] = ()) -> Egress:
    return Egress([EgressEntry(destination=each, networks=networks) for each in destinations], lookup=lookup)


async def get(gate: Egress, url: str, *, tls: ssl.SSLContext | None = None, **how: Any) -> int:
    """The status, by a connector and a session of its own."""
    connector = gate.connector(url, tls=tls, limit=4)
    async with aiohttp.ClientSession(connector=connector) as session, session.get(url, **how) as response:
        return response.status


class Web:
    """What came, head by head."""

    def __init__(self) -> None:
        self.heads: list[str] = []
        self.answer = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n"

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(self.answer)
        await writer.drain()


@asynccontextmanager
async def web() -> AsyncIterator[tuple[Web, int]]:
    server = Web()
    async with fake_server(server) as port:
        yield server, port
