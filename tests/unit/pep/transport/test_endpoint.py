"""The ASGI endpoint: one request in one piece, and the truth about every end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from sallyport.pep.model import Answer, Emit, Request
from sallyport.pep.refusal import Reason
from sallyport.pep.transport import Endpoint

SCOPE: dict[str, Any] = {
    "type": "http",
    "method": "POST",
    "scheme": "https",
    "client": ("192.0.2.1", 5),
    "headers": [(b"X-A", b" b\t")],
    "extensions": {"tls": {"client_cert_der": b"der"}},
}


class Client:
    """Sends these pieces, then stays until told to leave."""

    def __init__(self, *pieces: bytes) -> None:
        events = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
        self._events = [*events, {"type": "http.request", "body": b"", "more_body": False}]
        self.leaves = asyncio.Event()
        self.sent: list[Any] = []

    async def receive(self) -> Any:
        if self._events:
            return self._events.pop(0)
        await self.leaves.wait()
        return {"type": "http.disconnect"}

    async def send(self, event: Any) -> None:
        self.sent.append(event)


async def ok(request: Request, _: Emit) -> Answer:
    return Answer(200, (), request.body)


async def refuse(reason: Reason, detail: str, request: Request) -> Answer:
    return Answer(413 if reason is Reason.TOO_LARGE else 405, (), b"")


async def run(
    client: Client, handle: Callable[[Request, Emit], Awaitable[Answer]] = ok, body_bytes: int = 10, **scope: Any
) -> None:
    await Endpoint(handle, refuse, body_bytes=body_bytes)({**SCOPE, **scope}, client.receive, client.send)


async def test_the_request_is_what_was_sent_and_the_peer_what_the_socket_proves() -> None:
    seen: list[Request] = []

    async def handle(request: Request, emit: Emit) -> Answer:
        seen.append(request)
        return await ok(request, emit)

    client = Client(b"ab", b"cd")
    await run(client, handle)
    assert (seen[0].body, seen[0].headers) == (b"abcd", ((b"x-a", b"b"),))
    assert (seen[0].peer.address, seen[0].peer.certificate, seen[0].peer.secure) == ("192.0.2.1", b"der", True)
    assert [event.get("body") for event in client.sent] == [None, b"abcd"]


async def test_n4_the_named_set_is_the_routed_one_whatever_else_is_said() -> None:
    seen: list[str] = []

    async def handle(request: Request, emit: Emit) -> Answer:
        seen.append(request.server)
        return await ok(request, emit)

    lies: dict[str, Any] = {
        "headers": [(b"x-original-url", b"/mcp/other"), (b"server", b"other")],
        "path": "/mcp/other",
    }
    await run(Client(b"x"), handle, **lies, path_params={"server": "crm"})
    await run(Client(b"x"), handle, **lies)
    assert seen == ["crm", ""]


async def test_n24_a_body_over_the_cap_is_refused_before_it_is_read_to_its_end() -> None:
    client = Client(*[b"12345"] * 1000)
    await run(client)
    assert client.sent[0]["status"] == 413
    assert len(client._events) > 990


async def test_another_method_is_refused() -> None:
    client = Client()
    await run(client, method="GET")
    assert client.sent[0]["status"] == 405


async def test_n23_a_client_that_leaves_cancels_the_work_and_gets_nothing() -> None:
    client, cancelled = Client(), asyncio.Event()

    async def handle(request: Request, emit: Emit) -> Answer:
        client.leaves.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return await ok(request, emit)

    task = asyncio.create_task(run(client, handle))
    await asyncio.wait_for(cancelled.wait(), 5)
    await asyncio.wait_for(task, 5)
    assert client.sent == []


async def test_a_client_that_leaves_before_its_body_is_no_request() -> None:
    client = Client()
    client._events.clear()
    client.leaves.set()
    await asyncio.wait_for(run(client), 5)
    assert client.sent == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
def test_n6_an_order_to_end_is_answered_and_raised_again(error: type[BaseException]) -> None:
    client_sent: list[Any] = []

    async def handle(request: Request, emit: Emit) -> Answer:
        raise error("s3cret")

    async def main() -> None:
        client = Client()
        client.sent = client_sent
        await run(client, handle)

    loop = asyncio.new_event_loop()
    try:
        with pytest.raises(error):
            loop.run_until_complete(main())
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
    assert client_sent[0]["status"] == 500
    assert b"s3cret" not in client_sent[1]["body"]
