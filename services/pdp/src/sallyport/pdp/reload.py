"""How a policy directory comes into force: read whole, checked elsewhere, built aside, swapped; or refused, all of it.

One attempt at a time. Whatever goes wrong, what serves goes on serving.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Final

import structlog

from sallyport.pdp import quiet, watch
from sallyport.pdp.guard import without_values
from sallyport.pdp.inforce import InForce
from sallyport.pdp.load import load
from sallyport.pdp.observer import Observers, Reloaded
from sallyport.pdp.snapshot import Snapshot
from sallyport.pdp.vetting import Vetting
from sallyport.pdp.watch import Look
from sallyport.runtime import mounted_dir
from sallyport.runtime.mounted_dir import Contents
from sallyport.runtime.problems import ConfigError, Problem

_MAX_LINES: Final = 100
_FIRST_PAUSE: Final = 5.0  # before the same bytes are tried again where the check itself broke
_LONGEST_PAUSE: Final = 300.0
_log: Final = structlog.get_logger()


class Reloads:
    """`watch` follows the directory; `now` is for those who won't wait."""

    def __init__(
        self, directory: Path, in_force: InForce, vetting: Vetting, observers: Observers, *, poll: float
    ) -> None:
        """`poll` is the seconds between two looks."""
        self._directory = directory
        self._in_force = in_force
        self._vetting = vetting
        self._observers = observers
        self._poll = poll
        self._one = asyncio.Lock()
        self._next: asyncio.Task[Reloaded] | None = None
        self._running: set[asyncio.Task[Reloaded]] = set()
        self._judged: Look | None = None
        self._again = float("inf")
        self._pause = _FIRST_PAUSE

    async def now(self, trigger: str) -> Reloaded:
        """An attempt that begins after this call; all who call while another one runs share the next."""
        if self._next is None:
            self._next = asyncio.create_task(self._attempt(trigger))
            self._running.add(self._next)
            self._next.add_done_callback(self._running.discard)
        return await asyncio.shield(self._next)

    async def watch(self) -> None:
        """Load at the start, then whenever the directory has changed, until cancelled."""
        await self.now("start")
        before: Look | None = None
        while True:
            await asyncio.sleep(self._poll)
            try:
                seen = await asyncio.to_thread(watch.look, self._directory)
                if seen.is_due(before, self._judged) or time.monotonic() >= self._again:
                    await self.now("change")
                before = seen
            except Exception as error:  # noqa: BLE001 — a watch that ends would freeze the policies, silently
                _log.error("watching the policy directory broke; it goes on", **without_values(error))

    async def close(self) -> None:
        """End what runs; nothing is swapped afterwards."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _attempt(self, trigger: str) -> Reloaded:
        async with self._one:
            self._next = None  # who comes from now on may know of a change that this attempt won't see
            began = time.monotonic()
            revision, problems = await self._tried()
            in_force = self._in_force.snapshot.revision if self._in_force.snapshot else ""
            event = Reloaded(
                serves=not problems and revision == in_force,
                revision=revision,
                in_force=in_force,
                problems=problems,
                seconds=time.monotonic() - began,
                trigger=trigger,
            )
            self._tell(event)
            return event

    async def _tried(self) -> tuple[str, tuple[Problem, ...]]:
        """The revision that was read, and what is wrong with it; with nothing wrong it serves now."""
        revision, judged = "", False
        try:
            self._judged = await asyncio.to_thread(watch.look, self._directory)
            contents = await asyncio.to_thread(mounted_dir.read, self._directory)
            revision = contents.revision
            problems = await self._put_in_force(contents)
            judged = True
        except ConfigError as error:
            problems = error.problems
        except Exception as error:  # noqa: BLE001 — a set that breaks the loader is a bad set
            problems = ConfigError.about(self._directory, f"can't be loaded: {type(error).__name__}").problems
        if problems:
            self._in_force.refuse(problems)
        self._try_again(unless=judged)
        return revision, problems

    def _try_again(self, *, unless: bool) -> None:
        """What couldn't be read or checked may pass another time, as it is: later and later."""
        self._again = float("inf") if unless else time.monotonic() + self._pause
        self._pause = _FIRST_PAUSE if unless else min(2 * self._pause, _LONGEST_PAUSE)

    async def _put_in_force(self, contents: Contents) -> tuple[Problem, ...]:
        old = self._in_force.snapshot
        if old is not None and old.revision == contents.revision:
            self._in_force.confirm()
            return ()
        problems = await self._vetting.problems(contents)
        if problems:
            return problems
        self._in_force.put(await asyncio.to_thread(_build, contents))
        return ()

    def _tell(self, event: Reloaded) -> None:
        for problem in event.problems[:_MAX_LINES]:
            _log.error("policy set refused", problem=str(problem), policy=problem.subject, revision=event.revision)
        if event.serves:
            _log.info("policy set in force", revision=event.revision, trigger=event.trigger, seconds=event.seconds)
        try:
            self._observers.reloaded(event)
        except Exception as error:  # noqa: BLE001 — what serves is not undone by who couldn't be told
            _log.error("reload not recorded", revision=event.revision, **without_values(error))


def _build(contents: Contents) -> Snapshot:
    with quiet.building():
        return load(contents, vetted=True)
