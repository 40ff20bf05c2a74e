"""Two real services, two records: they reconcile whatever happens to either, and no line of one can go unnoticed."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sallyport.audit.reconcile import Reconciliation, reconcile
from sallyport.audit.record import SIGNED
from sallyport.audit.signer import Signer
from sallyport.audit.witnesses import Side
from tests.contract.pdp_service.running import question
from tests.support import laptop
from tests.support.gate import Gate, gate
from tests.support.laptop import Up, here
from tests.support.raw_call import Connection
from tests.unit.audit.witnessed import lines, rewrite

CANARY = "canary-51d0aa"


@dataclass
class Kept:
    """What two services left behind, and the key that an opponent would need."""

    root: Path

    def __post_init__(self) -> None:
        self.audit = self.root / "audit"
        self.signer = Signer.from_file(self.root / "pki" / "audit" / "signing.key")

    def reconciled(self) -> Reconciliation:
        return reconcile([self.root])


async def mixed(opened: Gate) -> None:
    """Permits, every kind of denial, listings, refusals before any question, and a tool that fails."""
    wanted: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
        ("read_file", {"path": "alice/notes.txt"}, {}),
        ("read_file", {"path": "bob/private.txt"}, {}),
        ("read_file", {"path": "alice/none.txt"}, {}),
        ("read_file", {"path": "../etc/passwd"}, {}),
        ("read_file", {"path": "alice/notes.txt"}, {"user": "carol", "org": "globex"}),
        ("read_file", {"pat": CANARY}, {}),
        ("write_file", {"path": "alice/new.txt", "content": CANARY}, {}),
        ("delete_file", {"path": "alice/new.txt"}, {"agent": "chat-bot"}),
        ("list_files", {"path": "alice"}, {}),
        ("database_query", {"table": "salaries"}, {}),
        ("database_query", {"table": "no such table"}, {}),
        ("nobody_made_this", {"secret": CANARY}, {}),
        ("a name that no tool can have", {}, {}),
        ("", {}, {}),
    ]
    for name, arguments, who in wanted:
        await opened.handle(opened.call(name, arguments, **who))
    for method, params in (("tools/list", {}), ("tools/list", {"cursor": "x"}), ("nope", {}), ("ping", {})):
        await opened.handle(opened.request(method, params))
    await opened.handle(opened.request("tools/list", agent="chat-bot"))


@pytest.fixture(scope="module")
async def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    directory = tmp_path_factory.mktemp("reconcile") / "laptop"
    async with gate(directory, without=("business_hours.cedar",)) as opened:
        await mixed(opened)
        living = reconcile([directory])
        assert (living.exit_code, living.alarms) == (0, []), living.findings
    return Kept(directory)


@pytest.fixture(autouse=True)
def as_it_was(request: pytest.FixtureRequest) -> Iterator[None]:
    if "kept" not in request.fixturenames:
        yield
        return
    found: Kept = request.getfixturevalue("kept")
    before = {path: path.read_bytes() for path in found.audit.glob("*/*.jsonl")}
    yield
    for path, data in before.items():
        path.write_bytes(data)


async def test_what_a_real_pair_did_reconciles_one_to_one(kept: Kept) -> None:
    result = kept.reconciled()
    assert (result.exit_code, result.findings, result.notes) == (0, [], [])
    asked = {line["decision_id"] for line in lines(kept, "pdp") if line["kind"] == "decision"}
    assert result.counts["agree"] == len(asked) == 15
    assert result.counts["undecided"] == 4


async def test_n7_no_argument_stands_in_the_pdps_record(kept: Kept) -> None:
    assert all(CANARY.encode() not in path.read_bytes() for path in kept.audit.glob("pdp-*/*.jsonl"))


@pytest.mark.parametrize("side", Side)
async def test_p4_each_line_that_is_taken_from_either_side_is_said(kept: Kept, side: Side) -> None:
    """By somebody who holds the signing key: every chain and signature holds."""
    told = lines(kept, side)
    asked = {line["decision_id"] for line in lines(kept, "pdp") if line["kind"] == "decision"}
    for gone in told:
        if gone["kind"] in SIGNED or gone.get("decision_id", next(iter(asked))) not in asked:
            continue  # what the other side never heard of
        outcome = {"decision_id": gone.get("decision_id"), "kind": "outcome"}.items()
        rewrite(
            kept,
            side,
            [one for one in told if one is not gone and not (gone["kind"] == "intent" and outcome <= one.items())],
        )
        result = kept.reconciled()
        assert result.exit_code == 5, gone
        if gone["kind"] != "policy":
            assert {(one.decision_id, one.side) for one in result.alarms} == {(gone["decision_id"], side)}, gone


@pytest.mark.parametrize("side", Side)
async def test_records_that_changed_places_are_said(kept: Kept, side: Side) -> None:
    told = lines(kept, side)
    first, second = [one for one in told if one["kind"] in {"intent", "decision"}][1:4:2]
    names = {first["decision_id"]: second["decision_id"], second["decision_id"]: first["decision_id"]}
    for one in told:
        one["decision_id"] = names.get(one.get("decision_id", ""), one.get("decision_id", "-"))
    rewrite(kept, side, [one if one["decision_id"] != "-" else without_id(one) for one in told])
    assert {one.decision_id for one in kept.reconciled().alarms} == set(names)


@pytest.mark.parametrize(
    "field",
    [
        "issuer",
        "user",
        "agent",
        "org",
        "compound_id",
        "tool",
        "method",
        "resources",
        "request_hmac",
        "revision",
        "reasons",
    ],
)
@pytest.mark.parametrize("gone", [True, False])
async def test_each_field_of_an_intent_that_the_pdp_knows_too_is_held_against_it(
    kept: Kept, field: str, *, gone: bool
) -> None:
    told = lines(kept, "pep")
    intent = next(one for one in told if one["kind"] == "intent" and "tool" in one)
    changed = {"resources": ["File::bob/x"], "reasons": ["another"], "method": "tools/list"}.get(field, "another")
    if gone:
        del intent[field]
    else:
        intent[field] = changed
    rewrite(kept, "pep", told)
    result = kept.reconciled()
    assert (result.exit_code, {one.decision_id for one in result.alarms}) == (5, {intent["decision_id"]})


async def test_an_executed_call_told_as_one_that_never_ran_is_counted_apart(kept: Kept) -> None:
    told = lines(kept, "pep")
    intent = next(one for one in told if one["kind"] == "intent" and one.get("tool") == "write_file")
    for name in ("request_hmac", "arguments", "catalog_digest"):
        del intent[name]
    intent |= {"kind": "refusal", "reason": "cancelled", "detail": "", "effect": "deny"}
    outcome = {"decision_id": intent["decision_id"], "kind": "outcome"}.items()
    rewrite(kept, "pep", [one for one in told if not outcome <= one.items()])
    result = kept.reconciled()
    assert (result.exit_code, result.counts["permitted_not_run"]) == (0, 1)
    (finding,) = result.findings
    assert (finding.decision_id, finding.why) == (intent["decision_id"], "permitted_not_run")


def without_id(line: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in line.items() if name != "decision_id"}


async def test_the_reference_lines_tell_each_decision_once(kept: Kept) -> None:
    shown = here("audit", "show", kept.root)
    told = [line for line in lines(kept, "pep") if line["kind"] in {"intent", "refusal"}]
    assert len(shown.stdout.splitlines()) == len(told)
    decided = here("audit", "show", kept.root, "--kind", "decision").stdout.splitlines()
    assert len(decided) == sum(line["kind"] == "decision" for line in lines(kept, "pdp"))
    assert decided[0].endswith("[read_file] [-] [SHOWN(1)+HIDDEN(0)]")
    assert decided[1].endswith("[alice via coding-bot] [read_file] [File::alice/notes.txt] [PERMIT]")
    assert decided[3].endswith("[DENY]")
    machine = [json.loads(line) for line in here("audit", "show", kept.root, "--format", "json").stdout.splitlines()]
    assert "decision" not in {line["kind"] for line in machine}


async def test_all_that_both_sides_say_of_one_decision_is_shown(kept: Kept) -> None:
    one = next(line for line in lines(kept, "pdp") if line.get("effect") == "permit")
    shown = here("audit", "show", kept.root, "--decision", one["decision_id"]).stdout
    assert [shown.count(f" {kind}\n") for kind in ("decision", "intent", "outcome")] == [2, 1, 1]
    assert "asked over grpc" in shown


async def test_a_question_by_somebody_else_who_holds_the_hop_key_is_said(tmp_path: Path) -> None:
    async with gate(tmp_path / "laptop") as opened:
        asked = question()
        await opened.hands.decider._client.ask(asked, batch=False, timeout=10)
    (finding,) = Kept(tmp_path / "laptop").reconciled().alarms
    assert (finding.decision_id, finding.side, finding.who) == (asked.decision_id, Side.PEP, "alice via coding-bot")


async def load(running: Up, stop: asyncio.Event) -> None:
    """Calls until told to stop, whatever becomes of them."""
    token = laptop.token(running.directory, ttl=3600)
    for turn in itertools.count():
        try:
            async with Connection(running.endpoint, token) as caller:
                while not stop.is_set():
                    await caller.call("read_file", {"path": ("alice/notes.txt", "bob/private.txt")[turn % 2]})
                return
        except (OSError, EOFError, asyncio.IncompleteReadError):
            if stop.is_set():
                return
            await asyncio.sleep(0)


async def test_a_kill_of_either_service_under_load_raises_no_alarm(tmp_path: Path) -> None:
    directory = laptop.init(tmp_path / "laptop")
    with laptop.up(directory) as running:
        for service in ("pdp", "pep"):
            stop = asyncio.Event()
            clients = [asyncio.create_task(load(running, stop)) for _ in range(4)]
            await recorded(directory, service, 60)
            os.kill(getattr(running.endpoint, service), signal.SIGKILL)
            await asyncio.to_thread(running.until, "Ctrl-C stops both")
            stop.set()
            await asyncio.wait_for(asyncio.gather(*clients), laptop.PATIENCE)
        assert here("audit", "reconcile", directory).returncode == 0
        living = Kept(directory).reconciled()
        assert living.alarms == []
    assert here("audit", "verify", directory).returncode == 0
    run = here("audit", "reconcile", directory, "--format", "json")
    told = json.loads(run.stdout)
    assert (run.returncode, told["counts"]["mismatched"], told["counts"]["lost"]) == (0, 0, 0), told
    assert told["counts"]["agree"] > 50


async def recorded(directory: Path, service: str, count: int) -> None:
    """Until the newest stream of the service holds so many records."""
    async with asyncio.timeout(60):
        while True:
            newest = max((directory / "audit").glob(f"{service}-*/000001.jsonl"))
            if newest.read_bytes().count(b"\n") >= count:
                return
            await asyncio.sleep(0.02)
