"""One request and its answer."""

from __future__ import annotations

import asyncio
import logging

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

_LOG = logging.getLogger(__name__)


class Cycle(RequestResponseCycle):
    """Uvicorn's, but that an exception's text and traceback, which may hold a secret, reach neither log nor peer."""

    async def run_asgi(self, app: ASGI3Application) -> None:
        try:
            await app(self.scope, self.receive, self.send)
        except asyncio.CancelledError:
            if not self.response_complete:
                self.transport.abort()
            raise
        except BaseException as error:  # any exception is a refusal
            _LOG.error("the application broke: %s", type(error).__name__)  # no traceback, see above
            await self._break_off()
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
        else:
            if not self.response_complete:
                await self._break_off()
        finally:
            self.on_response = lambda: None

    async def _break_off(self) -> None:
        if not self.response_started and not self.disconnected:
            await self.send_500_response()
        elif not self.response_complete:
            self.transport.abort()
