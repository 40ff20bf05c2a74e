"""A process that is asked to end while it starts leaves nothing open."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import AsyncIterator

import pytest

from sallyport.runtime.ending import Ending, opened


async def test_what_a_thread_opens_for_somebody_who_has_gone_is_closed() -> None:
    began, go_on = asyncio.Event(), threading.Event()
    loop, closed = asyncio.get_running_loop(), list[str]()

    def opening() -> str:
        loop.call_soon_threadsafe(began.set)
        go_on.wait(60)
        return "stream"

    task = asyncio.create_task(opened(opening, closed.append))
    await began.wait()
    task.cancel()
    loop.call_later(0.02, go_on.set)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert closed == ["stream"]


async def test_what_nobody_has_left_stays_open_and_what_failed_is_told() -> None:
    closed: list[str] = []
    assert await opened(lambda: "stream", closed.append) == "stream"
    assert closed == []
    with pytest.raises(ZeroDivisionError):
        await opened(lambda: 1 // 0, print)


@pytest.fixture(autouse=True)
async def as_before() -> AsyncIterator[None]:
    """pytest has handlers of its own."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        asyncio.get_running_loop().remove_signal_handler(number)
        signal.signal(number, handler)


async def life(starts: asyncio.Event, said: asyncio.Queue[str]) -> str:
    async with Ending() as ending:
        said.put_nowait("begun")
        await starts.wait()
        for number in (1, 2):
            await ending.asked()
            said.put_nowait(f"asked {number}")
        return "ended as it should"
    return "cut short"


async def test_a_signal_cuts_a_start_short_and_the_next_changes_nothing() -> None:
    said: asyncio.Queue[str] = asyncio.Queue()
    task = asyncio.create_task(life(asyncio.Event(), said))
    assert await said.get() == "begun"
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGINT)
    assert await task == "cut short"
    assert said.empty()


async def test_who_has_started_is_woken_once_for_each_signal() -> None:
    starts, said = asyncio.Event(), asyncio.Queue[str]()
    starts.set()
    task = asyncio.create_task(life(starts, said))
    assert await said.get() == "begun"
    await asyncio.sleep(0)  # to where it waits
    for number in (1, 2):
        os.kill(os.getpid(), signal.SIGTERM)
        assert await said.get() == f"asked {number}"
    assert await task == "ended as it should"


async def test_a_cancellation_that_no_signal_asked_for_is_no_orderly_end() -> None:
    said: asyncio.Queue[str] = asyncio.Queue()
    task = asyncio.create_task(life(asyncio.Event(), said))
    await said.get()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
