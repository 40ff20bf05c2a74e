"""What is done with what comes before an answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from sallyport.pep.model import Emit, Envelope
from sallyport.pep.upstream.failures import UpstreamBroke
from sallyport.pep.upstream.incoming import Heard, Notice, Question
from sallyport.pep.upstream.notices import LIST_CHANGED, Notices

_MAX_QUESTIONS: Final = 16


class Hearing:
    """Of one request: what the caller asked to hear goes on to the client, and is waited for."""

    def __init__(self, envelope: Envelope | None, token: int, emit: Emit, changed: Callable[[str], None]) -> None:
        self._notices = Notices(envelope, token)
        self._emit, self._changed = emit, changed
        self._questions = 0
        self.decline: Callable[[Question], Awaitable[None]] | None = None  # the modern era has no questions
        self.dropped = 0

    async def __call__(self, heard: Heard) -> None:
        if isinstance(heard, Notice):
            if kind := LIST_CHANGED.get(heard.method):
                self._changed(kind)
            elif (params := self._notices.passed(heard)) is not None:
                await self._emit(heard.method, params)
                return
        elif isinstance(heard, Question) and self.decline is not None:
            self._questions += 1
            if self._questions > _MAX_QUESTIONS:
                raise UpstreamBroke("its server asks too much", f"more than {_MAX_QUESTIONS} questions in an answer")
            await self.decline(heard)
        self.dropped += 1
