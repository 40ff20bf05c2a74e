"""POST /mcp and /mcp/NAME as a raw ASGI endpoint: the request in one piece, the answer in one piece or as a stream.

Mount it as `Route("/mcp", endpoint=<instance>)` on a router that redirects no slashes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from starlette.types import Receive, Scope, Send

from sallyport.pep.model import Answer, Emit, Peer, Request
from sallyport.pep.refusal import Reason
from sallyport.pep.transport.reply import Reply

Handle = Callable[[Request, Emit], Awaitable[Answer]]
Refuse = Callable[[Reason, str, Request], Awaitable[Answer]]

_LOG = logging.getLogger(__name__)
_BROKEN: Final = Answer(
    500,
    ((b"content-type", b"application/json"),),
    b'{"jsonrpc":"2.0","id":null,"error":{"code":-32603,"message":"internal error"}}',
)


class Endpoint:
    """`handle` answers a POST; `refuse` any other method. Either is cancelled when the client goes (MCP, Cancellation).

    Both are expected to turn every exception into an answer themselves: what still gets here becomes one without detail.
    """

    def __init__(self, handle: Handle, refuse: Refuse, *, body_bytes: int) -> None:
        self._handle, self._refuse, self._body_bytes = handle, refuse, body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await self._collect(receive)
        if body is None:
            return
        request = _request(scope, body)
        reply = Reply(send, streams=request.streams)
        if len(body) > self._body_bytes:
            work = self._refuse(Reason.TOO_LARGE, "body over the cap", request)
        elif request.method != "POST":
            work = self._refuse(Reason.METHOD_NOT_ALLOWED, "only POST is served here", request)
        else:
            work = self._handle(request, reply.emit)
        await _Watch(receive).answer(work, reply)

    async def _collect(self, receive: Receive) -> bytes | None:
        """Give the body (cut one piece after the cap), or None where the client left first."""
        body = bytearray()
        while True:
            event = await receive()
            if event["type"] != "http.request":
                return None
            body += event.get("body", b"")
            if not event.get("more_body", False) or len(body) > self._body_bytes:
                return bytes(body)


class _Watch:
    """Runs the work in the current task, and cancels that task when the client disconnects."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._gone = False

    async def answer(self, work: Awaitable[Answer], reply: Reply) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("an ASGI endpoint runs in a task")
        watcher = asyncio.get_running_loop().create_task(self._wait_for_end(task))
        reply.on_stalled = lambda: self._end(task)
        try:
            await self._answer(work, reply)
        except asyncio.CancelledError:
            if not self._gone:
                raise
            task.uncancel()  # ours, and it has done its work
        finally:
            reply.close()
            watcher.cancel()

    async def _answer(self, work: Awaitable[Answer], reply: Reply) -> None:
        try:
            answer = await work
        except BaseException as error:  # any exception is a refusal
            if not self._gone:
                _LOG.error("handling a request broke: %s", type(error).__name__)  # its text may hold a secret
                await reply.finish(_BROKEN)
            if isinstance(error, asyncio.CancelledError | KeyboardInterrupt | SystemExit):
                raise
        else:
            if not self._gone:
                await reply.finish(answer)

    async def _wait_for_end(self, task: asyncio.Task[object]) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._end(task)

    def _end(self, task: asyncio.Task[object]) -> None:
        self._gone = True
        if (
            asyncio.current_task() is not task
        ):  # else ClientStalled ends it, and a cancellation would outlive the request
            task.cancel()


def _request(scope: Scope, body: bytes) -> Request:
    client = scope.get("client")
    tls = scope.get("extensions", {}).get("tls", {})
    peer = Peer(client[0] if client else "", tls.get("client_cert_der"), scope["scheme"] == "https")
    # httptools keeps trailing white space; RFC 9110 §5.5 says it is no part of the value.
    headers = tuple((name.lower(), value.strip(b" \t")) for name, value in scope["headers"])
    server = scope.get("path_params", {}).get("server", "")
    # Streamable HTTP, Sending Messages 2: a client says that it reads both.
    streams = any(b"text/event-stream" in value.lower() for name, value in headers if name == b"accept")
    return Request(peer, scope["method"], headers, body, server, streams)
