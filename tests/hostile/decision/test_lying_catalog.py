"""Catalogs that the PDP tells: never other bytes than those of the digest, never later than the deadline.

And the other direction: whatever order catalog and policies are replaced in, an honest PDP's catalog comes into force.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from sallyport.authz.v1 import authz_pb2 as pb
from sallyport.contract.catalog import digest
from sallyport.contract.limits import MAX_CATALOG_BYTES
from sallyport.contract.seal import HopKey, HopKeyFile
from sallyport.pep.catalog import CatalogStore, LoadedCatalog
from sallyport.pep.decision import NoDecision, PdpClient
from sallyport.pep.inforce import CatalogInForce
from sallyport.pep.reach import Reach
from sallyport.pep.schema import compile_schema
from tests.support.lying_pdp import REVISION, LyingPdp, Told, listening, tell_the_catalog
from tests.support.stopwatch import Stopwatch, own_garbage

DEADLINE = 0.5
REACH = Reach(frozenset({"read_file"}), {}, frozenset())


def catalog(name: str, hosted: str = "read_file") -> bytes:
    return f"tools: [{{name: {name}, effect: read_only, provider: {{hosted: {hosted}}}, input: {{type: object}}}}]\n".encode()


OLD, NEW, THIRD = catalog("old"), catalog("new"), catalog("third")


@dataclass
class Side:
    """A PEP's catalogs, a policy directory and a PDP, each of which a test changes by itself."""

    pdp: LyingPdp
    client: PdpClient
    directory: Path
    in_force: CatalogInForce
    store: CatalogStore

    def put(self, data: bytes) -> None:
        (self.directory / "catalog.yaml").write_bytes(data)

    def serve(self, data: bytes) -> None:
        self.pdp.catalog_digest = digest(data)
        self.pdp.catalogs = {digest(data): data}

    async def wanted(self, data: bytes, seconds: float = 30) -> LoadedCatalog | None:
        return await self.in_force.loaded(digest(data), time.monotonic() + seconds)

    async def looked(self) -> None:
        await self.in_force.look(time.monotonic() + 30)

    def restart(self, seconds: float = DEADLINE) -> None:
        """Another process: nothing is parsed yet."""
        self.store = CatalogStore(self.directory, compile_schema=compile_schema, reach=REACH)
        self.in_force = CatalogInForce(self.store, self.client, seconds, lambda names: None)


@pytest.fixture
async def side(tmp_path: Path) -> AsyncIterator[Side]:
    key, directory = tmp_path / "hop.key", tmp_path / "policies"
    directory.mkdir()
    HopKey.generate().write(key)
    pdp = LyingPdp(HopKey.from_file(key))
    async with listening(pdp) as address:
        client = PdpClient(address, HopKeyFile(key))
        store = CatalogStore(directory, compile_schema=compile_schema, reach=REACH)
        made = Side(pdp, client, directory, CatalogInForce(store, client, DEADLINE, lambda names: None), store)
        made.serve(OLD)
        made.put(OLD)
        yield made
        await made.in_force.close()
        await client.close()


def changed(change: Callable[[pb.CatalogAnswer], object]) -> Told:
    async def told(_question: pb.CatalogQuestion, answer: pb.CatalogAnswer) -> bytes:
        change(answer)
        return answer.SerializeToString()

    return told


async def garbage(_question: pb.CatalogQuestion, _answer: pb.CatalogAnswer) -> bytes:
    return b"\xff\xfe\x00garbage"


async def silence(_question: pb.CatalogQuestion, _answer: pb.CatalogAnswer) -> None:
    return None


async def doubled(_question: pb.CatalogQuestion, answer: pb.CatalogAnswer) -> bytes:
    return pb.CatalogAnswer(catalog=OLD).SerializeToString() + answer.SerializeToString()


async def padded(_question: pb.CatalogQuestion, answer: pb.CatalogAnswer) -> bytes:
    return answer.SerializeToString() + b"\xfa\x3f\x04spam"


def overlong(answer: pb.CatalogAnswer) -> None:
    answer.catalog = bytes(MAX_CATALOG_BYTES + 1)


