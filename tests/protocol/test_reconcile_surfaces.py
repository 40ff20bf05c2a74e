"""Both witnesses account for every surface: prompts, resources, completions, tasks, lists, streams and named sets."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pytest

from sallyport.audit.reconcile import Reconciliation, reconcile
from sallyport.audit.record import SIGNED
from sallyport.audit.signer import Signer
from sallyport.audit.witnesses import Side
from sallyport.pep.model import Request
from tests.support.surfaces import Surfaces, surfaces, trusting
from tests.unit.audit.witnessed import lines, rewrite
from tests.unit.pep.surfaces.test_direct import PERMITTED, UNFIT

ROOTS: Final[dict[str, Any]] = {"r": {"roots": []}}
GUEST: Final[dict[str, Any]] = {"roles": ("guest",)}


@dataclass
class Kept:
    """What two services left behind, and the key that an opponent would need."""

    root: Path

    def __post_init__(self) -> None:
        self.audit = self.root / "audit"
        self.signer = Signer.from_file(self.root / "pki" / "audit" / "signing.key")

    def reconciled(self) -> Reconciliation:
        return reconcile([self.root])


def legacy(request: Request, **params: Any) -> Request:
    """The same request as a client of the older era sends it."""
    message = json.loads(request.body)
    message["params"] = params
    dropped = {b"mcp-protocol-version", b"mcp-method", b"mcp-name"}
    headers = tuple(pair for pair in request.headers if pair[0] not in dropped)
    return replace(request, headers=headers, body=json.dumps(message).encode())


async def mixed(made: Surfaces) -> None:
    """Everything that the table has, permitted, denied, wrong, foreign and in quarantine."""
    direct = [*((method, params) for method, params, _ in PERMITTED), *UNFIT]
    for (method, params), who in itertools.product(direct, ({}, GUEST)):
        await made.ask(method, params, **who)
    await lists(made)
    for name, server in itertools.product(("echo", "ask", "hidden", "no_such", "placed"), ("", "small", "nowhere")):
        arguments = {"region": "eu"} if name == "placed" else {}  # whose header is missing
        await made.ask("tools/call", {"name": name, "arguments": arguments}, server)
    await handles(made)
    await quarantine(made)
    older = (("resources/subscribe", {"uri": "test://plain"}), ("logging/setLevel", {"level": "info"}))
    for (method, params), who in itertools.product(older, ({}, GUEST)):
        await made.send(legacy(made.request(method, **who), **params))
    await made.send(legacy(made.request("resources/subscribe"), uri="test://hidden"))
    await streams(made)


async def lists(made: Surfaces) -> None:
    methods = ("tools/list", "prompts/list", "resources/list", "resources/templates/list")
    people: tuple[dict[str, Any], ...] = ({}, GUEST, {"agent": "chat-bot"}, {"roles": ("nobody",)})
    for method, who, params in itertools.product(methods, people, ({}, {"cursor": "x"})):
        await made.ask(method, params, **who)
    for method, server in itertools.product(methods, ("small", "other", "nowhere")):
        await made.ask(method, {}, server)


async def quarantine(made: Surfaces) -> None:
    held = replace(made, gate=trusting(made.gate, {"echo": "changed", "start": "changed", "prompt:greet": "changed"}))
    task = (await made.ask("tools/call", {"name": "start"})).result["taskId"]
    for who in ({}, GUEST):
        await held.ask("tools/call", {"name": "echo"}, **who)
        await held.ask("prompts/get", {"name": "greet", "arguments": {"who": "x"}}, **who)
        await held.ask("tasks/get", {"taskId": task}, **who)


async def handles(made: Surfaces) -> None:
    task = (await made.ask("tools/call", {"name": "start"})).result["taskId"]
    state = (await made.ask("tools/call", {"name": "ask"})).result["requestState"]
    for who in ({}, {"user": "bob"}, {"agent": "chat-bot"}):
        for method in ("tasks/get", "tasks/update", "tasks/cancel"):
            await made.ask(method, {"taskId": task}, **who)
        await made.ask("tools/call", {"name": "ask", "requestState": state, "inputResponses": ROOTS}, **who)
    await made.ask("tasks/get", {"taskId": task}, **GUEST)
    await made.ask("tasks/get", {"taskId": task}, "other")


async def streams(made: Surfaces) -> None:
    """One that is denied, one whose client goes, one that a stop ends."""
    wanted = {"notifications": {"toolsListChanged": True, "resourceSubscriptions": ["test://hidden"]}}
    await made.ask("subscriptions/listen", wanted, roles=("nobody",))
    for goes in (True, False):
        heard = asyncio.Event()

        async def emit(method: str, params: Any, heard: asyncio.Event = heard) -> None:
            heard.set()

        task = asyncio.create_task(made.gate.handle(made.request("subscriptions/listen", wanted), emit))
        await asyncio.wait_for(heard.wait(), 60)
        task.cancel() if goes else made.gate.behind.stopping.set()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(scope="module")
async def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    directory = tmp_path_factory.mktemp("surfaces") / "laptop"
    async with surfaces(directory) as made:
        await mixed(made)
        living = reconcile([directory])
        assert (living.exit_code, living.alarms) == (0, []), living.findings
    return Kept(directory)


@pytest.fixture(autouse=True)
def as_it_was(kept: Kept) -> Iterator[None]:
    before = {path: path.read_bytes() for path in kept.audit.glob("*/*.jsonl")}
    yield
    for path, data in before.items():
        path.write_bytes(data)


async def test_everything_that_mcp_has_reconciles_one_to_one(kept: Kept) -> None:
    result = kept.reconciled()
    assert (result.exit_code, result.alarms, result.notes) == (0, [], [])
    asked = {line["decision_id"] for line in lines(kept, "pdp") if line["kind"] == "decision"}
    assert result.counts["agree"] + result.counts["permitted_not_run"] == len(asked)
    methods = {line["method"] for line in lines(kept, "pep") if line["kind"] == "intent"}
    assert methods >= {"prompts/get", "resources/read", "completion/complete", "tasks/get", "subscriptions/listen"}


async def test_p4_each_decision_that_is_taken_from_the_pdp_is_said(kept: Kept) -> None:
    told = lines(kept, "pdp")
    # What permits nothing binds nothing that a list or a stream showed.
    lists = {one["decision_id"] for one in lines(kept, "pep") if one["kind"] == "intent" and "tool" not in one}
    for gone in told:
        empty = gone.get("shown") == 0 and gone["decision_id"] in lists
        if gone["kind"] in SIGNED or gone["kind"] == "policy" or empty:
            continue
        rewrite(kept, "pdp", [one for one in told if one is not gone])
        alarms = kept.reconciled().alarms
        assert {(one.decision_id, one.side) for one in alarms} == {(gone["decision_id"], Side.PDP)}, gone


@pytest.mark.parametrize("method", ["prompts/get", "resources/read", "completion/complete", "tasks/cancel"])
@pytest.mark.parametrize("field", ["resources", "request_hmac", "method", "revision", "reasons", "user"])
@pytest.mark.parametrize("gone", [True, False])
async def test_what_the_pep_says_of_a_direct_method_is_held_against_the_pdp(
    kept: Kept, method: str, field: str, *, gone: bool
) -> None:
    told = lines(kept, "pep")
    intent = next(one for one in told if one["kind"] == "intent" and one["method"] == method)
    if gone:
        del intent[field]
    else:
        intent[field] = {"resources": ["McpResource::file:///x"], "reasons": ["another"]}.get(field, "tools/list")
    rewrite(kept, "pep", told)
    result = kept.reconciled()
    assert (result.exit_code, {one.decision_id for one in result.alarms}) == (5, {intent["decision_id"]})


async def test_a_direct_method_that_was_denied_and_ran_all_the_same_is_said(kept: Kept) -> None:
    told = lines(kept, "pdp")
    decided = next(one for one in told if one.get("actions") == ["prompts/get"] and one.get("effect") == "permit")
    decided["effect"] = "deny"
    rewrite(kept, "pdp", told)
    (alarm,) = kept.reconciled().alarms
    assert alarm.what == "the PDP denied what the PEP let happen"


async def test_p4_a_gate_that_ignores_what_its_filters_said_is_seen(kept: Kept) -> None:
    told = lines(kept, "pep")
    method = {one["decision_id"]: one["method"] for one in told if one["kind"] == "intent" and "tool" not in one}
    seen: set[str] = set()
    for outcome in [one for one in told if one["kind"] == "outcome" and one["decision_id"] in method]:
        count, _, what = outcome.get("detail", "").partition(" ")
        if not count.isdecimal() or what == "levels shown":
            continue
        honest, outcome["detail"] = outcome["detail"], f"{int(count) + 1} {what}"
        rewrite(kept, "pep", told)
        outcome["detail"], alarms = honest, kept.reconciled().alarms
        assert [one.decision_id for one in alarms] == [outcome["decision_id"]], honest
        seen.add(method[outcome["decision_id"]])
    lists = {"prompts/list", "resources/list", "resources/templates/list"}
    assert seen == {"tools/list", *lists, "subscriptions/listen"}
