"""Every limit that stands in the proto, at its edge and one beyond it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sallyport.authz.v1 import authz_pb2 as pb
from sallyport.contract import limits
from sallyport.contract.limits import check_question

Change = Callable[[pb.Question], object]


def _question() -> pb.Question:
    return pb.Question(
        decision_id="0123456789abcdef" * 2,
        purpose=pb.PURPOSE_CALL,
        subject=pb.Subject(issuer="laptop", user_id="alice", agent_id="coding-bot", org="acme", roles=["developer"]),
        session=pb.Session(ip="127.0.0.1"),
        catalog_digest="0123456789abcdef" * 4,
        evaluations=[pb.Evaluation(action="read_file", resource=pb.Resource(type="File", id="a"), input=b"{}")],
    )


def _visibility(count: int = 1) -> pb.Question:
    question = _question()
    del question.evaluations[:]
    question.purpose = pb.PURPOSE_VISIBILITY
    question.evaluations.extend(pb.Evaluation(action=f"tool{number}") for number in range(count))
    return question


def _set(path: str, value: object) -> Change:
    def change(question: pb.Question) -> None:
        *parents, name = path.split(".")
        target: object = question
        for parent in parents:
            target = target[int(parent)] if parent.isdigit() else getattr(target, parent)  # type: ignore[index]
        if isinstance(value, list):
            del getattr(target, name)[:]
            getattr(target, name).extend(value)
        else:
            setattr(target, name, value)

    return change


_ALLOWED: list[Change] = [
    _set("subject.issuer", "x" * 128),
    _set("subject.user_id", "x" * 256),
    _set("subject.user_id", "é" * 128),
    _set("subject.agent_id", "x" * 256),
    _set("subject.org", "x" * 128),
    _set("subject.roles", []),
    _set("subject.roles", ["x" * 128] * 64),
    _set("subject.scopes", ["x" * 128] * 64),
    _set("session.ip", ""),
    _set("session.ip", "2001:db8::1"),
    _set("session.ip", "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255"),
    _set("session.risk", 0),
    _set("session.risk", 100),
    _set("session.mfa_age", 0),
    _set("traceparent", "x" * 55),
    _set("evaluations.0.action", "x" * 128),
    _set("evaluations.0.resource.type", "A::b_1"),
    _set("evaluations.0.resource.type", "A" * 128),
    _set("evaluations.0.resource.id", "x" * 4096),
    _set("evaluations.0.resource.attributes", b"{" + b" " * (16384 - 2) + b"}"),
    _set("evaluations.0.input", b"{" + b" " * (192 * 1024 - 2) + b"}"),
    lambda question: question.ClearField("session"),
]

_REFUSED: list[tuple[str, Change]] = [
    ("decision_id", _set("decision_id", "")),
    ("decision_id", _set("decision_id", "0" * 31)),
    ("decision_id", _set("decision_id", "0" * 33)),
    ("decision_id", _set("decision_id", "A" * 32)),
    ("decision_id", _set("decision_id", "0" * 32 + "\n")),
    ("decision_id", _set("decision_id", "\u0660" * 32)),
    ("purpose", _set("purpose", 0)),
    ("purpose", _set("purpose", 4)),
    ("purpose", _set("purpose", -1)),
    ("catalog_digest", _set("catalog_digest", "")),
    ("catalog_digest", _set("catalog_digest", "g" * 64)),
    ("catalog_digest", _set("catalog_digest", "A" * 64)),
    ("traceparent", _set("traceparent", "x" * 54)),
    ("traceparent", _set("traceparent", "x" * 56)),
    ("subject: missing", lambda question: question.ClearField("subject")),
    ("subject.issuer", _set("subject.issuer", "")),
    ("subject.issuer", _set("subject.issuer", "x" * 129)),
    ("subject.user_id", _set("subject.user_id", "")),
    ("subject.user_id", _set("subject.user_id", "x" * 257)),
    ("subject.user_id", _set("subject.user_id", "é" * 129)),
    ("subject.agent_id", _set("subject.agent_id", "")),
    ("subject.agent_id", _set("subject.agent_id", "x" * 257)),
    ("subject.org", _set("subject.org", "")),
    ("subject.org", _set("subject.org", "x" * 129)),
    ("subject.roles", _set("subject.roles", ["x"] * 65)),
    ("subject.roles", _set("subject.roles", ["x" * 129])),
    ("subject.roles", _set("subject.roles", [""])),
    ("subject.scopes", _set("subject.scopes", ["x"] * 65)),
    ("subject.scopes", _set("subject.scopes", ["x", ""])),
    ("session.ip", _set("session.ip", "not an address")),
    ("session.ip", _set("session.ip", "127.0.0.1/8")),
    ("session.ip", _set("session.ip", "fe80::1%eth0")),
    ("session.ip", _set("session.ip", "1" * 46)),
    ("session.risk", _set("session.risk", -1)),
    ("session.risk", _set("session.risk", 101)),
    ("session.mfa_age", _set("session.mfa_age", -1)),
    ("evaluations", _set("evaluations", [])),
    ("action", _set("evaluations.0.action", "")),
    ("action", _set("evaluations.0.action", "x" * 129)),
    ("resource: missing", lambda question: question.evaluations[0].ClearField("resource")),
    ("resource.type", _set("evaluations.0.resource.type", "")),
    ("resource.type", _set("evaluations.0.resource.type", "A" * 129)),
    ("resource.type", _set("evaluations.0.resource.type", 'File::"x"')),
    ("resource.type", _set("evaluations.0.resource.type", "File\n")),
    ("resource.id", _set("evaluations.0.resource.id", "")),
    ("resource.id", _set("evaluations.0.resource.id", "x" * 4097)),
    ("resource.id", _set("evaluations.0.resource.id", "é" * 2049)),
    ("resource.attributes", _set("evaluations.0.resource.attributes", b"{" + b" " * 16384 + b"}")),
    ("resource.attributes", _set("evaluations.0.resource.attributes", b"[]")),
    ("input", _set("evaluations.0.input", b"")),
    ("input", _set("evaluations.0.input", b"[]")),
    ("input", _set("evaluations.0.input", b"{" + b" " * (192 * 1024) + b"}")),
]


def test_an_ordinary_question_is_within_the_limits() -> None:
    assert check_question(_question(), batch=False) is None
    assert check_question(_question(), batch=True) is None
    assert check_question(_visibility(), batch=False) is None


@pytest.mark.parametrize("change", _ALLOWED)
def test_a_field_at_its_limit_is_taken(change: Change) -> None:
    question = _question()
    change(question)
    assert check_question(question, batch=False) is None


@pytest.mark.parametrize(("reason", "change"), _REFUSED)
def test_n15_a_field_beyond_its_limit_is_refused_by_name(reason: str, change: Change) -> None:
    question = _question()
    change(question)
    assert (check_question(question, batch=False) or "").startswith(reason)
    assert (check_question(question, batch=True) or "").startswith(reason)


def test_n15_evaluate_takes_one_evaluation_and_a_batch_up_to_1024() -> None:
    assert check_question(_visibility(2), batch=False) == "evaluations: 2, not 1 to 1"
    assert check_question(_visibility(1024), batch=True) is None
    assert check_question(_visibility(1025), batch=True) == "evaluations: 1025, not 1 to 1024"


def test_n15_the_last_evaluation_of_a_batch_is_looked_at_too() -> None:
    question = _visibility(1024)
    question.evaluations[-1].action = ""
    assert check_question(question, batch=True) == "action: not 1 to 128 bytes"


def test_n15_a_question_of_visibility_has_neither_resource_nor_input() -> None:
    question = _visibility()
    question.evaluations[0].input = b"{}"
    assert (check_question(question, batch=False) or "").startswith("input: present")
    question = _visibility()
    question.evaluations[0].resource.SetInParent()
    assert (check_question(question, batch=False) or "").startswith("resource: present")


def test_n15_an_empty_message_is_refused() -> None:
    assert check_question(pb.Question(), batch=False)
    assert check_question(pb.Question(), batch=True)


_UNKNOWN = bytes([0xF8, 0x01, 0x01])  # field 31, a varint


@pytest.mark.parametrize("where", ["question", "subject", "session", "evaluation", "resource"])
def test_n15_an_unknown_field_is_refused_wherever_it_stands(where: str) -> None:
    question = _question()
    inner = question.evaluations[0]
    messages = {
        "question": question,
        "subject": question.subject,
        "session": question.session,
        "evaluation": inner,
        "resource": inner.resource,
    }
    messages[where].MergeFromString(_UNKNOWN)
    assert check_question(question, batch=False) == f"{where}: unknown field"
    parsed = pb.Question.FromString(question.SerializeToString())
    assert check_question(parsed, batch=False) == f"{where}: unknown field"


def test_a_reason_holds_no_value() -> None:
    question = _question()
    question.subject.user_id = "canary" * 100
    assert "canary" not in (check_question(question, batch=False) or "")


def test_a_message_has_room_for_the_largest_question_and_its_seal() -> None:
    request = pb.EvaluateBatchRequest(question=b"x" * limits.MAX_BATCH_QUESTION_BYTES, mac=b"x" * limits.MAC_BYTES)
    assert request.ByteSize() <= limits.MAX_BATCH_MESSAGE_BYTES


def test_only_the_first_evaluation_of_a_call_must_bring_an_input() -> None:
    question = _question()
    question.evaluations.add().CopyFrom(question.evaluations[0])
    question.evaluations[1].ClearField("input")
    assert check_question(question, batch=True) is None
    question.evaluations[0].ClearField("input")
    assert "input" in (check_question(question, batch=True) or "")
