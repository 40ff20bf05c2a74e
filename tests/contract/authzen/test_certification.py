"""The certification scenario of AuthZEN 1.0: Basic, Batch and Discovery, each with its Core and Properties level.

The comments name the scenario's sections. Searches (§4) aren't offered, so they aren't asked for.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.authzen.running import URL, Pdp, evaluation, serving

ALICE = {"type": "user", "id": "alice"}
BOB = {"type": "user", "id": "bob"}
READ = {"name": "read"}
WRITE = {"name": "write"}
FIRST = {"type": "record", "id": "record-1"}
ARCHIVED = {"type": "record", "id": "record-2", "properties": {"status": "archived"}}


@pytest.fixture
async def pdp(tmp_path: Path) -> AsyncIterator[Pdp]:
    async with serving(tmp_path) as pdp:
        yield pdp


# §1.4, rules 1 to 8
DECISIONS = [
    (evaluation("alice", "read", "record-1"), True),
    (evaluation("alice", "write", "record-1"), True),
    (evaluation("bob", "read", "record-1"), True),
    (evaluation("bob", "write", "record-1"), False),
    (evaluation("alice", "write", "record-2", status="archived"), False),
    (evaluation("bob", "write", "record-2", status="archived", role="admin"), True),
    (evaluation("alice", "delete", "record-1", soft=True), True),
    (evaluation("alice", "delete", "record-1", soft=False), False),
]


@pytest.mark.parametrize(("asked", "expected"), DECISIONS, ids=range(1, 9))
async def test_the_eight_decisions_each_time_alike(pdp: Pdp, asked: dict[str, Any], expected: bool) -> None:
    assert [await pdp.decision(asked) for _ in range(3)] == [expected] * 3  # §2.6
    assert await pdp.decision({**asked, "context": {"time": "2025-06-27T18:03-07:00"}}) is expected


@pytest.mark.parametrize(
    "more",
    [
        {"context": {"time": "2025-06-27T18:03-07:00", "ip": "192.168.1.1"}},  # §2.2.3
        {"foo": "bar", "futureField": {"nested": True}},  # §2.2.9
        {  # §2.2.8
            "subject": {**ALICE, "properties": {"department": "Sales", "role": "manager"}},
            "action": {**READ, "properties": {"method": "GET"}},
            "resource": {**FIRST, "properties": {"status": "active", "owner": "bob"}},
        },
    ],
)
async def test_what_the_scenario_does_not_name_changes_no_decision(pdp: Pdp, more: dict[str, Any]) -> None:
    assert await pdp.decision({**evaluation(), **more}) is True


# §2.4
def _without(entity: str, part: str | None = None) -> dict[str, Any]:
    asked = evaluation()
    if part is None:
        del asked[entity]
    else:
        del asked[entity][part]
    return asked


@pytest.mark.parametrize(
    "asked",
    [
        *(_without(entity) for entity in ("subject", "action", "resource")),
        *(_without(entity, part) for entity in ("subject", "resource") for part in ("type", "id")),
        _without("action", "name"),
        {**evaluation(), "subject": "alice"},
        {**evaluation(), "action": {"name": 123}},
        {**evaluation(), "context": []},
        {**evaluation(), "resource": {**FIRST, "properties": "active"}},
    ],
)
@pytest.mark.parametrize("path", ["/access/v1/evaluation", "/access/v1/evaluations"])
async def test_what_is_no_evaluation_is_a_bad_request(pdp: Pdp, asked: dict[str, Any], path: str) -> None:
    assert await pdp.refusal(asked, path) == 400
    assert not pdp.memory.decisions


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"null"])
async def test_a_body_that_is_no_object_is_a_bad_request(pdp: Pdp, body: bytes) -> None:
    assert await pdp.refusal(body) == 400


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/jsonp"])
async def test_another_content_type_is_a_bad_request(pdp: Pdp, kind: str) -> None:
    body = json.dumps(evaluation()).encode()
    assert (await pdp.send("/access/v1/evaluation", body, headers={"Content-Type": kind}))[0] == 400
    kept = {"Content-Type": "application/json; charset=utf-8"}
    assert (await pdp.send("/access/v1/evaluation", body, headers=kept))[0] == 200


# §2.5
async def test_the_request_id_comes_back_on_every_answer(pdp: Pdp) -> None:
    given = {"X-Request-ID": "bfe9eb29-ab87-4ca3-be83-a1d5d8305716"}
    for path, body in (("/access/v1/evaluation", json.dumps(evaluation())), ("/access/v1/evaluations", "{"), ("/", "")):
        await pdp.send(path, body.encode(), headers=given)
        assert pdp.headers["X-Request-ID"] == given["X-Request-ID"]
        await pdp.send(path, body.encode())
        assert "X-Request-ID" not in pdp.headers


# §3.2
BATCHES: list[tuple[dict[str, Any], list[bool | None]]] = [
    ({"subject": ALICE, "action": READ, "evaluations": [{"resource": FIRST}, {"resource": ARCHIVED}]}, [None, None]),
    ({"subject": BOB, "resource": FIRST, "evaluations": [{"action": READ}, {"action": WRITE}]}, [True, False]),
    (
        {
            "subject": ALICE,
            "action": WRITE,
            "evaluations": [{"resource": {**FIRST, "properties": {"status": "active"}}}, {"resource": ARCHIVED}],
        },
        [True, False],
    ),
    (
        {
            "action": WRITE,
            "resource": ARCHIVED,
            "evaluations": [{"subject": ALICE}, {"subject": {**BOB, "properties": {"role": "admin"}}}],
        },
        [False, True],
    ),
    ({"evaluations": [evaluation(), evaluation("bob", "write")]}, [True, False]),
    (
        {
            "subject": ALICE,
            "action": READ,
            "context": {"time": "2025-06-27T18:03-07:00"},
            "evaluations": [{"resource": FIRST}, {"resource": FIRST, "context": {"source": "batch-override"}}],
        },
        [None, None],
    ),
    (  # §3.2.7: what must be there comes from the default
        {
            "subject": ALICE,
            "action": WRITE,
            "resource": {"type": "record"},
            "evaluations": [
                {"resource": {"id": "record-1", "properties": {"status": "active"}}},
                {"resource": ARCHIVED},
            ],
        },
        [True, False],
    ),
    ({"subject": ALICE, "action": READ, "evaluations": [{"resource": FIRST}, {}]}, [True, False]),  # §3.4.1
]


@pytest.mark.parametrize(("asked", "expected"), BATCHES, ids=range(len(BATCHES)))
async def test_batches_are_answered_in_order_and_each_by_itself(
    pdp: Pdp, asked: dict[str, Any], expected: list[bool | None]
) -> None:
    found = await pdp.decisions(asked)
    assert len(found) == len(expected)
    assert all(wanted is None or wanted is got for wanted, got in zip(expected, found, strict=True))
    assert len({decision.decision_id for decision in pdp.memory.decisions}) == len(expected)


@pytest.mark.parametrize("more", [{}, {"evaluations": []}])
async def test_without_evaluations_a_batch_is_one_question(pdp: Pdp, more: dict[str, Any]) -> None:
    assert (await pdp.ask({**evaluation(), **more}, "/access/v1/evaluations"))["decision"] is True


# §6
async def test_discovery_names_what_is_offered_and_no_search(pdp: Pdp) -> None:
    status, body = await pdp.send("/.well-known/authzen-configuration", None, "GET")
    assert (status, pdp.headers["Content-Type"]) == (200, "application/json")
    document = json.loads(body)
    assert document == {
        "policy_decision_point": URL,
        "access_evaluation_endpoint": f"{URL}/access/v1/evaluation",
        "access_evaluations_endpoint": f"{URL}/access/v1/evaluations",
        "obligations_supported": ["custom"],
    }
    for search in ("subject", "resource", "action"):
        assert await pdp.refusal(evaluation(), f"/access/v1/search/{search}") == 404
