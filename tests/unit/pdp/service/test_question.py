"""The contract's bytes and the engine's values: nothing is lost, nothing is made up."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from sallyport.authz.v1 import authz_pb2 as pb
from sallyport.pdp import model, question
from sallyport.pdp.model import Principal, Purpose, Query, Session, Verdict


def asked(**changes: Any) -> pb.Question:
    fields: dict[str, Any] = {
        "decision_id": "0123456789abcdef" * 2,
        "purpose": pb.PURPOSE_CALL,
        "subject": pb.Subject(
            issuer="laptop", user_id="alice", agent_id="bot", org="acme", roles=["a", "b"], scopes=["s"]
        ),
        "session": pb.Session(ip="127.0.0.1", risk=0, mfa_age=7),
        "catalog_digest": "c" * 64,
        "evaluations": [
            pb.Evaluation(
                action="read_file",
                resource=pb.Resource(type="File", id="x", attributes=b'{"owner":"alice"}'),
                input=b'{"path":"x"}',
            )
        ],
    }
    return pb.Question(**{**fields, **changes})


def read(wanted: pb.Question, *, batch: bool = False) -> question.Envelope:
    envelope = question.read(wanted.SerializeToString(), batch=batch)
    assert envelope is not None
    return envelope


def test_every_field_of_a_question_reaches_the_engine() -> None:
    assert read(asked()) == question.Envelope(
        "0123456789abcdef" * 2,
        "",
        1,
        question.Asked(
            Principal("laptop", "alice", "bot", "acme", ("a", "b"), ("s",)),
            Purpose.CALL,
            "c" * 64,
            (Query("read_file", "File", "x", {"owner": "alice"}, {"path": "x"}, Session("127.0.0.1", 0, 7)),),
        ),
    )


def test_evaluations_with_one_input_share_it_whether_it_is_said_again_or_not() -> None:
    """A list of hundreds has one context, and is judged so."""
    target = pb.Resource(type="Prompt", id="x")
    said = [b"{}", b"{}", b"", b'{"a":1}', b"{}"]
    each = [pb.Evaluation(action="prompts/get", resource=target, input=data) for data in said]
    envelope = read(asked(evaluations=each, purpose=pb.PURPOSE_FILTER), batch=True)
    assert isinstance(envelope.asked, question.Asked)
    first, *others = (query.input for query in envelope.asked.queries)
    assert [other is first for other in others] == [True, True, False, True]


def test_what_is_unknown_stays_absent() -> None:
    envelope = read(asked(session=pb.Session()))
    assert isinstance(envelope.asked, question.Asked)
    assert envelope.asked.queries[0].session == Session(None, None, None)


def test_a_question_of_visibility_carries_the_action_alone() -> None:
    envelope = read(
        asked(purpose=pb.PURPOSE_VISIBILITY, evaluations=[pb.Evaluation(action="a"), pb.Evaluation(action="b")]),
        batch=True,
    )
    assert isinstance(envelope.asked, question.Asked)
    assert envelope.asked.queries == (Query("a"), Query("b"))


def test_a_question_over_its_size_is_not_even_parsed() -> None:
    big = asked(evaluations=[pb.Evaluation(action="a")] * 1024, traceparent="x" * (256 << 10)).SerializeToString()
    assert question.read(big, batch=False) is None
    assert question.read(big, batch=True) is not None
    assert question.read(big + b"x" * (1 << 20), batch=True) is None


@pytest.mark.parametrize("number", range(1, 15))
def test_a_verdict_is_told_whole(number: int) -> None:
    code = model.ErrorCode(number)
    verdict = Verdict(model.Effect.DENY, ("r",), (code,), ("o",), ("do this",))
    payload = asked().SerializeToString()
    answer = question.answer(read(asked()), payload, [verdict], None)
    assert answer == pb.Answer(
        decision_id="0123456789abcdef" * 2,
        question_sha256=hashlib.sha256(payload).digest(),
        results=[
            pb.Result(
                effect=pb.EFFECT_DENY,
                reasons=["r"],
                errors=[pb.ErrorCode.ValueType(number)],
                obligations=["o"],
                advice=["do this"],
            )
        ],
    )


def test_the_engines_names_are_the_contracts() -> None:
    for ours, theirs, prefix in (
        (model.Effect, pb.Effect, "EFFECT_"),
        (model.ErrorCode, pb.ErrorCode, "ERROR_CODE_"),
        (model.Purpose, pb.Purpose, "PURPOSE_"),
    ):
        named = {f"{prefix}{item.name}": item.value for item in ours}
        assert named | {f"{prefix}UNSPECIFIED": 0} == dict(theirs.items())
