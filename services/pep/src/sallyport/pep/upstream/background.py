"""What outlives the request that it is for, by a moment: bounded in number, and gone when the upstream is closed."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

_MOST: Final = 64


class Background:
    """Tasks whose outcome nobody waits for; each bounds its own time and swallows what may go wrong."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, Any]) -> bool:
        """False: there is too much of it already, and this isn't done."""
        if len(self._tasks) >= _MOST:
            work.close()
            return False
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def close(self, seconds: float) -> None:
        """Wait for what is under way, but not long."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