LIES: dict[str, Told] = {
    "another catalog": changed(lambda answer: setattr(answer, "catalog", OLD)),
    "one byte more": changed(lambda answer: setattr(answer, "catalog", NEW + b"\n")),
    "nothing": changed(lambda answer: answer.ClearField("catalog")),
    "another nonce": changed(lambda answer: setattr(answer, "nonce", bytes(16))),
    "no nonce": changed(lambda answer: answer.ClearField("nonce")),
    "over a mebibyte": changed(overlong),
    "100 MB": changed(lambda answer: setattr(answer, "catalog", bytes(100 << 20))),
    "garbage": garbage,
    "silence": silence,
    "a doubled field": doubled,
    "an unknown field": padded,
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
async def test_a_lie_about_a_catalog_is_refused_and_does_not_outlast_itself(lie: Told, side: Side) -> None:
    side.serve(NEW)
    side.pdp.tell = lie
    flood = lie is LIES["100 MB"]
    with own_garbage():
        since = Stopwatch()
        assert await side.wanted(NEW, DEADLINE) is None
        # The opponent shares this loop, so making 100 MB delays the client it attacks: that time is its own.
        assert since.seconds < DEADLINE * 1.2 + (3.0 if flood else 0.1)
    assert not list(side.store.entries("old")), "what came instead isn't held either"
    side.pdp.tell = tell_the_catalog
    found = await side.wanted(NEW)
    assert found is not None
    assert found.names == ("new",)


async def test_a_catalog_without_the_right_seal_is_refused(side: Side) -> None:
    side.serve(NEW)
    for mac in (b"", b"\0" * 32):
        side.pdp.mac = mac
        with pytest.raises(NoDecision, match="seal"):
            await side.client.catalog(digest(NEW), timeout=30)
        assert await side.wanted(NEW) is None


async def test_an_answer_to_an_earlier_question_is_no_catalog(side: Side) -> None:
    kept: list[bytes] = []

    async def replay(_question: pb.CatalogQuestion, answer: pb.CatalogAnswer) -> bytes:
        kept.append(answer.SerializeToString())
        return kept[0]

    side.serve(NEW)
    side.pdp.tell = replay
    assert await side.client.catalog(digest(NEW), timeout=30) == NEW
    with pytest.raises(NoDecision, match="another question"):
        await side.client.catalog(digest(NEW), timeout=30)


async def test_a_catalog_that_can_not_be_served_is_refused_with_its_reason_and_asked_for_once(side: Side) -> None:
    bad = catalog("bad", hosted="raed_file")
    side.serve(bad)
    for _ in range(3):
        await side.looked()
        assert "no hosted tool 'raed_file'" in side.in_force.not_ready("")["catalog"]
    assert side.pdp.fetched == [digest(bad)]
    side.serve(OLD)
    await side.looked()
    assert not side.in_force.not_ready("")


async def test_either_order_of_replacing_catalog_and_policies_refuses_nothing(side: Side) -> None:
    await side.looked()
    side.put(NEW)  # the directory first; the PDP still judges by the old one
    for _ in range(2):
        found = await side.wanted(OLD)
        assert found is not None
        assert found.names == ("old",)
        side.restart()  # and again by a process that has never seen the old one
    side.serve(NEW)
    assert await side.wanted(NEW) is not None
    side.serve(THIRD)  # the PDP first; the directory follows later
    for _ in range(2):
        found = await side.wanted(THIRD)
        assert found is not None
        assert found.names == ("third",)
        side.restart()


@pytest.mark.parametrize("broken", ["absent", "empty", "unparsable"])
async def test_a_directory_that_holds_nothing_does_not_keep_the_pdps_catalog_out(broken: str, side: Side) -> None:
    (side.directory / "catalog.yaml").unlink()
    if broken == "absent":
        side.directory.rmdir()
    elif broken == "unparsable":
        side.put(b"tools: [")
    found = await side.wanted(OLD)
    assert found is not None
    assert found.names == ("old",)


async def test_what_the_directory_holds_is_not_fetched(side: Side) -> None:
    assert await side.wanted(OLD) is not None
    assert not side.pdp.fetched


async def test_the_catalog_in_force_outlives_others_that_come_and_go(side: Side) -> None:
    assert await side.wanted(OLD) is not None
    for lie in ("another catalog", "nothing"):
        side.serve(NEW)
        side.pdp.tell = LIES[lie]
        assert await side.wanted(NEW) is None
        assert side.store.held(digest(OLD)) is not None
    side.pdp.tell = tell_the_catalog
    assert await side.wanted(NEW) is not None
    assert side.store.tool(digest(OLD), "old") is not None, "calls that are under way still find their entry"
    side.serve(THIRD)
    assert await side.wanted(THIRD) is not None
    assert [side.store.held(digest(data)) is not None for data in (OLD, NEW, THIRD)] == [False, True, True]


async def test_a_thousand_calls_at_once_fetch_it_once(side: Side) -> None:
    side.restart(30)
    side.serve(NEW)
    found = await asyncio.gather(*(side.wanted(NEW) for _ in range(1000)))
    assert all(loaded is found[0] is not None for loaded in found)
    assert side.pdp.fetched == [digest(NEW)]


async def test_a_caller_that_goes_away_takes_nothing_from_the_others(side: Side) -> None:
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_question: pb.CatalogQuestion, answer: pb.CatalogAnswer) -> bytes:
        arrived.set()
        await go_on.wait()
        return answer.SerializeToString()

    side.restart(30)
    side.serve(NEW)
    side.pdp.tell = slow
    first = asyncio.create_task(side.wanted(NEW))
    second = asyncio.create_task(side.wanted(NEW))
    await arrived.wait()
    first.cancel()
    await asyncio.wait((first,))
    assert await side.wanted(NEW, 0.05) is None, "nobody waits beyond a deadline of their own"
    go_on.set()
    assert await second is not None
    assert side.pdp.fetched == [digest(NEW)]


