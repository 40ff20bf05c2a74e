"""The order of the rooms, and what each leaves behind: seen from the record, the tools and the client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from sallyport.audit.errors import AuditUnavailable
from sallyport.pep.decision import Decider
from sallyport.pep.effect import Effects
from sallyport.pep.model import Answer, CheckedCall, Identity, Resolved, ToolOutput, Unresolved
from sallyport.pep.refusal import SHAPES, Reason
from tests.support.calls import fulfils_none
from tests.support.gate import Gate, body, gate
from tests.support.inject import Injected

READ = {"path": "alice/notes.txt"}
BOBS = {"path": "bob/private.txt"}


@pytest.fixture(scope="module")
async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gate]:
    async with gate(tmp_path_factory.mktemp("pipeline") / "laptop", without=("business_hours.cedar",)) as made:
        yield made


def told(opened: Gate, answer: Answer) -> list[dict[str, Any]]:
    """The records of the decision that an answer names."""
    parsed = body(answer)
    named = parsed["error"]["data"]["decision_id"] if "error" in parsed else None
    decision = named or parsed["result"]["_meta"]["sallyport.io/decision_id"]
    return [record for record in opened.records() if record.get("decision_id") == decision]


async def settled(opened: Gate) -> None:
    """Wait until what was handed to the writer is on disk."""
    await opened.rooms.recorder._writer.record("refusal", {"reason": "fence", "effect": "deny"})


class Watched:
    """The tools room, with the record as it stood on disk when the tool began."""

    def __init__(self, opened: Gate) -> None:
        self._opened = opened
        self._tools = opened.hands.tools
        self.before: list[dict[str, Any]] = []

    async def run(self, permit: Any, call: CheckedCall) -> ToolOutput:
        self.before = [record for record in self._opened.records() if record.get("decision_id") == permit.decision_id]
        return await self._tools.run(permit, call)

    async def release(self, resolved: tuple[Resolved, ...]) -> None:
        await self._tools.release(resolved)


def watched(opened: Gate) -> tuple[Gate, Watched]:
    watch = Watched(opened)
    effects = Effects(watch, opened.rooms.recorder, opened.rooms.metrics)  # type: ignore[arg-type]
    return opened.with_hands(effects=effects, tools=watch), watch


async def test_n27_the_intent_is_on_disk_before_the_tool_begins_and_the_outcome_after(opened: Gate) -> None:
    seen, watch = watched(opened)
    answer = await seen.handle(seen.call("read_file", READ))
    assert [record["kind"] for record in watch.before] == ["intent"]
    await settled(opened)
    assert [(record["kind"], record.get("outcome")) for record in told(opened, answer)] == [
        ("intent", None),
        ("outcome", "done"),
    ]


async def test_n27_the_intent_is_bound_to_caller_request_and_revision(opened: Gate) -> None:
    answers = [
        await opened.handle(opened.call(name, arguments))
        for name, arguments in (("read_file", READ), ("list_files", {"path": "alice"}), ("list_files", {}))
    ]
    intents = [told(opened, answer)[0] for answer in answers]
    assert len({intent["request_hmac"] for intent in intents}) == 3
    for intent in intents:
        assert (intent["org"], intent["user"], intent["agent"]) == ("acme", "alice", "coding-bot")
        assert len(intent["revision"]) == len(intent["catalog_digest"]) == 64
        assert intent["reasons"]


async def test_n27_equal_arguments_for_another_tool_are_another_request(opened: Gate) -> None:
    (opened.directory / "files/alice/short-lived.txt").write_text("x")
    same = {"path": "alice/short-lived.txt"}
    read = told(opened, await opened.handle(opened.call("read_file", same)))[0]
    again = told(opened, await opened.handle(opened.call("read_file", same)))[0]
    deleted = told(opened, await opened.handle(opened.call("delete_file", same)))[0]
    assert read["request_hmac"] == again["request_hmac"] != deleted["request_hmac"]
    assert read["arguments"] == deleted["arguments"]


async def test_without_an_intent_there_is_neither_effect_nor_outcome(
    opened: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, watch = watched(opened)

    async def full(*_: object) -> None:
        raise AuditUnavailable("no space")

    monkeypatch.setattr(opened.rooms.recorder, "intent", full)
    answer = await seen.handle(seen.call("read_file", READ))
    assert body(answer)["error"]["message"] == "authorization unavailable"
    assert not watch.before
    await settled(opened)
    assert not told(opened, answer)


async def test_a_denial_that_cannot_be_recorded_is_unavailability(
    opened: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object) -> None:
        raise AuditUnavailable("no space")

    monkeypatch.setattr(opened.rooms.recorder, "refusal", full)
    answer = body(await opened.handle(opened.call("read_file", BOBS)))
    assert (answer["error"]["code"], answer["error"]["message"]) == (-32603, "authorization unavailable")


async def test_a_refusal_that_never_reached_the_writer_is_counted_as_lost(
    opened: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, lost = opened.rooms.recorder._writer, list[str]()

    def broken(*_: object) -> None:
        raise ValueError("no record")

    monkeypatch.setattr(writer, "record", broken)
    monkeypatch.setattr(writer, "count_lost", lost.append)
    answer = body(await opened.handle(opened.call("read_file", BOBS)))
    assert answer["error"]["code"] == -32010
    assert lost == ["refusal:denied"]


@pytest.mark.parametrize("point", range(4))
async def test_a_client_that_hangs_up_is_refused_once_and_nothing_is_called_lost(point: int, opened: Gate) -> None:
    await settled(opened)  # nobody waits for the record of an outcome: a test before may have left one
    before = len(opened.records())
    work = Injected(opened.handle(opened.call("read_file", BOBS)), point, asyncio.CancelledError())
    await work
    await settled(opened)
    added = [record for record in opened.records()[before:] if record.get("reason") != "fence"]
    added = [record for record in added if record["kind"] not in {"checkpoint", "open"}]
    assert [record["kind"] for record in added] == ["refusal"], added
    assert added[0]["reason"] in {"denied", "cancelled", "no_decision"}


async def test_a_hang_up_while_a_refusal_is_written_neither_doubles_it_nor_counts_it_lost(
    opened: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = opened.rooms.recorder._writer
    real, queued = writer.record, asyncio.Event()
    lost: list[str] = []

    def slow(kind: str, fields: dict[str, Any]) -> asyncio.Future[Any]:
        real(kind, fields)
        queued.set()
        return asyncio.get_running_loop().create_future()  # the flush takes longer than the client has patience

    monkeypatch.setattr(writer, "record", slow)
    monkeypatch.setattr(writer, "count_lost", lost.append)
    before = len(opened.records())
    task = asyncio.create_task(opened.handle(opened.call("read_file", BOBS)))
    await queued.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    monkeypatch.undo()
    await settled(opened)
    added = [record for record in opened.records()[before:] if record["kind"] == "refusal"]
    assert [record["reason"] for record in added] == ["denied", "fence"]
    assert not lost


@pytest.mark.parametrize("error", [asyncio.CancelledError, ValueError, MemoryError])
async def test_n6_a_broken_listing_leaves_no_intent_without_outcome(error: type[BaseException], opened: Gate) -> None:
    for point in range(20):
        work = Injected(opened.handle(opened.request("tools/list")), point, error())
        answer = body(await work)
        assert "error" in answer or not work.hit or answer["result"]["tools"]
        if not work.hit:
            break
    await settled(opened)
    records = [record for record in opened.records() if record.get("decision_id")]
    intents = {record["decision_id"] for record in records if record["kind"] == "intent"}
    assert intents == {record["decision_id"] for record in records if record["kind"] == "outcome"}
    assert not intents & {record["decision_id"] for record in records if record["kind"] == "refusal"}


class Spying:
    """A resolver port that tells whether anything was looked up."""

    def __init__(self) -> None:
        self.resolved: list[str] = []

    def has_resolver(self, name: str) -> bool:
        return True

    async def resolve(self, identity: Identity, call: CheckedCall) -> tuple[Resolved, ...] | Unresolved:
        self.resolved.append(call.name)
        return Unresolved("spied")

    async def release(self, resolved: tuple[Resolved, ...]) -> None:
        return None


async def test_n9_nothing_is_looked_up_for_whom_the_tool_is_hidden(opened: Gate) -> None:
    spy = Spying()
    spied = opened.with_hands(decider=Decider(opened.hands.decider._client, spy, fulfils_none))
    await spied.handle(spied.call("read_file", READ, roles=("guest",)))
    assert not spy.resolved
    await spied.handle(spied.call("read_file", READ))
    assert spy.resolved == ["read_file"]


async def test_a_lookup_that_finds_nothing_asks_the_pdp_as_one_that_does(
    opened: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, asked = opened.hands.decider._client, []
    real = client.ask

    async def counting(question: Any, *, batch: bool, timeout: float) -> Any:  # noqa: ASYNC109 — the client's own
        asked.append(batch)
        return await real(question, batch=batch, timeout=timeout)

    monkeypatch.setattr(client, "ask", counting)
    counts = []
    for path in ("bob/private.txt", "bob/no-such-folder/x", "../x"):
        asked.clear()
        answer = body(await opened.handle(opened.call("read_file", {"path": path})))
        assert answer["error"]["message"] == "denied by policy"
        counts.append(len(asked))
    assert counts == [2, 2, 2]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("read_file", READ),
        ("read_file", {"path": 7}),
        ("read_file", {"path": "x" * 5000, "more": [1] * 2000}),
        ("there_is_none", {}),
        ("\u00e9" * 128, {}),
        ("a name", {}),
    ],
)
async def test_n9_hidden_wrong_and_unknown_are_one_answer(name: str, arguments: dict[str, Any], opened: Gate) -> None:
    request = opened.request("tools/call", {"name": name, "arguments": arguments}, roles=("guest",))
    headers = tuple(pair for pair in request.headers if pair[0] not in {b"mcp-name", b"mcp-protocol-version"})
    legacy = replace(request, headers=headers, body=request.body.replace(b'"_meta"', b'"_m"', 0))
    legacy = replace(legacy, body=_without_meta(legacy.body))
    answer = await opened.handle(legacy)
    error = body(answer)["error"]
    assert (answer.status, error["code"], error["message"]) == (200, -32010, "denied by policy")
    assert set(error["data"]) == {"decision_id"}


def _without_meta(raw: bytes) -> bytes:
    import json

    message = json.loads(raw)
    del message["params"]["_meta"]
    return json.dumps(message).encode()


async def test_the_record_of_a_hidden_tool_names_revision_and_policy(opened: Gate) -> None:
    (record,) = told(opened, await opened.handle(opened.call("read_file", READ, roles=("guest",))))
    assert len(record["revision"]) == 64
    assert record["reasons"] == ["role:gate:read_file"]


async def test_a_caller_who_may_not_list_is_denied_and_shown_nothing(opened: Gate) -> None:
    answer = body(await opened.handle(opened.request("tools/list", roles=("nobody",))))
    assert answer["error"]["code"] == -32010


def test_every_reason_has_its_shape() -> None:
    assert set(SHAPES) == set(Reason)
