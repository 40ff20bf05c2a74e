"""Many callers at once: every answer belongs to its asker, the chain verifies, the PDP says the same again."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sallyport.authz.v1 import authz_pb2 as pb
from sallyport.cli.laptop import Laptop
from sallyport.contract.seal import HopKeyFile
from sallyport.pep.decision import PdpClient
from sallyport.runtime import canonical_json
from tests.support import laptop
from tests.support.laptop import Up
from tests.support.raw_call import Connection, denied, permitted

CLIENTS = 16
CALLS = int(os.environ.get("SALLYPORT_TEST_CALLS", "10000"))


@dataclass(frozen=True)
class Person:
    user: str
    agent: str
    roles: tuple[str, ...]


PEOPLE = (
    Person("alice", "coding-bot", ("developer",)),
    Person("bob", "coding-bot", ("user",)),
    Person("carol", "coding-bot", ("developer",)),
    Person("alice", "chat-bot", ("developer",)),
)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Up]:
    directory = laptop.patient(laptop.init(tmp_path / "laptop"))
    for user in ("alice", "bob"):
        for number in range(CLIENTS):
            (directory / "files" / user / f"{number}.txt").write_text(f"{user} {number}")
    with laptop.up(directory) as running:
        yield running


def asked(number: int, turn: int) -> tuple[str, dict[str, Any], str]:
    """A call, and the text that only its right answer holds."""
    owner = ("alice", "bob")[turn % 2]
    match turn % 5:
        case 0:
            return "list_files", {"path": owner}, f'"{number}.txt"'
        case 1:
            return "database_query", {"table": "orders", "limit": 1 + number}, "placed_on"
        case 2:
            return "database_query", {"table": "salaries"}, "cents"
        case _:
            return "read_file", {"path": f"{owner}/{number}.txt"}, f"{owner} {number}"


async def client(running: Up, number: int, calls: int, counts: Counter[str]) -> dict[str, dict[str, Any]]:
    """Plays its calls; returns the arguments of each permitted one by decision id."""
    person = PEOPLE[number % len(PEOPLE)]
    token = laptop.token(running.directory, person.user, person.agent, roles=person.roles, ttl=3600)
    done: dict[str, dict[str, Any]] = {}
    async with Connection(running.endpoint, token) as caller:
        for turn in range(calls):
            name, arguments, mark = asked(number, turn)
            # Equal ids everywhere on purpose: an answer that crosses over would still look like ours.
            answer = await caller.call(name, arguments, request_id=turn)
            assert answer["id"] == turn
            if permitted(answer):
                assert mark in json.dumps(answer), (person, name, arguments, answer)
                done[answer["result"]["_meta"]["sallyport.io/decision_id"]] = arguments
                counts["permitted"] += 1
            else:
                assert denied(answer), answer
                counts["denied"] += 1
    return done


def question(record: dict[str, Any], person: Person, arguments: dict[str, Any]) -> pb.Question:
    """The same question once more, put together from the record and what the client sent."""
    kind, _, name = record["resources"][0].partition("::")
    judged = {"limit": 100, **arguments} if record["tool"] == "database_query" else arguments
    evaluation = pb.Evaluation(
        action=record["tool"],
        resource=pb.Resource(type=kind, id=name),
        input=canonical_json.encode(judged),
    )
    subject = pb.Subject(
        issuer=record["issuer"],
        user_id=record["user"],
        agent_id=record["agent"],
        org=record["org"],
        roles=person.roles,
    )
    return pb.Question(
        decision_id=secrets.token_hex(16),
        purpose=pb.PURPOSE_CALL,
        subject=subject,
        session=pb.Session(ip="127.0.0.1"),
        catalog_digest=record["catalog_digest"],
        evaluations=[evaluation],
    )


@pytest.mark.timeout(600)
async def test_n1_answers_belong_to_their_askers_and_the_record_stands_up_to_the_pdp(own: Up) -> None:
    counts: Counter[str] = Counter()
    each = CALLS // CLIENTS
    played = await asyncio.gather(*(client(own, number, each, counts) for number in range(CLIENTS)))
    arguments = {decision: sent for one in played for decision, sent in one.items()}
    assert counts["permitted"] > CALLS / 4
    assert counts["denied"] > CALLS / 4
    assert len(arguments) == counts["permitted"], "two calls shared a decision"

    records = laptop.records(own.directory)
    intents = {record["decision_id"]: record for record in records if record["kind"] == "intent"}
    assert intents.keys() == arguments.keys()
    assert sum(record["kind"] == "refusal" for record in records) == counts["denied"]

    pdp = PdpClient(own.endpoint.pdp_address, HopKeyFile(Laptop(own.directory).run / "hop.key"))
    roles = {(person.user, person.agent): person for person in PEOPLE}
    for decision, record in intents.items():
        person = roles[record["user"], record["agent"]]
        answer = await pdp.ask(question(record, person, arguments[decision]), batch=False, timeout=30)
        assert answer.results[0].effect == pb.EFFECT_PERMIT, record
        assert list(answer.results[0].reasons) == record["reasons"]
        assert answer.revision == record["revision"]
    await pdp.close()
    own.stop()
    verified = laptop.cli("audit", "verify", own.directory)
    assert verified.returncode == 0, verified.stdout + verified.stderr
