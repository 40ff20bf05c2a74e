"""subscriptions/listen: what was asked for and permitted, tagged, for as long as it stands, and not a frame longer."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlsplit

import pytest

from sallyport.contract.catalog import Catalog
from sallyport.pep.asked import Asked
from sallyport.pep.catalog import LoadedCatalog
from sallyport.pep.decision import Denied
from sallyport.pep.lists import Lists
from sallyport.pep.model import Answer, Json
from sallyport.pep.refusal import Reason, Refusal
from sallyport.pep.seats import Seats
from tests.support.gate import body
from tests.support.second_key import SecondKey, signed
from tests.support.stopwatch import Stopwatch
from tests.support.surfaces import ROLE, Surfaces
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
        request = who.pop("request", None) or made.request(
            "subscriptions/listen", {"notifications": notifications}, server, **who
        )
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


async def test_a_client_of_a_named_set_hears_nothing_of_an_upstream_that_has_no_part_in_it(made: Surfaces) -> None:
    async with listening(made, ALL, server="small") as client, listening(made, ALL) as other:
        await client.heard(1)
        await other.heard(1)
        made.gate.behind.changes.tell("resources")  # with it goes what was still to be told
        await until(lambda: all("notifications/resources/list_changed" in one.methods for one in (client, other)))
        before = len(client.frames), len(other.frames)
        made.gate.behind.changes.tell("tools", upstream="two")
        await other.heard(before[1] + 1)
        made.gate.behind.changes.tell("prompts", upstream="one")
        await client.heard(before[0] + 1)
        assert client.methods[before[0] :] == ["notifications/prompts/list_changed"]


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
    async with listening(made, ALL, ttl=4 - LEEWAY) as client:
        await client.heard(1)
        answer = body(await client.ended())
        assert answer["error"]["message"] == "denied by policy"
        made.gate.behind.changes.tell("tools")
        assert client.methods == [_ACK]


@pytest.fixture
def second(made: Surfaces) -> Iterator[SecondKey]:
    key = SecondKey(made.gate.directory)
    taken(made)
    yield key
    key.go()
    taken(made)


def taken(made: Surfaces) -> None:
    """The gate's two looks at the key files, and who hears of what they found."""
    for keys in made.gate.rooms.authenticators.keys:
        keys.look()
        keys.look()
    made.gate.behind.changes.keys_changed()


async def test_n28_a_stream_that_is_silent_ends_when_the_key_of_its_token_goes_and_no_other_does(
    made: Surfaces, second: SecondKey
) -> None:
    token = second.token("alice", roles=(ROLE,))
    request = signed(made.request("subscriptions/listen", {"notifications": ALL}), token)
    async with listening(made, ALL, request=request) as client, listening(made, ALL) as other:
        await client.heard(1)
        await other.heard(1)
        second.go()
        taken(made)
        answer = body(await client.ended())
        assert answer["error"]["message"] == "denied by policy"
        assert await outcome(made, answer) == (
            "cancelled",
            "0 resources followed; revoked: the key that signed the token is trusted no longer",
        )
        made.gate.behind.changes.tell("tools")
        await other.heard(2)
        assert other.methods == [_ACK, "notifications/tools/list_changed"], "other keys changed no list"
        assert client.methods == [_ACK]


async def test_n28_a_frame_that_comes_before_word_of_the_keys_is_not_sent(made: Surfaces, second: SecondKey) -> None:
    request = signed(made.request("subscriptions/listen", {"notifications": ALL}), second.token("alice", roles=(ROLE,)))
    async with listening(made, ALL, request=request) as client:
        await client.heard(1)
        second.go()
        for keys in made.gate.rooms.authenticators.keys:
            keys.look()
            keys.look()
        made.gate.behind.changes.tell("tools")
        assert body(await client.ended())["error"]["message"] == "denied by policy"
        assert client.methods == [_ACK]


