"""What an assembled gate shows of itself: how each call ended, and whether it is ready, as /ready has it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest

from sallyport.pep.audit import AuditUnavailable, Outcome
from sallyport.pep.effect import Effects
from sallyport.pep.model import CheckedCall, ToolOutput
from sallyport.pep.tools import Tools
from tests.support.gate import Gate, gate
from tests.support.upstream_leg import until

NOTES: Final = {"path": "alice/notes.txt"}
CALLS: Final[dict[str, dict[str, Any]]] = {
    "read_file": NOTES,
    "write_file": {"path": "alice/counted.txt", "content": "x", "overwrite": True},
}


@pytest.fixture(scope="module")
async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gate]:
    async with gate(tmp_path_factory.mktemp("counted") / "laptop", without=("business_hours.cedar",)) as made:
        yield made


def shown(opened: Gate) -> dict[str, float]:
    """Each series of the gate's metrics, by its name and labels."""
    lines = opened.rooms.metrics.exposition().decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


def outcomes(opened: Gate) -> dict[str, float]:
    return {name: value for name, value in shown(opened).items() if name.startswith("sallyport_tool_outcomes_total")}


def added(opened: Gate, before: dict[str, float]) -> dict[str, float]:
    """What was counted since."""
    now = outcomes(opened)
    return {name: value - before.get(name, 0) for name, value in now.items() if value != before.get(name, 0)}


def series(tool: str, outcome: Outcome) -> str:
    return f'sallyport_tool_outcomes_total{{outcome="{outcome.value}",tool="{tool}"}}'


class Breaking:
    """The tools room, whose effect begins and then breaks, or answers with too much."""

    def __init__(self, tools: Tools, error: BaseException | None) -> None:
        self._tools = tools
        self._error = error
        self.release = tools.release

    async def run(self, permit: Any, call: CheckedCall) -> ToolOutput:
        await self._tools.run(permit, call)
        if self._error is not None:
            raise self._error
        return ToolOutput(({"type": "text", "text": "x" * 10_000_000},))


def breaking(opened: Gate, error: BaseException | None) -> Gate:
    broken, rooms = Breaking(opened.hands.tools, error), opened.rooms
    effects = Effects(broken, rooms.recorder, rooms.metrics)  # type: ignore[arg-type]
    return opened.with_hands(effects=effects, tools=broken)


async def test_a_call_that_is_done_is_counted_once(opened: Gate) -> None:
    before = outcomes(opened)
    await opened.handle(opened.call("read_file", NOTES))
    assert added(opened, before) == {series("read_file", Outcome.DONE): 1}


async def test_a_tool_that_fails_in_an_orderly_way_is_counted_as_failed(opened: Gate) -> None:
    before = outcomes(opened)
    await opened.handle(
        opened.call("write_file", {**CALLS["write_file"], "path": "alice/notes.txt", "overwrite": False})
    )
    assert added(opened, before) == {series("write_file", Outcome.FAILED): 1}


@pytest.mark.parametrize(
    ("tool", "error", "outcome"),
    [
        ("read_file", ValueError("injected"), Outcome.FAILED),
        ("read_file", asyncio.CancelledError(), Outcome.CANCELLED),
        ("read_file", None, Outcome.WITHHELD),
        ("write_file", ValueError("injected"), Outcome.UNKNOWN),
        ("write_file", asyncio.CancelledError(), Outcome.UNKNOWN),
    ],
)
async def test_an_effect_that_breaks_is_counted_by_the_outcome_in_the_record(
    tool: str, error: BaseException | None, outcome: Outcome, opened: Gate
) -> None:
    before = outcomes(opened)
    broken = breaking(opened, error)
    await broken.handle(broken.call(tool, CALLS[tool]))
    assert added(opened, before) == {series(tool, outcome): 1}


async def test_what_has_no_outcome_in_the_record_is_not_counted(opened: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    before = outcomes(opened)
    await opened.handle(opened.call("read_file", {"path": "bob/private.txt"}))
    await opened.handle(opened.request("tools/list"))

    async def full(*_: object) -> None:
        raise AuditUnavailable("no space")

    monkeypatch.setattr(opened.rooms.recorder, "intent", full)
    await opened.handle(opened.call("read_file", NOTES))
    assert added(opened, before) == {}


async def test_the_gate_is_ready_when_its_parts_are_and_shows_what_isnt(
    opened: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told() -> tuple[float, float]:
        found = shown(opened)
        return found["sallyport_ready"], found["sallyport_audit_writable"]

    in_force = opened.rooms.in_force
    monkeypatch.setattr(in_force, "_pdp", "not asked yet")
    assert told() == (0, 1)
    await in_force.look(time.monotonic() + 10)
    assert told() == (0, 1), "ready before its upstreams were asked"
    watches = [asyncio.create_task(watch) for watch in opened.behind.watches()]
    await until(lambda: told() == (1, 1))
    for watch in watches:
        watch.cancel()
    await asyncio.gather(*watches, return_exceptions=True)
    monkeypatch.setattr(opened.rooms.recorder, "failure", lambda: "no space")
    assert told() == (0, 0)
    monkeypatch.undo()
    in_force.drain()
    assert told() == (0, 1)
