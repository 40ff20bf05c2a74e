"""Keeps the PDP and the PEP running until told to stop; the way of `sallyport up`."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sallyport.cli import console
from sallyport.cli.service import Died, Service

_FIRST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 5.0
_STEADY_SECONDS: Final = 10.0  # a child that lived this long starts anew with the short pause


@dataclass(frozen=True, slots=True)
class Supervisor:
    pdp: Service
    pep: Service
    restart: bool
    announce: Callable[[], None]  # both are up: called after the start and after each restart

    async def run(self) -> None:
        """Start both, keep them, and on SIGINT, SIGTERM or SIGHUP stop the PEP first, then the PDP.

        Raises Died if one of them doesn't come up the first time.
        """
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        work = asyncio.create_task(self._work())
        waiting = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({work, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if work.done() and not stop.is_set():
                work.result()
        finally:
            waiting.cancel()
            work.cancel()
            await asyncio.gather(work, waiting, return_exceptions=True)
            await self._stop()

    async def _work(self) -> None:
        for service in (self.pdp, self.pep):
            console.step(f"starting the {service.name} ({service.module})")
            await service.start()
        await asyncio.to_thread(self.announce)
        await asyncio.gather(self._keep(self.pdp), self._keep(self.pep))
        await asyncio.Event().wait()  # both are dead and stay so: wait for the signal

    async def _keep(self, service: Service) -> None:
        pause = _FIRST_PAUSE
        while True:
            began = asyncio.get_running_loop().time()
            code = await service.ended()
            lived = asyncio.get_running_loop().time() - began
            if not self.restart:
                console.warn(f"the {service.name} ended (exit code {code}) and stays so, as --no-restart says")
                return
            pause = _FIRST_PAUSE if lived > _STEADY_SECONDS else pause
            pause = await self._revive(service, code, pause)

    async def _revive(self, service: Service, code: int, pause: float) -> float:
        """Start it again, with growing pauses; the next pause to make."""
        while True:
            console.warn(f"the {service.name} ended (exit code {code}); starting it again in {pause:.1f} s")
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
            try:
                await service.start()
            except Died as death:
                console.warn(f"{death}; its log: {service.log}")
                continue
            await asyncio.to_thread(self.announce)
            return pause

    async def _stop(self) -> None:
        for service in (self.pep, self.pdp):
            if not await service.stop():
                console.warn(f"the {service.name} didn't stop by itself and was killed; its log: {service.log}")
