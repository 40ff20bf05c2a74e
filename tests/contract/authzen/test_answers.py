"""What comes back, who hears of it first, and what a batch does when one of its evaluations is denied or breaks."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import time
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from structlog.testing import capture_logs

from sallyport.pdp.authzen import api, mapping
from sallyport.pdp.decider import decide
from sallyport.pdp.model import Effect, ErrorCode, Verdict
from sallyport.pdp.observer import Decision, Reloaded
from sallyport.pdp.telemetry import Metrics
from sallyport.runtime.telemetry import Tracing
from tests.contract.authzen.running import CLIENT, GATEWAY, Pdp, evaluation, records, serving

EXPORT = evaluation("alice", "export")
YES, NO = evaluation(), evaluation("bob", "write")
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Full:
    """An audit stream that can't be written."""

    def decided(self, decision: Decision) -> None:
        raise OSError(28, decision.decision_id)

    def reloaded(self, event: Reloaded) -> None:
        raise AssertionError(event)


async def test_a_decision_says_which_policies_of_which_revision_made_it(tmp_path: Path) -> None:
    async with serving(tmp_path) as pdp:
        body = json.dumps(YES).encode()
        answer = json.loads((await pdp.send("/access/v1/evaluation", body))[1])
        (decision,) = pdp.memory.decisions
    context = answer["context"]
    assert context == {
        "id": decision.decision_id,
        "decision_id": decision.decision_id,
        "revision": records().revision,
        "reasons": ["records.read"],
    }
    assert (decision.source, decision.revision) == ("authzen", records().revision)
    assert decision.question_sha256 == hashlib.sha256(body).digest()
    assert [(query.action, query.resource_id) for query in decision.queries] == [("read", "record-1")]
    assert 0 < decision.seconds < 10


async def test_an_obligation_is_carried_out_by_who_knows_it_and_denied_to_who_does_not(tmp_path: Path) -> None:
    for kinds, expected in (((), False), (("notify",), False), (("mask",), True)):
        async with serving(tmp_path, {**CLIENT, "obligations": kinds}) as pdp:
            answer = await pdp.ask(EXPORT)
            (decision,) = pdp.memory.decisions
        assert answer["decision"] is expected
        (obligation,) = answer["context"]["obligations"]
        assert obligation == {
            "type": "custom",
            "id": f"{decision.decision_id}-0",
            "vendor": "sallyport",
            "obligation": "mask:email",
        }
        assert (decision.verdicts[0].effect is Effect.PERMIT) is expected  # the record says what was answered
        assert decision.verdicts[0].obligations == ("mask:email",)


async def test_n27_what_cannot_be_recorded_is_not_permitted(tmp_path: Path) -> None:
    async with serving(tmp_path, observers=(Full(),)) as pdp:
        with capture_logs() as logs:
            answer = await pdp.ask(YES)
            assert await pdp.decisions({"evaluations": [YES, NO, YES]}) == [False] * 3
    assert (answer["decision"], answer["context"]["errors"]) == (False, ["INTERNAL"])
    assert {log["error"] for log in logs} == {"OSError"}


async def test_n6_any_exception_in_one_evaluation_is_its_denial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = decide

    def breaks(snapshot: Any, principal: Any, queries: Any, *rest: Any, **more: Any) -> tuple[Verdict, ...]:
        if queries[0].action == "write":
            raise RecursionError("canary-77")
        return () if queries[0].action == "delete" else real(snapshot, principal, queries, *rest, **more)

    monkeypatch.setattr(api, "decide", breaks)
    asked = {"evaluations": [YES, evaluation(action="write"), evaluation(action="delete", soft=True), YES]}
    async with serving(tmp_path) as pdp:
        with capture_logs() as logs:
            found = await pdp.batch(asked)
        assert [decision.verdicts[0].errors for decision in pdp.memory.decisions] == [
            (), (ErrorCode.INTERNAL,), (ErrorCode.INTERNAL,), (),
        ]  # fmt: skip
    assert [item["decision"] for item in found] == [True, False, False, True]
    assert "canary-77" not in json.dumps(found) + str(logs)


