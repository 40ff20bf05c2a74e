"""A listener on the product's own loop, with small limits, and what it refused."""

from __future__ import annotations

import asyncio
import dataclasses
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop
from starlette.applications import Starlette
from starlette.routing import Route

from sallyport.pep import transport
from sallyport.pep.model import Answer, Emit, Request
from sallyport.pep.refusal import Reason, Refusal, respond
from sallyport.pep.transport import Endpoint, Limits
from sallyport.runtime import tls
from tests.support import pki
from tests.support.raw_http import BOUND

LIMITS = Limits(body_bytes=4096, receive_seconds=BOUND, idle_seconds=BOUND, handshake_seconds=BOUND, linger_seconds=0.1)
HURRIED = dataclasses.replace(LIMITS, receive_seconds=0.5, handshake_seconds=0.5)  # where being cut is what is tested


class Refusals:
    """What the listener reported, and a way to wait for it."""

    def __init__(self) -> None:
        self.seen: list[tuple[Reason, str, str]] = []
        self._more = asyncio.Event()

    def __call__(self, reason: Reason, detail: str, address: str) -> None:
        self.seen.append((reason, detail, address))
        self._more.set()

    async def wait_for(self, reason: Reason, part: str = "") -> None:
        async with asyncio.timeout(BOUND):
            while not any(r is reason and part in d and a == "127.0.0.1" for r, d, a in self.seen):
                self._more.clear()
                await self._more.wait()


class Gate:
    """Listeners of one test, and the handler that the test may exchange."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._running: list[transport.Running] = []
        self.refusals = Refusals()
        self.requests: list[Request] = []
        self.handle: Callable[[Request, Emit], Awaitable[Answer]] = self.echo

    async def echo(self, request: Request, emit: Emit) -> Answer:
        self.requests.append(request)
        return Answer(200, ((b"content-type", b"application/json"),), request.body)

    async def _refuse(self, reason: Reason, detail: str, _: Request) -> Answer:
        return respond(Refusal(reason, detail), request_id=None, era=None, decision_id="0")

    async def _call(self, request: Request, emit: Emit) -> Answer:
        return await self.handle(request, emit)

    def app(self, limits: Limits) -> Any:
        endpoint = Endpoint(self._call, self._refuse, body_bytes=limits.body_bytes)
        app = Starlette(routes=[Route("/mcp", endpoint=endpoint)])
        app.router.redirect_slashes = False
        return app

    async def start(self, limits: Limits = LIMITS, context: ssl.SSLContext | None = None) -> transport.Running:
        running = await transport.serve(
            self.app(limits), "127.0.0.1:0", tls=context, limits=limits, on_refused=self.refusals
        )
        self._running.append(running)
        return running

    def context(self, mode: tls.ClientCertificate = "required", *more: bytes) -> ssl.SSLContext:
        authority = pki.authority()
        certificate, key = authority.server().write(self._directory, "server")
        trusted = self._directory / "ca.crt"
        trusted.write_bytes(b"".join([authority.pem, *more]))
        return tls.server_context(certificate, key, trusted, mode)

    async def stop(self) -> None:
        for running in self._running:
            await running.stop(0)


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def gate(tmp_path: Path) -> AsyncIterator[Gate]:
    gate = Gate(tmp_path)
    yield gate
    await gate.stop()
