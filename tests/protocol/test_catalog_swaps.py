"""A catalog replaced under a running pair: calls go on, before, while and after it comes into force."""

from __future__ import annotations

import json
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

PATIENCE = 30.0  # seconds for a change to come into force on a busy machine


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with laptop.up(laptop.init(tmp_path_factory.mktemp("swaps") / "laptop"), "--no-restart") as up:
        yield up


def replace(file: Path, data: bytes) -> None:
    new = file.with_name(".new")
    new.write_bytes(data)
    new.rename(file)


def judged_by(directory: Path, decision: str) -> str:
    """The catalog that an intent was judged by."""
    files = sorted((directory / "audit").glob("pep-*/*.jsonl"), reverse=True)
    records = (json.loads(line) for file in files for line in file.read_text().splitlines() if decision in line)
    return str(next(record for record in records if record["kind"] == "intent")["catalog_digest"])


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
    with httpx2.Client(verify=trust, trust_env=False) as http:
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
                if ("policies" in told) is warned:
                    break
                assert time.monotonic() < until
            if warned:
                assert told["policies"].startswith("last reload refused: ")
                assert "delete_file" in told["policies"]