async def test_n6_an_exception_outside_of_any_evaluation_is_no_decision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: Any) -> None:
        raise MemoryError("canary-78")

    async with serving(tmp_path) as pdp:
        with monkeypatch.context() as patch, capture_logs() as logs:
            patch.setattr("sallyport.pdp.authzen.answer.enforceable", breaks)
            status, body = await pdp.send("/access/v1/evaluation", json.dumps(YES).encode())
        assert (status, body) == (500, b"internal error\n")
        assert [log["error"] for log in logs] == ["MemoryError"]
        assert "canary-78" not in str(logs)
        assert await pdp.decision(YES) is True


async def test_without_a_policy_set_everything_is_denied(tmp_path: Path) -> None:
    async with serving(tmp_path, empty=True) as pdp:
        answer = await pdp.ask(YES)
        assert await pdp.decisions({"evaluations": [YES, YES]}) == [False, False]
    assert answer["decision"] is False
    assert (answer["context"]["errors"], answer["context"]["revision"]) == (["NO_POLICIES"], "")


@pytest.mark.parametrize(
    ("semantic", "items", "expected"),
    [
        ("execute_all", [YES, NO, YES], [True, False, True]),
        ("deny_on_first_deny", [YES, NO, YES], [True, False]),
        ("deny_on_first_deny", [YES, {}, YES], [True, False]),
        ("deny_on_first_deny", [YES, YES], [True, True]),
        ("permit_on_first_permit", [NO, YES, YES], [False, True]),
        ("permit_on_first_permit", [NO, {"subject": 1}], [False, False]),
    ],
)
async def test_a_semantic_says_where_a_batch_ends(
    tmp_path: Path, semantic: str, items: list[Any], expected: list[bool]
) -> None:
    async with serving(tmp_path) as pdp:
        asked = {"evaluations": items, "options": {"evaluations_semantic": semantic, "another_option": 1}}
        assert await pdp.decisions(asked) == expected
        assert len(pdp.memory.decisions) == len(expected)  # what isn't answered isn't judged


@pytest.mark.parametrize("options", [{"evaluations_semantic": "any"}, {"evaluations_semantic": 1}, [], "execute_all"])
async def test_another_semantic_is_a_bad_request(tmp_path: Path, options: Any) -> None:
    async with serving(tmp_path) as pdp:
        asked = {"evaluations": [YES], "options": options}
        assert await pdp.refusal(asked, "/access/v1/evaluations") == 400


@pytest.mark.parametrize("item", [{}, [], "x", None, {"subject": "alice"}, {"context": 1}, {"resource": {"id": 1}}])
async def test_an_items_fault_is_that_items_alone(tmp_path: Path, item: Any) -> None:
    async with serving(tmp_path) as pdp:
        asked = {"subject": YES["subject"], "action": YES["action"], "evaluations": [YES, item, YES]}
        found = await pdp.batch(asked)
    assert [answer["decision"] for answer in found] == [True, False, True]
    assert found[1]["context"]["error"]["status"] == 400


@pytest.mark.parametrize(
    "more",
    [{"evaluations": {}}, {"evaluations": "x"}, {"evaluations": None}, {"subject": "alice", "evaluations": [{}]}],
)
async def test_a_fault_of_the_whole_is_a_bad_request(tmp_path: Path, more: dict[str, Any]) -> None:
    async with serving(tmp_path) as pdp:
        assert await pdp.refusal({**YES, **more}, "/access/v1/evaluations") == 400


async def test_a_batch_gives_the_loop_its_turn(tmp_path: Path) -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    class Counting(Full):
        def decided(self, decision: Decision) -> None:
            until = time.monotonic() + api._TURN
            while time.monotonic() < until:
                pass
            seen.append((turns, decision.question_sha256))

    seen: list[tuple[int, bytes]] = []
    async with serving(tmp_path, observers=(Counting(),)) as pdp:
        beside = asyncio.create_task(others())
        await asyncio.gather(*(pdp.batch({"evaluations": [YES] * 8, "number": number}) for number in range(4)))
        beside.cancel()
    # By time, not by count; and four batches take no more of a turn than one.
    assert len({turn for turn, _ in seen}) == len(seen) == 32
    assert len({digest for _, digest in seen}) == 4


