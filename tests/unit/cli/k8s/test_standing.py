"""How a release stands, from what its pods say."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from sallyport.cli.k8s.asking import Answer, metrics, reasons
from sallyport.cli.k8s.objects import Event, Pod
from sallyport.cli.k8s.standing import Standing, age, table

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
A, B = "a" * 64, "b" * 64


def pod(name: str, *, ready: bool = True, ending: bool = False) -> Pod:
    return Pod(name, ready, 2, NOW - timedelta(minutes=5), ending, "", {}, None)


def says(revision: str) -> Answer:
    return Answer(revision, heard=True)


def standing(*answers: Answer) -> Standing:
    pods = tuple(pod(f"gate-{i}") for i in range(len(answers)))
    return Standing(pods, {each.name: answer for each, answer in zip(pods, answers, strict=True)}, NOW)


def test_all_ready_on_one_revision_is_good() -> None:
    found = standing(says(A), says(A))
    assert found.good
    assert [row[2] for row in found.rows()] == ["REVISION", "a" * 12, "a" * 12]


@pytest.mark.parametrize(
    "answers",
    [
        (says(A), says(B)),
        (says(A), Answer()),
        (Answer(),),
        (Answer(A, heard=True, refused=True),),
        (Answer(A, heard=False),),
    ],
)
def test_anything_else_is_not_good(answers: tuple[Answer, ...]) -> None:
    assert not standing(*answers).good


def test_a_pod_that_is_not_ready_is_not_good() -> None:
    pods = (pod("gate-0"), pod("gate-1", ready=False))
    assert not Standing(pods, {"gate-0": says(A), "gate-1": says(A)}, NOW).good


def test_a_pod_that_is_being_ended_has_no_say_in_it() -> None:
    pods = (pod("gate-0"), pod("gate-1", ready=False, ending=True))
    found = Standing(pods, {"gate-0": says(A), "gate-1": says(B)}, NOW)
    assert found.good
    assert [row[1] for row in found.rows()][1:] == ["yes", "ending"]


def test_who_disagrees_with_most_is_marked() -> None:
    found = standing(says(B), says(A), says(A))
    assert [row[2] for row in found.rows()][1:] == ["b" * 12 + " differs", "a" * 12, "a" * 12]


def test_the_table_survives_a_pipe_and_moves_no_cursor() -> None:
    lines = list(table(standing(Answer(A, True, errors=("policies: \x1b[2Jgone\nPOD",))).rows()))
    assert len(lines) == 2
    assert lines[0].split() == ["POD", "READY", "REVISION", "RESTARTS", "AGE", "LAST", "ERROR"]
    assert "\x1b" not in lines[1]
    assert "policies: \\u{1b}[2Jgone" in lines[1]


def test_a_program_reads_the_same() -> None:
    events = [Event(NOW, False, "PolicyPushed", "revision aaaa, by me", "gate")]
    document = json.loads(standing(says(A), Answer(B, refused=True, errors=("x",))).as_json("ns", "gate", events))
    assert (document["good"], document["revision"], document["namespace"]) == (False, A, "ns")
    assert document["pods"][1] == {
        "name": "gate-1", "ready": True, "ending": False, "revision": B, "differs": True, "refused": True,
        "restarts": 2, "age_seconds": 300, "errors": ["x"],
    }  # fmt: skip
    assert document["events"][0]["reason"] == "PolicyPushed"


@pytest.mark.parametrize(("seconds", "said"), [(0, "0s"), (59, "59s"), (60, "1m"), (7200, "2h"), (200_000, "2d")])
def test_an_age_is_told_in_its_largest_unit(seconds: int, said: str) -> None:
    assert age(NOW - timedelta(seconds=seconds), NOW) == said


def test_the_pdps_metrics_tell_revision_and_refusal() -> None:
    text = f'# HELP x\nsallyport_pdp_revision_info{{revision="{A}"}} 1.0\nsallyport_pdp_last_reload_success 0.0\n'
    assert metrics(text) == (A, True)
    assert metrics(text.replace("success 0.0", "success 1.0")) == (A, False)
    assert metrics("# TYPE sallyport_pdp_revision_info gauge\n") == ("", False)


def test_what_readiness_lists_is_told_and_anything_else_is_no_reason() -> None:
    listed = [{"name": "pdp", "ok": False, "detail": "no valid policy set"}, {"name": "x"}, 7]
    assert reasons(503, json.dumps(listed).encode()) == ["pdp: no valid policy set"]
    assert reasons(200, b"[]") == []


def test_which_revision_is_in_force_is_no_error_and_what_was_refused_after_it_is() -> None:
    entry = {"name": "policies", "ok": True, "detail": f"revision {A}"}
    assert reasons(200, json.dumps([entry]).encode()) == []
    entry["detail"] = f"revision {A}; last reload refused: a.cedar:1:1: unexpected end"
    (reason,) = reasons(200, json.dumps([entry]).encode())
    assert reason == "policies: last reload refused: a.cedar:1:1: unexpected end"


def test_an_answer_without_reasons_says_its_status() -> None:
    assert reasons(503, b"") == ["readiness answered 503, and no reasons"]
