"""What the PDP answers to its own PEP, over real gRPC."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from sallyport.authz.v1 import authz_pb2 as pb
from sallyport.authz.v1 import authz_pb2_grpc as rpc
from sallyport.contract.seal import Label
from sallyport.pdp import decider
from sallyport.pdp.model import Verdict
from tests.contract.pdp_service.running import (
    CATALOG_DIGEST,
    OWN_CONNECTION,
    POLICIES,
    evaluation,
    question,
    running,
    visibility,
)


async def test_a_call_is_permitted_with_its_policy_and_revision_or_denied(tmp_path: Path) -> None:
    async with running(tmp_path) as pdp:
        permitted = await pdp.ask(question())
        denied = await pdp.ask(question(evaluation(resource="File::bob/notes.txt")))
    (permit,), (denial,) = permitted.results, denied.results
    assert (permit.effect, list(permit.reasons)) == (pb.EFFECT_PERMIT, ["agent_access.read_own_file"])
    assert (denial.effect, list(denial.reasons), list(denial.errors)) == (pb.EFFECT_DENY, [], [])
    assert permitted.revision == denied.revision
    assert len(permitted.revision) == 64
    assert permitted.catalog_digest == CATALOG_DIGEST


async def test_a_call_on_several_resources_gets_a_result_each_in_their_order(tmp_path: Path) -> None:
    asked = question(*(evaluation(resource=f"File::{who}/{n}") for n in range(60) for who in ("alice", "bob")))
    async with running(tmp_path) as pdp:
        answer = await pdp.ask_batch(asked)
    assert [result.effect for result in answer.results] == [pb.EFFECT_PERMIT, pb.EFFECT_DENY] * 60


async def test_a_listing_shows_what_may_be_called_and_an_unknown_tool_is_denied(tmp_path: Path) -> None:
    async with running(tmp_path) as pdp:
        answer = await pdp.ask_batch(visibility("read_file", "no_such_tool", "delete_file"))
    first, unknown, last = answer.results
    assert {first.effect, last.effect} <= {pb.EFFECT_PERMIT, pb.EFFECT_CONDITIONAL}
    assert (unknown.effect, list(unknown.errors)) == (pb.EFFECT_DENY, [pb.ERROR_CODE_UNKNOWN_ACTION])


async def test_a_method_is_judged_on_the_server(tmp_path: Path) -> None:
    listing = pb.Evaluation(action="tools/list", resource=pb.Resource(type="Server", id="sallyport"), input=b"{}")
    async with running(tmp_path) as pdp:
        (permit,) = (await pdp.ask(question(listing))).results
    assert (permit.effect, list(permit.errors)) == (pb.EFFECT_PERMIT, [])


async def test_a_question_about_another_catalog_is_denied_and_told_which_one_is_held(tmp_path: Path) -> None:
    async with running(tmp_path) as pdp:
        answer = await pdp.ask_batch(question(evaluation(), evaluation(), catalog_digest="0" * 64))
    assert [result.effect for result in answer.results] == [pb.EFFECT_DENY] * 2
    assert [list(result.errors) for result in answer.results] == [[pb.ERROR_CODE_CATALOG_MISMATCH]] * 2
    assert answer.catalog_digest == CATALOG_DIGEST


async def test_the_revision_names_the_catalog_in_force(tmp_path: Path) -> None:
    async with running(tmp_path) as pdp:
        answer = await pdp.revision()
        judged = await pdp.ask(question())
    assert (answer.ready, answer.catalog_digest, list(answer.problems)) == (True, CATALOG_DIGEST, [])
    assert answer.revision == judged.revision


@pytest.mark.parametrize("number", [1, 1024])
async def test_a_batch_holds_up_to_1024_questions(tmp_path: Path, number: int) -> None:
    async with running(tmp_path) as pdp:
        answer = await pdp.ask_batch(visibility(*["read_file"] * number))
    assert len(answer.results) == number
    assert not any(result.errors for result in answer.results)


async def test_an_answer_is_bound_to_the_bytes_of_its_question_and_to_its_method(tmp_path: Path) -> None:
    payload = question().SerializeToString()
    async with running(tmp_path) as pdp:
        mac = pdp.key.seal(Label.EVALUATE_QUESTION, payload)
        response = await pdp.stub.Evaluate(pb.EvaluateRequest(question=payload, mac=mac))
        assert pb.Answer.FromString(response.answer).question_sha256 == hashlib.sha256(payload).digest()
        assert pdp.key.open(Label.EVALUATE_ANSWER, response.answer, response.mac)
        for label in set(Label) - {Label.EVALUATE_ANSWER}:
            assert not pdp.key.open(label, response.answer, response.mac)


async def test_a_question_that_takes_too_long_is_never_answered_with_a_permit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [evaluation(resource=f"File::alice/{n}") for n in range(1000)]
    judged: list[Verdict] = []
    judging = decider.verdicts

    def counting(*asked: Any, **named: Any) -> Iterator[Verdict]:
        for verdict in judging(*asked, **named):
            judged.append(verdict)
            yield verdict

    monkeypatch.setattr(decider, "verdicts", counting)
    async with running(tmp_path, deadline_ms=5) as pdp:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await pdp.ask_batch(question(*files))
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert len(judged) < len(files)  # nor is the rest of it judged
    async with running(tmp_path) as pdp:
        answer = await pdp.ask_batch(question(*files))
    assert {result.effect for result in answer.results} == {pb.EFFECT_PERMIT}


async def test_a_big_batch_does_not_hold_up_another_question(tmp_path: Path) -> None:
    files = [evaluation(resource=f"File::alice/{n}") for n in range(1024)]
    async with running(tmp_path) as pdp, grpc.aio.insecure_channel(pdp.server.listen, options=OWN_CONNECTION) as other:
        stub = rpc.AuthorizationServiceStub(other)
        nonce = secrets.token_bytes(16)
        asked = pb.GetRevisionRequest(nonce=nonce, mac=pdp.key.seal(Label.REVISION_QUESTION, nonce))
        await stub.GetRevision(asked)
        batch = asyncio.create_task(pdp.ask_batch(question(*files)))
        overtaken = 0
        while not batch.done():
            await stub.GetRevision(asked)
            overtaken += not batch.done()
        await batch
    assert overtaken > 1


async def test_a_deadline_of_the_asker_is_kept(tmp_path: Path) -> None:
    files = [evaluation(resource=f"File::alice/{n}") for n in range(1024)]
    async with running(tmp_path) as pdp:
        started = time.monotonic()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await pdp.ask_batch(question(*files), seconds=0.005)
        assert time.monotonic() - started < 5
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        # The next one isn't held up by what nobody waits for.
        assert (await pdp.ask(question())).results[0].effect == pb.EFFECT_PERMIT


async def test_n5_without_a_policy_set_everything_is_denied(tmp_path: Path) -> None:
    empty = tmp_path / "policies"
    empty.mkdir()
    async with running(tmp_path, empty) as pdp:
        answer = await pdp.ask(question())
        listing = await pdp.ask_batch(visibility("read_file", "list_files"))
        state = await pdp.revision()
    for result in (*answer.results, *listing.results):
        assert (result.effect, list(result.errors)) == (pb.EFFECT_DENY, [pb.ERROR_CODE_NO_POLICIES])
    assert answer.revision == ""
    assert (state.ready, state.revision, bool(state.problems)) == (False, "", True)


async def test_every_problem_of_a_broken_set_is_told_with_file_and_line(tmp_path: Path) -> None:
    broken = tmp_path / "policies"
    broken.mkdir()
    for path in POLICIES.iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    with (broken / "files.cedar").open("a") as file:
        file.write("permit (principal, action, resource) when { principal.no_such_attribute };\n")
    with (broken / "agent_ceiling.cedar").open("a") as file:
        file.write('@id("x")\nforbid (principal, action == Action::"no_such_tool", resource);\n')
    async with running(tmp_path, broken) as pdp:
        state = await pdp.revision()
        answer = await pdp.ask(question())
    assert not state.ready
    assert any("files.cedar:" in line for line in state.problems)
    assert any("agent_ceiling.cedar:" in line for line in state.problems)
    assert list(answer.results[0].errors) == [pb.ERROR_CODE_NO_POLICIES]


async def test_a_later_evaluation_without_an_input_has_the_first_ones(tmp_path: Path) -> None:
    refs = [f"File::alice/{number}-{'x' * 300}.txt" for number in range(64)]
    asked = question(*(evaluation("read_file", ref, path="alice/notes.txt") for ref in refs))
    for item in asked.evaluations[1:]:
        item.ClearField("input")
    async with running(tmp_path) as pdp:
        answer = await pdp.ask_batch(asked)
    assert [result.effect for result in answer.results] == [pb.EFFECT_PERMIT] * 64