async def test_a_refused_reload_is_a_warning_and_service_goes_on(side: Side) -> None:
    side.pdp.problems = ("bad.cedar:3:1: policy x: unexpected token",)
    await side.looked()
    assert not side.in_force.not_ready("")
    told = f"revision {REVISION}; last reload refused: {side.pdp.problems[0]}"
    assert side.in_force.warnings() == {"policies": told}
    assert side.in_force.policy_state() == (REVISION, True)
    side.pdp.problems = ()
    await side.looked()
    assert side.in_force.warnings() == {"policies": f"revision {REVISION}"}
    assert side.in_force.policy_state() == (REVISION, False)


async def test_a_revision_is_named_only_while_the_pdp_names_it(side: Side) -> None:
    assert side.in_force.policy_state() is None
    await side.looked()
    assert side.in_force.policy_state() == (REVISION, False)
    side.pdp.key = HopKey.generate()
    await side.looked()
    assert side.in_force.policy_state() is None
    assert not side.in_force.warnings()


@pytest.mark.parametrize("length", [80, 2000, 2047])
async def test_what_is_wrong_with_a_set_is_told_in_whole_lines_that_fit(side: Side, length: int) -> None:
    """A hundred problems of two kilobytes are what the contract allows; whoever shows them reads four."""
    side.pdp.problems = tuple(f"policy-{at:02}.cedar:3:1: policy x: ".ljust(length, "ä")[:length] for at in range(100))
    side.pdp.problems = tuple(problem.encode()[:length].decode("utf-8", "ignore") for problem in side.pdp.problems)
    await side.looked()
    detail = side.in_force.warnings()["policies"]
    assert len(detail.encode()) <= 4096
    head, *whole, more = detail.split("; ")
    assert head == f"revision {REVISION}"
    assert more == "and more: `sallyport policy check` shows all"
    told = [problem.removeprefix("last reload refused: ") for problem in whole]
    assert tuple(told) == side.pdp.problems[: len(told)]
    assert told


async def test_a_first_set_that_is_refused_is_why_it_is_not_ready(side: Side) -> None:
    side.pdp.ready, side.pdp.revision, side.pdp.catalog_digest = False, "", ""
    side.pdp.problems = ("bad.cedar:3:1: policy x: unexpected token",)
    await side.looked()
    assert side.in_force.not_ready("")["pdp"] == side.pdp.problems[0]
    assert side.in_force.policy_state() == ("", True)
    assert not side.in_force.warnings()


async def test_a_pdp_that_can_not_record_says_nothing_of_a_refused_set(side: Side) -> None:
    side.pdp.ready, side.pdp.problems = False, ("audit: the disk is full",)
    await side.looked()
    assert side.in_force.policy_state() == (REVISION, False)


async def test_closing_lets_go_of_a_fetch_under_way(side: Side) -> None:
    side.serve(NEW)
    side.pdp.tell = silence
    assert await side.wanted(NEW, 0.05) is None
    before = len(asyncio.all_tasks())
    await side.in_force.close()
    assert len(asyncio.all_tasks()) < before
