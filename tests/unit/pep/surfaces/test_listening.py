"""subscriptions/listen: what was asked for and permitted, tagged, for as long as it stands, and not a frame longer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Final

import pytest

from sallyport.pep.model import Answer, Json
from tests.support.gate import body
from tests.support.surfaces import Surfaces
from tests.support.upstream_leg import BOUND, Got, chunk, event, stream_head, until

ID: Final = "io.modelcontextprotocol/subscriptionId"
ALL: Final = {"toolsListChanged": True, "promptsListChanged": True, "resourcesListChanged": True}
LEEWAY: Final = 30  # seconds, as the settings have it: a token ends with it
_ACK: Final = "notifications/subscriptions/acknowledged"


class Listener:
    """A client whose stream is open."""

    def __init__(self, made: Surfaces, notifications: dict[str, Any], server: str = "", **who: Any) -> None:
        self.frames: list[tuple[str, dict[str, Json]]] = []
        self.reads = asyncio.Event()
        self.reads.set()
        request = made.request("subscriptions/listen", {"notifications": notifications}, server, **who)
        self.task = asyncio.create_task(made.gate.handle(request, self.emit))

    async def emit(self, method: str, params: Mapping[str, Json]) -> None:
        self.frames.append((method, dict(params)))
        await self.reads.wait()

    @property
    def methods(self) -> list[str]:
        return [method for method, _ in self.frames]

    async def heard(self, count: int) -> None:
        await until(lambda: len(self.frames) >= count or self.task.done())
        assert len(self.frames) >= count, self.task.result() if self.task.done() else self.frames

    async def ended(self) -> Answer:
        return await asyncio.wait_for(asyncio.shield(self.task), BOUND)


@asynccontextmanager
async def listening(made: Surfaces, notifications: dict[str, Any], **who: Any) -> AsyncIterator[Listener]:
    listener = Listener(made, notifications, **who)
    try:
        yield listener
    finally:
        listener.task.cancel()
        await asyncio.gather(listener.task, return_exceptions=True)


async def test_the_acknowledgement_comes_first_and_names_what_is_honoured(made: Surfaces) -> None:
    wanted = {"toolsListChanged": True, "promptsListChanged": False, "resourceSubscriptions": ["test://plain"], "x": 1}
    async with listening(made, wanted) as client:
        await client.heard(1)
        method, params = client.frames[0]
        assert method == _ACK
        assert params["notifications"] == {"toolsListChanged": True, "resourceSubscriptions": ["test://plain"]}


async def test_only_what_was_asked_for_is_told_and_each_frame_names_its_request(made: Surfaces) -> None:
    async with listening(made, {"promptsListChanged": True}) as client, listening(made, ALL) as other:
        await client.heard(1)
        await other.heard(1)
        made.gate.behind.changes.tell("tools", "prompts", "resources")
        await client.heard(2)
        await other.heard(4)
        assert client.methods == [_ACK, "notifications/prompts/list_changed"]
        kinds = {f"notifications/{kind}/list_changed" for kind in ("tools", "prompts", "resources")}
        assert set(other.methods[1:]) == kinds
        assert all(params["_meta"] == {ID: 1} for _, params in (*client.frames, *other.frames))


async def test_a_change_while_the_acknowledgement_is_under_way_is_told_after_it(made: Surfaces) -> None:
    async with listening(made, ALL) as client:
        client.reads.clear()
        await client.heard(1)
        made.gate.behind.changes.tell("tools")
        client.reads.set()
        await client.heard(2)
        assert client.methods == [_ACK, "notifications/tools/list_changed"]


async def test_the_same_change_twice_is_told_once_to_a_slow_client(made: Surfaces) -> None:
    async with listening(made, ALL) as client:
        await client.heard(1)
        client.reads.clear()
        for _ in range(1000):
            made.gate.behind.changes.tell("tools")
        client.reads.set()
        made.gate.behind.changes.tell("prompts")
        await until(lambda: "notifications/prompts/list_changed" in client.methods)
        assert client.methods.count("notifications/tools/list_changed") <= 2


async def test_uris_that_somebody_may_not_read_are_left_out_as_those_that_are_not_there(made: Surfaces) -> None:
    wanted = {"resourceSubscriptions": ["test://hidden", "test://nowhere", "test://plain", "file:///etc/passwd"]}
    async with listening(made, wanted) as client:
        await client.heard(1)
        assert client.frames[0][1]["notifications"] == {"resourceSubscriptions": ["test://plain"]}
    async with listening(made, wanted, server="other") as client:
        await client.heard(1)
        assert client.frames[0][1]["notifications"] == {}


async def test_who_may_not_listen_hears_nothing(made: Surfaces) -> None:
    async with listening(made, ALL, roles=("nobody",)) as client:
        assert body(await client.ended())["error"]["code"] == -32010
        assert client.frames == []


async def test_a_client_that_reads_no_streams_is_told_so(made: Surfaces) -> None:
    request = replace(made.request("subscriptions/listen", {"notifications": ALL}), streams=False)
    told = await made.send(request)
    assert told.answer.status == 406
    assert told.heard == []


async def test_n28_the_stream_ends_when_the_token_does(made: Surfaces) -> None:
    async with listening(made, ALL, ttl=2 - LEEWAY) as client:
        await client.heard(1)
        answer = body(await client.ended())
        assert answer["error"]["message"] == "denied by policy"
        made.gate.behind.changes.tell("tools")
        assert client.methods == [_ACK]


@pytest.fixture
def another(made: Surfaces, monkeypatch: pytest.MonkeyPatch) -> Another:
    return Another(made, monkeypatch)


class Another:
    """The watch, once the PDP names another revision, which still permits everything, or nothing."""

    def __init__(self, made: Surfaces, monkeypatch: pytest.MonkeyPatch) -> None:
        rooms = made.gate.rooms
        self._monkeypatch, self._lists = monkeypatch, type(rooms.lists)
        self._changes, self.revision = made.gate.behind.changes, ""
        self._truly, self._serves = rooms.in_force.revision, False
        gate = made.gate.with_rooms(listening=replace(rooms.listening, revision=self._now))
        self.made = replace(made, gate=gate)

    def _now(self) -> str:
        return self.revision if self._serves else self._truly()

    def serves(self, revision: str = "d" * 64, *, permits: bool = True, told: bool = True) -> None:
        async def nothing(*_: Any) -> frozenset[Any]:
            return frozenset()

        if not permits:
            self._monkeypatch.setattr(self._lists, "may", nothing)
        self._serves, self.revision = True, revision
        if told:
            self._changes.policies_changed()


async def settled(made: Surfaces) -> None:
    """The revision in force is known only once the PDP was asked, as its watch does twice a second."""
    await made.gate.rooms.in_force.look(time.monotonic() + BOUND)


async def test_n28_the_stream_ends_when_a_policy_no_longer_permits_it(another: Another) -> None:
    await settled(another.made)
    async with listening(another.made, ALL) as client:
        await client.heard(1)
        another.serves(permits=False)
        assert body(await client.ended())["error"]["message"] == "denied by policy"
        assert client.methods == [_ACK], "a frame left after the revocation"


async def test_n28_a_policy_that_changed_between_permit_and_stream_is_asked_too(another: Another) -> None:
    await settled(another.made)
    client = Listener(another.made, ALL)
    client.reads.clear()
    await client.heard(1)
    another.serves(permits=False, told=False)  # as if it had been told before anybody listened
    client.reads.set()
    assert body(await client.ended())["error"]["message"] == "denied by policy"


async def test_a_stream_that_still_stands_outlives_another_policy_set(another: Another) -> None:
    await settled(another.made)
    async with listening(another.made, ALL) as client:
        await client.heard(1)
        another.serves()
        await client.heard(4)
        assert not client.task.done()


async def test_n5_without_a_policy_set_no_stream_goes_on(another: Another) -> None:
    await settled(another.made)
    async with listening(another.made, ALL) as client:
        await client.heard(1)
        another.serves("")
        assert body(await client.ended())["error"]["message"] == "denied by policy"


async def test_who_goes_is_forgotten(made: Surfaces) -> None:
    changes = made.gate.behind.changes
    before = len(changes._hearing)
    async with listening(made, ALL) as client:
        await client.heard(1)
        assert len(changes._hearing) == before + 1
    assert len(changes._hearing) == before
    changes.tell("tools")


async def test_n1_updates_go_to_whom_they_were_asked_by_and_name_no_other_uri(made: Surfaces) -> None:
    told = asyncio.Event()

    async def upstream(got: Got, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        subscription = {"_meta": {ID: got.id}}
        writer.write(stream_head())
        for method, params in (
            (_ACK, {"notifications": got.message["params"]["notifications"]}),
            ("notifications/resources/updated", {"uri": "test://hidden"}),
            ("notifications/tools/list_changed", {}),
            ("notifications/resources/updated", {"uri": "test://plain"}),
        ):
            said = {"jsonrpc": "2.0", "method": method, "params": {**params, **subscription}}
            writer.write(chunk(event(said)))
        await writer.drain()
        told.set()
        await reader.read()

    honest = made.opponent.say
    made.opponent.say = upstream
    try:
        async with (
            listening(made, {"resourceSubscriptions": ["test://plain"]}) as client,
            listening(made, ALL) as other,
        ):
            await asyncio.wait_for(told.wait(), BOUND)
            await client.heard(2)
            assert client.frames[1] == ("notifications/resources/updated", {"uri": "test://plain", "_meta": {ID: 1}})
            await other.heard(1)
            assert "notifications/resources/updated" not in other.methods
        wanted = [got.message["params"] for got in made.got if got.method == "subscriptions/listen"]
        assert [one["notifications"] for one in wanted] == [{"resourceSubscriptions": ["test://plain"]}]
    finally:
        made.opponent.say = honest


async def test_the_gates_own_stop_is_told_as_the_streams_end(made: Surfaces) -> None:
    """Last of this file: a gate that stops doesn't start again."""
    async with listening(made, ALL) as client:
        await client.heard(1)
        made.gate.behind.stopping.set()
        result = body(await client.ended())["result"]
        assert (result["resultType"], result["_meta"][ID]) == ("complete", 1)
    made.gate.behind.stopping.clear()
