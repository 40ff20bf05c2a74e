"""What a server says on its standard error, in our log: plain, cut, and not more than a human can read."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from sallyport.cli import plain

_CHUNK: Final = 4096
_LINE: Final = 1000
_PER_SECOND: Final = 20
_log: Final = structlog.get_logger()


class Murmur:
    def __init__(self, session: str) -> None:
        self._session = session  # a short name for the log: the id itself would be a key to it
        self._second = 0.0
        self._said = 0
        self._unsaid = 0

    async def follow(self, stream: asyncio.StreamReader) -> None:
        """Until its end. Always reads on: a server must not stand still because nobody hears it."""
        rest = b""
        while chunk := await stream.read(_CHUNK):
            *lines, rest = (rest + chunk).split(b"\n")
            rest = rest[:_LINE]
            for line in lines:
                self._say(line)
        if rest:
            self._say(rest)

    def _say(self, line: bytes) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._second >= 1:
            self._second, self._said = now, 0
        if self._said >= _PER_SECOND:
            self._unsaid += 1
            return
        self._said += 1
        more = {"left_out": self._unsaid} if self._unsaid else {}
        self._unsaid = 0
        text = plain.cut(plain.plain(line.decode("utf-8", "replace")), _LINE)
        _log.info("the server says", session=self._session, text=text, **more)
