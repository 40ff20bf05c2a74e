"""Room 7: nothing runs without a permit for this very call, and its outcome is always known."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace

import pytest

from sallyport.contract.catalog import Limits
from sallyport.pep.model import CheckedCall, Identity, Resolved, ResourceRef, TookTooLong, ToolOutput, Unresolved
from sallyport.pep.tools import CallMismatch, PoolBusy, Registry, Tools
from sallyport.pep.tools import pool as pools
from sallyport.pep.tools.hosted import HostedCall, HostedTool, hosted_tool
from sallyport.pep.tools.pool import Pool
from tests.unit.pep.tools.support import ALICE, Catalogs, Permit, Spent, call_of, through

OUTPUT = ToolOutput(())
REF = ResourceRef("Tool", "touch")


class Touch:
    """A tool that counts its effects, and can be held in the middle of one."""

    def __init__(self, size: int = 1) -> None:
        self.pool = Pool(size, "touch")
        self.calls: list[HostedCall] = []
        self.begun = asyncio.Event()
        self.go = asyncio.Event()
        self.go.set()

    def tool(self) -> HostedTool:
        @hosted_tool("touch", pool=self.pool)
        async def touch(call: HostedCall) -> ToolOutput:
            self.calls.append(call)
            self.begun.set()
            await self.go.wait()
            return OUTPUT

        return touch


class Handle:
    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


def room(touch: Touch, limits: Limits | None = None) -> Tools:
    return Tools(Registry([touch.tool()]), Catalogs("touch", limits=limits))


def a_permit(call: CheckedCall, handle: Handle | None = None) -> Permit:
    return Permit(call.name, call.digest, (Resolved(REF, handle=handle),))


async def test_a_permitted_call_runs_once_with_who_asks_and_with_what_was_judged() -> None:
    touch, call, handle = Touch(), call_of("touch", {"a": 1}, REF), Handle()
    permit = a_permit(call, handle)
    assert await room(touch).run(permit, call) is OUTPUT
    assert touch.calls == [HostedCall(call.arguments, permit.resolved, ALICE, Limits())]
    assert permit.redeemed == [("tools/call", "touch", call.digest)]
    assert handle.closed == 1


@pytest.mark.parametrize("change", ["name", "digest", "arguments", "catalog"])
async def test_n11_a_permit_for_another_call_runs_nothing(change: str) -> None:
    touch, call, handle = Touch(), call_of("touch", {"a": 1}, REF), Handle()
    permit = a_permit(call, handle)
    other = {
        "name": replace(call, name="other"),
        "digest": replace(call, arguments={"a": 2}, digest=call_of("touch", {"a": 2}).digest),
        "arguments": replace(call, arguments={"a": 2}),
        "catalog": replace(call, catalog_digest="d" * 64),
    }[change]
    with pytest.raises((CallMismatch, Spent)):
        await room(touch).run(permit, other)
    assert (touch.calls, permit.redeemed, handle.closed) == ([], [], 1)


async def test_n11_arguments_that_were_changed_after_the_decision_do_not_run() -> None:
    touch, call = Touch(), call_of("touch", {"a": {"b": 1}}, REF)
    permit = a_permit(call)
    call.arguments["a"]["b"] = 2  # type: ignore[index,call-overload]
    with pytest.raises(CallMismatch):
        await room(touch).run(permit, call)
    assert touch.calls == []


async def test_a_spent_or_dead_permit_runs_nothing() -> None:
    touch, call = Touch(), call_of("touch", {}, REF)
    permit = a_permit(call)
    await room(touch).run(permit, call)
    for again in (permit, replace(a_permit(call), dead=True)):
        with pytest.raises(Spent):
            await room(touch).run(again, call)
    assert len(touch.calls) == 1


async def test_the_permit_is_spent_only_when_a_place_is_free() -> None:
    touch, call = Touch(), call_of("touch", {}, REF)
    touch.go.clear()
    tools, second = room(touch), a_permit(call)
    first = asyncio.create_task(tools.run(a_permit(call), call))
    await touch.begun.wait()
    waiting = asyncio.create_task(tools.run(second, call))
    for _ in range(10):
        await asyncio.sleep(0)
    assert second.redeemed == []
    second.dead = True  # it dies while it waits
    touch.go.set()
    await first
    with pytest.raises(Spent):
        await waiting
    assert len(touch.calls) == 1


async def test_nobody_waits_for_a_place_longer_than_a_permit_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "WAIT", 0.01)
    touch, call = Touch(), call_of("touch", {}, REF)
    touch.go.clear()
    tools, handle = room(touch), Handle()
    first = asyncio.create_task(tools.run(a_permit(call), call))
    await touch.begun.wait()
    with pytest.raises(PoolBusy):
        await tools.run(a_permit(call, handle), call)
    assert handle.closed == 1
    touch.go.set()
    await first
    await tools.run(a_permit(call), call)


async def test_a_tool_that_takes_too_long_is_cut_off() -> None:
    touch, call, handle = Touch(), call_of("touch", {}, REF), Handle()
    touch.go.clear()
    with pytest.raises(TookTooLong, match=r"took longer than its limit of 10 ms \(limits\.timeout_ms\)"):
        await room(touch, Limits(timeout_ms=10)).run(a_permit(call, handle), call)
    assert handle.closed == 1


async def test_blocking_work_is_awaited_to_its_end_when_its_caller_is_cancelled() -> None:
    pool, begun, go, done = Pool(1, "work"), threading.Event(), threading.Event(), threading.Event()
    discarded: list[str] = []

    def work() -> str:
        begun.set()
        go.wait(10)
        done.set()
        return "result"

    task = asyncio.create_task(pool.shielded_thread(work, discard=discarded.append))
    await asyncio.to_thread(begun.wait, 10)
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    assert not task.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done.is_set()
    assert discarded == ["result"]
    pool.close()


async def test_what_a_resolver_opened_comes_back_as_handles_and_is_released() -> None:
    touch, handle = Touch(), Handle()

    async def resolve(who: Identity, call: CheckedCall) -> tuple[Resolved, ...] | Unresolved:
        return (Resolved(call.resources[0], handle=handle),) if who is ALICE else Unresolved("no")

    tools = Tools(Registry([replace(touch.tool(), resolver=resolve)]), Catalogs("touch"))
    call = call_of("touch", {}, REF)
    assert tools.has_resolver("touch")
    assert not tools.has_resolver("other")
    assert await through(tools, call) is OUTPUT
    assert touch.calls[0].resolved[0].handle is handle
    assert handle.closed == 1
    assert isinstance(await through(tools, call, replace(ALICE, user="bob")), Unresolved)


async def test_a_name_behind_which_nothing_stands_is_unresolved() -> None:
    found = await room(Touch()).resolve(ALICE, call_of("other", {}, REF))
    assert isinstance(found, Unresolved)


async def test_two_tools_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two hosted tools"):
        Registry([Touch().tool(), Touch().tool()])
