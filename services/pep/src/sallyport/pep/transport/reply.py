"""One answer on its way out: one piece of JSON, or an event stream from the first notification on."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping
from typing import Final

from starlette.types import Send

from sallyport.pep.model import Answer, Json

_SECURITY: Final = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
_STREAM: Final = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store, no-transform"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-accel-buffering", b"no"),  # proxies of that family would hold frames back
)
_KEEP_ALIVE: Final = 15.0  # seconds between signs of life: whoever is gone is found out within two of them
_STALLED: Final = 20.0  # seconds that a client may take to read what was sent


class ClientStalled(Exception):
    """The client takes nothing any more."""


class Reply:
    """What is said to one request. An answer that nothing came before goes out as plain JSON."""

    def __init__(self, send: Send, *, streams: bool) -> None:
        self._send, self._streams = send, streams
        self.on_stalled: Callable[[], None] = lambda: None
        self._begun = False
        self._beat: asyncio.TimerHandle | None = None
        self._beating: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()  # a sign of life must not stand inside a frame

    async def emit(self, method: str, params: Mapping[str, Json]) -> None:
        """Send a notification; a client that reads no streams does without. Returns when the client has room for more."""
        if not self._streams:
            return
        message: dict[str, Json] = {"jsonrpc": "2.0", "method": method, "params": dict(params)}
        await self._write(b"data: " + _encoded(message) + b"\n\n")

    async def finish(self, answer: Answer) -> None:
        """The last word, on the stream where one has begun: its status and headers are then told already."""
        self.close()
        if self._begun:
            async with self._turn:
                await self._put({"body": b"data: " + answer.body + b"\n\n", "more_body": False})
            return
        length = (b"content-length", b"%d" % len(answer.body))
        headers = [*answer.headers, *_SECURITY, length]
        await self._send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await self._send({"type": "http.response.body", "body": answer.body})

    def close(self) -> None:
        """No more signs of life."""
        if self._beat is not None:
            self._beat.cancel()
            self._beat = None

    async def _write(self, frame: bytes) -> None:
        async with self._turn:
            if not self._begun:
                self._begun = True
                await self._send({"type": "http.response.start", "status": 200, "headers": list(_STREAM)})
            await self._put({"body": frame, "more_body": True})
        self._again()

    async def _put(self, event: Mapping[str, object]) -> None:
        try:
            async with asyncio.timeout(_STALLED):
                await self._send({"type": "http.response.body", **event})
        except TimeoutError:
            self.on_stalled()
            raise ClientStalled from None

    def _again(self) -> None:
        self.close()
        self._beat = asyncio.get_running_loop().call_later(_KEEP_ALIVE, self._live)

    def _live(self) -> None:
        if not self._turn.locked():  # else a frame is under way, and is a sign of life itself
            self._beating = asyncio.get_running_loop().create_task(self._sign_of_life())

    async def _sign_of_life(self) -> None:
        if self._beat is not None:
            with contextlib.suppress(ClientStalled):  # told by on_stalled
                await self._write(b":\n\n")


def _encoded(message: Mapping[str, Json]) -> bytes:
    """On one line: JSON text has no raw line break, and the stream's framing is made of them."""
    return json.dumps(message, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
