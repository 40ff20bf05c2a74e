"""Latencies made into figures, and tables of them printed as they come."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Figures:
    """Latencies in milliseconds."""

    per_second: float
    p50: float
    p99: float

    @classmethod
    def of(cls, latencies: list[float], elapsed: float) -> Figures:
        """From seconds each, and seconds in all."""
        ordered = sorted(latencies)
        return cls(len(ordered) / elapsed, at(ordered, 0.50) * 1000, at(ordered, 0.99) * 1000)


def at(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def repeat(work: Callable[[], object], *, seconds: float, most: int = 20_000) -> Figures:
    """One call after the other."""
    latencies: list[float] = []
    began = now = time.perf_counter()
    while now - began < seconds and len(latencies) < most:
        work()
        then, now = now, time.perf_counter()
        latencies.append(now - then)
    return Figures.of(latencies, now - began)


async def ask(work: Callable[[], Awaitable[object]], *, clients: int, seconds: float) -> Figures:
    """Each client asks again as soon as it has its answer."""
    latencies: list[float] = []
    began = time.perf_counter()

    async def client() -> None:
        while (now := time.perf_counter()) < began + seconds:
            await work()
            latencies.append(time.perf_counter() - now)

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(client())
    return Figures.of(latencies, time.perf_counter() - began)


def resident_mib(pid: int) -> float:
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) / 1024


def say(text: str = "") -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def yes(holds: bool) -> str:
    return "yes" if holds else "NO"
