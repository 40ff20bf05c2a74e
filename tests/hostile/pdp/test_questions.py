"""Questions that our PEP would never write, from somebody with the hop key and from somebody without it."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from sallyport.authz.v1 import authz_pb2 as pb
from sallyport.contract.seal import HopKey, Label
from tests.contract.pdp_service.running import Pdp, evaluation, question, running, visibility
from tests.support.stopwatch import own_garbage

METHOD = "/sallyport.authz.v1.AuthorizationService/"
UNKNOWN_FIELD = b"\xf8\x07\x01"  # field 127, varint 1


def status(error: pytest.ExceptionInfo[grpc.aio.AioRpcError]) -> tuple[grpc.StatusCode, str | None]:
    return error.value.code(), error.value.details()


def doubled(field: bytes) -> Callable[[pb.Question], bytes]:
    return lambda asked: field + asked.SerializeToString()


def changed(**fields: object) -> Callable[[pb.Question], bytes]:
    def apply(asked: pb.Question) -> bytes:
        for name, value in fields.items():
            setattr(asked, name, value)
        return asked.SerializeToString()

    return apply


def edited(edit: Callable[[pb.Question], object]) -> Callable[[pb.Question], bytes]:
    def apply(asked: pb.Question) -> bytes:
        edit(asked)
        return asked.SerializeToString()

    return apply


def with_input(data: bytes) -> Callable[[pb.Question], bytes]:
    return edited(lambda asked: setattr(asked.evaluations[0], "input", data))


def with_attributes(data: bytes) -> Callable[[pb.Question], bytes]:
    return edited(lambda asked: setattr(asked.evaluations[0].resource, "attributes", data))


def nested_unknown(asked: pb.Question) -> bytes:
    asked.subject.MergeFromString(UNKNOWN_FIELD)
    return asked.SerializeToString()


INVALID = {
    "unknown field": lambda asked: asked.SerializeToString() + UNKNOWN_FIELD,
    "unknown field within": nested_unknown,
    "doubled field": doubled(pb.Question(purpose=pb.PURPOSE_VISIBILITY).SerializeToString()),
    "doubled message": doubled(pb.Question(subject=pb.Subject(org="globex")).SerializeToString()),
    "doubled decision id": lambda asked: (
        asked.SerializeToString() + pb.Question(decision_id="f" * 32).SerializeToString()
    ),
    "purpose zero": changed(purpose=0),
    "purpose unknown": changed(purpose=99),
    "purpose negative": changed(purpose=-1),
    "no subject": edited(lambda asked: asked.ClearField("subject")),
    "no user": edited(lambda asked: asked.subject.ClearField("user_id")),
    "no agent": edited(lambda asked: asked.subject.ClearField("agent_id")),
    "no org": edited(lambda asked: asked.subject.ClearField("org")),
    "no evaluation": edited(lambda asked: asked.ClearField("evaluations")),
    "two evaluations": edited(lambda asked: asked.evaluations.append(evaluation())),
    "no action": edited(lambda asked: asked.evaluations[0].ClearField("action")),
    "no resource": edited(lambda asked: asked.evaluations[0].ClearField("resource")),
    "long action": edited(lambda asked: setattr(asked.evaluations[0], "action", "a" * 129)),
    "long id": edited(lambda asked: setattr(asked.evaluations[0].resource, "id", "a" * 4097)),
    "many roles": edited(lambda asked: asked.subject.roles.extend(["developer"] * 64)),
    "risk over 100": edited(lambda asked: setattr(asked.session, "risk", 101)),
    "negative mfa age": edited(lambda asked: setattr(asked.session, "mfa_age", -1)),
    "bad address": edited(lambda asked: setattr(asked.session, "ip", "not an address")),
    "bad digest": changed(catalog_digest="x" * 64),
    "bad traceparent": changed(traceparent="00"),
    "empty input": with_input(b""),
    "input not an object": with_input(b"[]"),
    "input with spaces": with_input(b'{"path": "alice/notes.txt"}'),
    "input with a key twice": with_input(b'{"path":"alice/notes.txt","path":"alice/notes.txt"}'),
    "input with trailing data": with_input(b'{"path":"alice/notes.txt"}{}'),
    "input not UTF-8": with_input(b'{"path":"\xff"}'),
    "input with a lone surrogate": with_input(b'{"path":"\\ud800"}'),
    "input with NaN": with_input(b'{"path":NaN}'),
    "input too deep": with_input(b'{"path":' + b"[" * 5000 + b"]" * 5000 + b"}"),
    "input too large": with_input(b'{"path":"' + b"a" * (192 * 1024) + b'"}'),
    "attributes not an object": with_attributes(b"1"),
    "attributes not canonical": with_attributes(b'{"b":1,"a":2}'),
    "attributes too large": with_attributes(b'{"a":"' + b"a" * (16 * 1024) + b'"}'),
}


async def the_plain_question_is_permitted(pdp: Pdp) -> None:
    assert (await pdp.ask(question())).results[0].effect == pb.EFFECT_PERMIT


@pytest.mark.parametrize("name", sorted(INVALID))
async def test_n15_a_question_that_is_not_exactly_ours_is_denied_as_invalid(tmp_path: Path, name: str) -> None:
    async with running(tmp_path) as pdp:
        answer = await pdp.send(INVALID[name](question()))
        assert [result.effect for result in answer.results] == [pb.EFFECT_DENY]
        assert list(answer.results[0].errors) == [pb.ERROR_CODE_INVALID_QUESTION]
        await the_plain_question_is_permitted(pdp)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda asked: b"",
        lambda asked: asked.SerializeToString() + b"\x00",
        lambda asked: asked.SerializeToString()[:-1],
        lambda asked: secrets.token_bytes(200),
        lambda asked: pb.Question().SerializeToString(),
        changed(decision_id=""),
        changed(decision_id="A" * 32),
        changed(decision_id="a" * 31),
        changed(decision_id="a" * 31 + "\n"),
    ],
    ids=["empty", "trailing byte", "cut", "noise", "empty message", "no id", "upper case", "short", "newline"],
)
async def test_n15_a_question_without_an_id_to_echo_gets_no_decision(
    tmp_path: Path, spoil: Callable[[pb.Question], bytes]
) -> None:
    async with running(tmp_path) as pdp:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await pdp.send(spoil(question()))
        assert status(caught) == (grpc.StatusCode.INVALID_ARGUMENT, "")
        await the_plain_question_is_permitted(pdp)


@pytest.mark.parametrize("method", ["Permit", "evaluate", "Evaluate/", "", "../Evaluate", "Reload"])
async def test_n15_an_unknown_method_is_unimplemented(tmp_path: Path, method: str) -> None:
    payload = question().SerializeToString()
    async with running(tmp_path) as pdp:
        request = pb.EvaluateRequest(question=payload, mac=pdp.key.seal(Label.EVALUATE_QUESTION, payload))
        call: Any = pdp.channel.unary_unary(METHOD + method)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(request.SerializeToString(), timeout=10)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        await the_plain_question_is_permitted(pdp)


async def test_n15_the_port_for_questions_offers_nothing_else(tmp_path: Path) -> None:
    async with running(tmp_path) as pdp:
        for method in (
            "/grpc.health.v1.Health/Check",
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        ):
            call: Any = pdp.channel.unary_unary(method)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(b"", timeout=10)
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("number", [0, 1025])
async def test_n15_a_batch_over_or_under_its_limits_is_denied(tmp_path: Path, number: int) -> None:
    asked = visibility(*["read_file"] * number)
    if not number:
        asked.ClearField("evaluations")
    async with running(tmp_path) as pdp:
        answer = await pdp.ask_batch(asked)
    assert {result.effect for result in answer.results} == {pb.EFFECT_DENY}
    assert {code for result in answer.results for code in result.errors} == {pb.ERROR_CODE_INVALID_QUESTION}


async def test_n15_a_message_over_the_limit_is_cut_off(tmp_path: Path) -> None:
    async with running(tmp_path) as pdp:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await pdp.send(b"a" * (2 << 20))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        await the_plain_question_is_permitted(pdp)


async def test_n15_an_unreadable_or_extended_request_gets_no_decision(tmp_path: Path) -> None:
    payload = question().SerializeToString()
    async with running(tmp_path) as pdp:
        good = pb.EvaluateRequest(
            question=payload, mac=pdp.key.seal(Label.EVALUATE_QUESTION, payload)
        ).SerializeToString()
        call: Any = pdp.channel.unary_unary(METHOD + "Evaluate")
        assert await call(good)
        for raw in (b"", b"\xff\xff", good + b"\x00", good + UNKNOWN_FIELD):
            with pytest.raises(grpc.aio.AioRpcError):
                await call(raw, timeout=10)


async def test_n26_bytes_that_are_no_message_leave_nothing_in_the_log_and_tell_their_sender_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """gRPC itself would write a traceback for each: whoever is on loopback could fill the disk."""
    with own_garbage():  # what others have left may be told of when it is collected
        await no_messages(tmp_path)
    assert not caplog.records


async def no_messages(tmp_path: Path) -> None:
    async with running(tmp_path) as pdp:
        for method in ("Evaluate", "EvaluateBatch", "GetRevision", "GetCatalog"):
            call: Any = pdp.channel.unary_unary(METHOD + method)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(b"\xff\xff", timeout=10)
            assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.INVALID_ARGUMENT, "")


async def test_without_the_hop_key_nobody_learns_anything(tmp_path: Path) -> None:
    payload = question().SerializeToString()
    stranger = HopKey.generate()
    async with running(tmp_path) as pdp:
        right = pdp.key.seal(Label.EVALUATE_QUESTION, payload)
        wrong = [
            b"",
            right[:-1],
            right + b"\0",
            bytes(32),
            stranger.seal(Label.EVALUATE_QUESTION, payload),
            *(pdp.key.seal(label, payload) for label in Label if label is not Label.EVALUATE_QUESTION),
            pdp.key.seal(Label.EVALUATE_QUESTION, payload[:-1]),
        ]
        for mac in wrong:
            for spoilt in (payload, b"", b"\xff"):
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await pdp.send(spoilt, mac=mac)
                assert status(caught) == (grpc.StatusCode.UNAUTHENTICATED, "")
        await the_plain_question_is_permitted(pdp)


async def test_every_method_asks_for_the_seal(tmp_path: Path) -> None:
    async with running(tmp_path) as pdp:
        for attempt in (
            pdp.stub.Evaluate(pb.EvaluateRequest(question=question().SerializeToString(), mac=bytes(32))),
            pdp.stub.EvaluateBatch(pb.EvaluateBatchRequest(question=question().SerializeToString(), mac=bytes(32))),
            pdp.stub.GetRevision(pb.GetRevisionRequest(nonce=bytes(16), mac=bytes(32))),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await attempt
            assert status(caught) == (grpc.StatusCode.UNAUTHENTICATED, "")


@pytest.mark.parametrize("size", [0, 15, 17])
async def test_a_revision_is_told_only_for_a_nonce_of_16_bytes(tmp_path: Path, size: int) -> None:
    nonce = secrets.token_bytes(size)
    async with running(tmp_path) as pdp:
        mac = pdp.key.seal(Label.REVISION_QUESTION, nonce)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await pdp.stub.GetRevision(pb.GetRevisionRequest(nonce=nonce, mac=mac))
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert (await pdp.revision()).ready
