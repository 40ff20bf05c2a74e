"""Listing against calling, with a real PDP: what is shown can be called with some arguments, what is hidden with none."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from sallyport.authz.v1 import authz_pb2 as pb
from sallyport.contract.seal import HopKey, HopKeyFile
from sallyport.pep.decision import Decider, PdpClient, Seen
from tests.support.calls import ALICE, ALICE_ID, NoResolvers, fulfils_none
from tests.support.gate import Gate, body, gate
from tests.support.lying_pdp import LyingPdp, listening

TOOLS = ("list_files", "read_file", "write_file", "delete_file", "database_query", "describe_table")
ROLES = ("guest", "readonly", "user", "developer", "admin", "nobody")
PEOPLE = (("alice", "acme"), ("bob", "acme"), ("carol", "globex"))


@pytest.fixture(scope="module")
async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gate]:
    async with gate(tmp_path_factory.mktemp("listing") / "laptop", without=("business_hours.cedar",)) as made:
        yield made


def attempts(tool: str) -> Iterator[dict[str, Any]]:
    """Arguments that each resource of the shipped set is named by."""
    if tool in {"database_query", "describe_table"}:
        yield from ({"table": name} for name in ("orders", "customers", "salaries", "globex_orders"))
        return
    for owner in ("alice", "bob"):
        path = {"list_files": owner, "read_file": f"{owner}/notes.txt"}.get(tool, f"{owner}/listing.txt")
        yield {"path": path, **({"content": "x"} if tool == "write_file" else {})}


async def permitted(opened: Gate, tool: str, who: dict[str, Any]) -> bool:
    """Whether the PDP lets the tool begin with any of these arguments."""
    for arguments in attempts(tool):
        answer = body(await opened.handle(opened.call(tool, arguments, **who)))
        if answer.get("error", {}).get("message") != "denied by policy":
            return True
    return False


@pytest.mark.parametrize("agent", ["coding-bot", "chat-bot", "stranger-bot"])
@pytest.mark.parametrize("role", ROLES)
async def test_n9_the_set_listed_is_the_set_callable(role: str, agent: str, opened: Gate) -> None:
    for owner in ("alice", "bob"):
        (opened.directory / f"files/{owner}/listing.txt").write_text("x")
    for user, org in PEOPLE:
        who: dict[str, Any] = {"user": user, "org": org, "agent": agent, "roles": (role,)}
        answer = body(await opened.handle(opened.request("tools/list", **who)))
        listed = {tool["name"] for tool in answer.get("result", {"tools": []})["tools"]}
        callable_ = {tool for tool in TOOLS if await permitted(opened, tool, who)}
        assert callable_ <= listed, "what can be called is shown"
        # What is shown may still depend on arguments that aren't among these, never on the caller alone.
        for tool in set(TOOLS) - listed:
            answer = body(await opened.handle(opened.call(tool, {"path": 7}, **who)))
            assert answer["error"]["message"] == "denied by policy", "what isn't shown tells nothing of itself"


@pytest.mark.parametrize(
    ("result", "shown"),
    [
        (pb.Result(effect=pb.EFFECT_PERMIT), True),
        (pb.Result(effect=pb.EFFECT_CONDITIONAL), True),
        (pb.Result(effect=pb.EFFECT_DENY), False),
        (pb.Result(), False),
        (pb.Result(effect=pb.EFFECT_PERMIT, errors=[pb.ERROR_CODE_INTERNAL]), False),
        (pb.Result(effect=pb.EFFECT_CONDITIONAL, errors=[pb.ERROR_CODE_UNKNOWN_AGENT]), False),
    ],
)
async def test_n9_permit_and_conditional_are_shown_and_nothing_else_is(
    result: pb.Result, shown: bool, tmp_path: Path
) -> None:
    key = tmp_path / "hop.key"
    HopKey.generate().write(key)
    pdp = LyingPdp(HopKey.from_file(key))

    async def say(_question: pb.Question, answer: pb.Answer) -> bytes:
        answer.results[1].CopyFrom(result)
        return answer.SerializeToString()

    pdp.lie = say
    async with listening(pdp) as address:
        client = PdpClient(address, HopKeyFile(key))
        decider = Decider(client, NoResolvers(), fulfils_none)
        seen = await decider.visible(ALICE, ALICE_ID, ("a", "b", "c"), "c" * 64, time.monotonic() + 30)
        await client.close()
    assert isinstance(seen, Seen)
    assert seen.names == frozenset({"a", "b", "c"} if shown else {"a", "c"})


async def test_the_pdp_is_told_how_often_somebody_called(opened: Gate) -> None:
    counts = opened.hands.decider._counts
    who = ALICE_ID
    before = counts.of(who)
    assert before is not None
    for name, arguments, more in (
        ("read_file", {"path": "alice/notes.txt"}, 1),
        ("read_file", {"path": "bob/notes.txt"}, 0),  # denied: no permit was redeemed
        ("read_file", {"path": 7}, 0),
        ("list_files", {"path": "alice"}, 1),
    ):
        count = counts.of(who)
        assert count is not None
        await opened.handle(opened.call(name, arguments))
        assert counts.of(who) == count + more, (name, arguments)
    assert counts.of(who) == before + 2