@pytest.fixture(autouse=True)
def honest(made: Surfaces) -> Iterator[None]:
    """The upstream acknowledges what it is asked to tell of."""
    before = made.opponent.say

    async def say(got: Got, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if got.method != "subscriptions/listen":
            await before(got, reader, writer)
            return
        writer.write(stream_head() + told(got, _ACK, notifications=got.message["params"]["notifications"]))
        await writer.drain()
        await reader.read()

    made.opponent.say = say
    yield
    made.opponent.say = before


def told(got: Got, method: str, **params: Any) -> bytes:
    """One frame of an upstream's stream."""
    return chunk(event({"jsonrpc": "2.0", "method": method, "params": {**params, "_meta": {ID: got.id}}}))


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
        self._known: LoadedCatalog | None = None
        gate = made.gate.with_rooms(listening=replace(rooms.listening, revision=self._now, known=self._serving))
        self.made = replace(made, gate=gate)

    def _serving(self) -> LoadedCatalog | None:
        return self._known or self.made.gate.rooms.in_force.known()

    def _now(self) -> str:
        return self.revision if self._serves else self._truly()

    def serves(self, revision: str = "d" * 64, *, permits: bool = True, told: bool = True) -> None:
        async def nothing(*_: Any) -> Mapping[Any, Any]:
            return {}

        if not permits:
            self._monkeypatch.setattr(self._lists, "judged", nothing)
        self._serves, self.revision = True, revision
        if told:
            self._changes.policies_changed()

    def turns(self, changed: Callable[[Catalog], dict[str, Any]]) -> None:
        """Another catalog serves, and all of it is permitted."""

        async def all_of(_: Any, __: str, refs: Any, ___: Any) -> Mapping[Any, Any]:
            return dict.fromkeys(refs, ())

        before = self.made.gate.rooms.in_force.known()
        assert before is not None
        catalog = Catalog.model_construct(**{**vars(before.catalog), **changed(before.catalog)})
        another = replace(before, digest="e" * 64, catalog=catalog)
        another = replace(another, sets=dict.fromkeys(before.sets, another))
        self._known = another
        self._monkeypatch.setattr(self._lists, "judged", all_of)
        self.serves()


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
        another.made.gate.behind.changes.tell("tools")
        answer = body(await client.ended())
        assert answer["error"]["message"] == "authorization unavailable", "no policy has said no"
        assert client.methods == [_ACK]
        assert await outcome(another.made, answer) == (
            "failed",
            "0 resources followed; no word of the PDP whether it still stands",
        )


async def test_a_pdp_that_is_away_for_a_moment_ends_no_stream(another: Another) -> None:
    await settled(another.made)
    async with listening(another.made, ALL) as client:
        await client.heard(1)
        another.serves("")
        another.made.gate.behind.changes.tell("tools")
        await asyncio.sleep(0)
        another.serves()
        await client.heard(4)
        assert not client.task.done()


async def test_no_answer_in_time_is_asked_for_again(another: Another, monkeypatch: pytest.MonkeyPatch) -> None:
    await settled(another.made)
    asked: list[str] = []
    truly = Lists.judged

    async def late(self: Lists, action: str, *rest: Any) -> Any:
        asked.append(action)
        if len(asked) < 3:
            return Denied(Refusal(Reason.NO_DECISION, "late"))
        return await truly(self, action, *rest)

    async with listening(another.made, ALL) as client:
        await client.heard(1)
        monkeypatch.setattr(Lists, "judged", late)
        another.serves()
        await client.heard(4)
        assert asked == ["subscriptions/listen"] * 3 + ["resources/subscribe"]


async def test_n26_another_policy_set_costs_one_question_for_all_streams_of_a_token(
    another: Another, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They come one by one within a second, so that calls, which use the same line to the PDP, go in between."""
    await settled(another.made)
    asked: list[str] = []
    at: list[float] = []
    truly = Lists.judged

    async def counted(self: Lists, action: str, refs: Any, by: Asked) -> Any:
        asked.append(by.caller.user)
        return await truly(self, action, refs, by)

    async with AsyncExitStack() as stack:
        users = ["alice", "bob", "carol"]
        shared = [another.made.request("subscriptions/listen", {"notifications": ALL}, user=user) for user in users]
        clients = [
            await stack.enter_async_context(listening(another.made, ALL, request=request))
            for request in shared
            for _ in range(8)
        ]
        for client in clients:
            await client.heard(1)
        monkeypatch.setattr(Lists, "judged", counted)
        since = Stopwatch()
        another.serves()
        for client in clients:
            await client.heard(4)
            at.append(since.seconds)
        assert Counter(asked) == dict.fromkeys(users, 2)
        assert max(at) < 2.0


async def test_what_a_catalog_no_longer_has_is_followed_no_longer(another: Another) -> None:
    await settled(another.made)
    async with listening(another.made, {"resourceSubscriptions": ["test://plain"]}, server="small") as client:
        await client.heard(1)
        another.turns(lambda catalog: {"resources": [e for e in catalog.resources if e.uri != "test://plain"]})
        answer = body(await client.ended())
        assert answer["error"]["message"] == "denied by policy"
        assert await outcome(another.made, answer) == (
            "cancelled",
            "1 resources followed; revoked: the catalog no longer has it",
        )


async def test_a_resource_that_moves_to_another_upstream_is_followed_there(another: Another) -> None:
    await settled(another.made)
    async with listening(another.made, {"resourceSubscriptions": ["test://plain"]}) as client:
        await client.heard(1)
        (before,) = [got for got in another.made.got if got.method == "subscriptions/listen"]
        known = another.made.gate.rooms.in_force.known()
        assert known is not None
        port = urlsplit(known.catalog.upstreams["one"].url).port
        moved = known.catalog.upstreams["one"].model_copy(update={"url": f"http://127.0.0.1:{port}/moved"})
        another.turns(lambda catalog: {"upstreams": {**catalog.upstreams, "one": moved}})
        await until(lambda: [got.target for got in another.made.got if got.target != before.target] == ["/moved"])
        await client.heard(2)
        assert client.frames[1] == ("notifications/resources/updated", {"uri": "test://plain", "_meta": {ID: 1}})


async def test_only_what_its_upstream_will_tell_of_is_acknowledged(made: Surfaces) -> None:
    async def partly(got: Got, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        granted = {"resourceSubscriptions": ["test://folder/a"]}
        writer.write(stream_head() + told(got, _ACK, notifications=granted))
        await writer.drain()
        await reader.read()

    made.opponent.say = partly
    async with listening(made, {"resourceSubscriptions": ["test://plain", "test://folder/a"]}) as client:
        await client.heard(1)
        assert client.frames[0][1]["notifications"] == {"resourceSubscriptions": ["test://folder/a"]}


async def test_an_upstream_that_opens_no_stream_delays_nobody_for_long_and_is_not_acknowledged(made: Surfaces) -> None:
    async def silent(got: Got, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    made.opponent.say = silent
    since = Stopwatch()
    async with listening(made, {"toolsListChanged": True, "resourceSubscriptions": ["test://plain"]}) as client:
        await client.heard(1)
        assert client.frames[0][1]["notifications"] == {"toolsListChanged": True}
        assert since.seconds < 4


async def test_n26_one_caller_has_only_so_many_streams_whatever_tokens_they_have(made: Surfaces) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(16):
            client = await stack.enter_async_context(listening(made, ALL))
            await client.heard(1)
        told = await asyncio.wait_for(made.ask("subscriptions/listen", {"notifications": ALL}), BOUND)
        assert told.answer.status == 503
        assert told.error["message"].startswith("too many connections: 16 streams are open")
        assert told.reason() == "overloaded"
        async with listening(made, ALL, user="bob") as other:
            await other.heard(1)
    async with listening(made, ALL) as client:
        await client.heard(1)


async def test_n26_all_streams_together_leave_room_for_calls(made: Surfaces) -> None:
    few = replace(made, gate=made.gate.with_rooms(listening=replace(made.gate.rooms.listening, seats=Seats(2, 16))))
    async with listening(few, ALL, user="bob") as one, listening(few, ALL, user="carol") as two:
        await one.heard(1)
        await two.heard(1)
        told = await asyncio.wait_for(few.ask("subscriptions/listen", {"notifications": ALL}, user="alice"), BOUND)
        assert told.answer.status == 503


async def test_a_streams_outcome_is_written_when_it_ends(made: Surfaces) -> None:
    async with listening(made, ALL) as client:
        await client.heard(1)
        decision = [record for record in made.gate.records() if record["kind"] == "intent"][-1]["decision_id"]
        assert [record["kind"] for record in of(made, decision)] == ["intent"]
    await until(lambda: len(of(made, decision)) > 1)
    _, ended = of(made, decision)
    assert (ended["outcome"], ended["detail"]) == ("cancelled", "0 resources followed; the client went")


def of(made: Surfaces, decision: str) -> list[dict[str, Any]]:
    return [record for record in made.gate.records() if record.get("decision_id") == decision]


async def outcome(made: Surfaces, refused: dict[str, Any]) -> tuple[str, str]:
    """What the record says of a stream's end; it is written soon after."""
    decision = refused["error"]["data"]["decision_id"]
    await until(lambda: len(of(made, decision)) > 1)
    _, found = of(made, decision)
    return found["outcome"], found["detail"]


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
