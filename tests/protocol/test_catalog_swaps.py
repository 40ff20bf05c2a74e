"""A catalog replaced under a running pair: calls go on, before, while and after it comes into force."""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from sallyport.contract.catalog import digest
from sallyport.pep.catalog import FILE
from tests.support import laptop
from tests.support.laptop import Up
from tests.support.raw_call import Connection, permitted

PATIENCE = 60.0  # seconds for a change to come into force on a busy machine


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    directory = laptop.patient(laptop.init(tmp_path_factory.mktemp("swaps") / "laptop"))
    with laptop.up(directory, "--no-restart") as up:
        up.ready()
        yield up


def replace(file: Path, data: bytes) -> None:
    new = file.with_name(".new")
    new.write_bytes(data)
    new.rename(file)


def judged_by(directory: Path, decision: str) -> str:
    """The catalog that an intent was judged by."""
    intents = (record for record in laptop.records(directory) if record["kind"] == "intent")
    return str(next(record for record in intents if record["decision_id"] == decision)["catalog_digest"])


async def test_no_call_is_refused_while_catalogs_are_replaced(running: Up) -> None:
    file = running.directory / "policies" / FILE
    async with Connection(running.endpoint, laptop.token(running.directory)) as line:

        async def catalog_of_a_call() -> str:
            answer = await line.call("read_file", {"path": "alice/notes.txt"})
            assert permitted(answer), answer
            return judged_by(running.directory, answer["result"]["_meta"]["sallyport.io/decision_id"])

        shipped = file.read_bytes()
        assert await catalog_of_a_call() == digest(shipped)
        # The last one is as it was at first: a catalog may come back.
        for data in (shipped + b"# 1\n", shipped + b"# 2\n", shipped):
            before = await catalog_of_a_call()
            replace(file, data)
            until = time.monotonic() + PATIENCE
            while (found := await catalog_of_a_call()) != digest(data):
                assert found == before, "only the old one or the new one"
                assert time.monotonic() < until


def told_to_operators(running: Up) -> tuple[int, dict[str, str]]:
    trust = ssl.create_default_context(cafile=running.endpoint.ca_file)
    with httpx2.Client(verify=trust, trust_env=False, timeout=PATIENCE) as http:
        answer = http.get(f"{running.endpoint.management_url}/ready")
    return answer.status_code, {entry["name"]: entry["detail"] for entry in answer.json()}


async def test_a_catalog_that_the_pdp_refuses_stops_nothing_and_operators_are_told(running: Up) -> None:
    """The directory has one that the policies don't fit; what both serve by is the one before."""
    file = running.directory / "policies" / FILE
    shipped = file.read_bytes()
    async with Connection(running.endpoint, laptop.token(running.directory)) as line:
        for data, warned in ((shipped.replace(b"name: delete_file", b"name: erase_file"), True), (shipped, False)):
            replace(file, data)
            until = time.monotonic() + PATIENCE
            while True:
                assert permitted(await line.call("read_file", {"path": "alice/notes.txt"}))
                status, told = told_to_operators(running)
                assert status == 200
                assert re.match("revision [0-9a-f]{64}(;|$)", told["policies"])
                if ("; last reload refused: " in told["policies"]) is warned:
                    break
                assert time.monotonic() < until
            if warned:
                assert "delete_file" in told["policies"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"{hosted: delete_file}", b"{hosted: delete_fil}"),
        (b"{hosted: delete_file}", b"{upstream: crm}"),
        (rb"pattern: '^[^\x00-\x1f\x7f\\]+$'", b"pattern: '(?=a)b'"),
        (b"required: [path]\n", b"required: [path]\n      maxProperties: -3\n"),
        (b"required: [path]\n", b'required: [path]\n      $ref: "http://x/y"\n'),
    ],
    ids=["no such hosted tool", "upstream", "pattern outside the engine", "negative bound", "reference to the network"],
)
async def test_p1_a_tool_that_the_gate_can_not_serve_takes_no_other_with_it(
    running: Up, old: bytes, new: bytes
) -> None:
    """The PDP takes such a catalog: it types policies, and knows neither the gate's tools nor its validator."""
    file = running.directory / "policies" / FILE
    shipped = file.read_bytes()
    start = shipped.index(b"- name: delete_file")
    end = shipped.index(b"- name: database_query")
    data = shipped[:start] + shipped[start:end].replace(old, new) + shipped[end:]
    if b"upstream" in new:
        data += b"\nupstreams: {crm: {url: https://crm.example/mcp}}\n"
    assert data != shipped
    async with Connection(running.endpoint, laptop.token(running.directory)) as line:
        for wanted, served in ((data, False), (shipped, True)):
            replace(file, wanted)
            until = time.monotonic() + PATIENCE
            while True:
                answer = await line.call("read_file", {"path": "alice/notes.txt"})
                assert permitted(answer), answer
                if judged_by(running.directory, answer["result"]["_meta"]["sallyport.io/decision_id"]) == digest(
                    wanted
                ):
                    break
                assert time.monotonic() < until
            status, told = told_to_operators(running)
            assert status == 200
            assert ("tools" in told) is not served
            assert served or "delete_file" in told["tools"]
            refused = await line.call("delete_file", {"path": "bob/notes.txt"})
            assert refused["error"]["code"] == -32010
    told_of = [record for record in laptop.records(running.directory) if record["kind"] == "policy"]
    assert any("delete_file" in str(record["not_served"]) for record in told_of)