async def test_at_its_deadline_a_batch_ends_before_another_question_is_read(tmp_path: Path) -> None:
    class Slow(Full):
        def decided(self, decision: Decision) -> None:
            if decision.queries:
                time.sleep(0.5)

    async with serving(tmp_path, seconds=2, observers=(Slow(),)) as pdp:
        found = await pdp.batch({"evaluations": [YES] * 64})
        judged = [decision for decision in pdp.memory.decisions if decision.queries]
    assert 1 <= len(judged) <= 5
    assert [item["decision"] for item in found] == [True] * len(judged) + [False] * (64 - len(judged))
    assert all(item["context"]["errors"] == ["INTERNAL"] for item in found[len(judged) :])
    assert {decision.decision_id for decision in pdp.memory.decisions} == {item["context"]["id"] for item in found}


async def test_what_the_evaluations_of_a_batch_share_is_written_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Counted(json.JSONEncoder):
        def encode(self, value: Any) -> str:
            written.append(value)
            return super().encode(value)

    written: list[Any] = []
    monkeypatch.setattr(mapping, "_JSON", Counted())
    shared, own = {"input": {"record": "record-1"}}, {"input": {"record": "record-2"}}
    async with serving(tmp_path) as pdp:
        items = [{}, {}, {"context": own}, {}]
        await pdp.batch({**YES, "context": shared, "evaluations": items})
        arguments = [decision.queries[0].input for decision in pdp.memory.decisions]
    assert arguments == [shared["input"], shared["input"], own["input"], shared["input"]]
    assert [value for value in written if value] == [shared["input"], own["input"]]


async def test_the_arguments_of_a_whole_batch_have_a_cap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = {"record": "record-1", "more": "x" * 300}
    monkeypatch.setattr(mapping, "_MAX_INPUTS", 800)
    async with serving(tmp_path) as pdp:
        found = await pdp.batch({**YES, "context": {"input": shared}, "evaluations": [{}] * 5})
    assert [item["decision"] for item in found] == [True, True, False, False, False]
    assert found[-1]["context"]["errors"] == ["INVALID_QUESTION"]


async def test_a_decision_tells_which_gateway_asked_also_where_nothing_was_asked(tmp_path: Path) -> None:
    async with serving(tmp_path) as pdp:
        await pdp.batch({"evaluations": [YES, {**YES, "subject": {"type": "robot", "id": "x"}}, 1]})
        assert [decision.client for decision in pdp.memory.decisions] == [GATEWAY] * 3
        assert [decision.principal is None for decision in pdp.memory.decisions] == [False, True, True]


async def test_what_is_judged_too_late_is_denied(tmp_path: Path) -> None:
    async with serving(tmp_path, seconds=0.0) as pdp:
        answer = await pdp.ask(YES)
    assert (answer["decision"], answer["context"]["errors"]) == (False, ["INTERNAL"])


async def test_pii_no_argument_reaches_a_log_a_span_or_a_metric(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    spans, tracing = InMemorySpanExporter(), Tracing("pdp")
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    tracing._provider = provider
    metrics = Metrics(records)
    with capture_logs() as logs:
        async with serving(tmp_path, tracing=tracing, observers=(metrics,)) as pdp:
            await ask_with_canaries(pdp)
            with monkeypatch.context() as patch:
                patch.setattr(api, "decide", breaks)
                await ask_with_canaries(pdp)
    provider.shutdown()
    finished = spans.get_finished_spans()
    assert {(span.name, f"{span.context.trace_id:032x}") for span in finished} == {("pdp.authzen", TRACE)}
    assert all(span.parent and f"{span.parent.span_id:016x}" == PARENT for span in finished)
    written = str(logs) + caplog.text + "".join(span.to_json() for span in finished) + metrics.exposition().decode()
    assert "canary" not in written
    assert logs


def breaks(*asked: Any, **_: Any) -> None:
    raise ValueError(str(asked))


async def ask_with_canaries(pdp: Pdp) -> None:
    asked = evaluation("canary-1", "canary-2", "canary-3")
    asked["context"] = {"input": {"canary-4": "canary-5"}, "agent": "canary-6"}
    asked["action"]["properties"] = {"reason": "canary-7"}
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "X-Request-ID": "canary-8"}
    for question in (asked, {**YES, "context": {"input": {"record": "canary-9"}}}, {"subject": "canary-10"}):
        await pdp.send("/access/v1/evaluation", json.dumps(question).encode(), headers=headers)
    await pdp.send("/canary-11?canary-12", b'{"canary-13":', headers=headers)
    await pdp.send("/access/v1/evaluations", b'{"canary-14":', headers=headers)
    await pdp.send("/access/v1/evaluations", None, method="CANARY-15".lower(), headers=headers)
