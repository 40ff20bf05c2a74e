"""Policies change again and again, well and badly, while questions come in: no answer is of a third state."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import grpc.aio
import pytest

from sallyport.authz.v1 import authz_pb2 as pb
from sallyport.pdp import question as contract
from sallyport.pdp.decider import decide
from sallyport.pdp.load import load
from sallyport.pdp.snapshot import Snapshot
from tests.contract.pdp_service.reloading import Following, following, publish
from tests.contract.pdp_service.running import OWN_CONNECTION, Client, question
from tests.support import policy_dir

RELOADS = int(os.environ.get("SALLYPORT_RELOADS", "1000"))  # they take one to two minutes
ASKERS = 4
PACE = 0.003  # seconds between an answer and the next question: steady, and room for the reloads
Files = Mapping[str, bytes]
Break = Callable[[Path, Files], None]

STRICT = {
    **policy_dir.POLICIES,
    "no.cedar": '@id("no")\nforbid (principal, action == Action::"read_file", resource);\n',
}
OPEN = {
    "isolation.cedar": policy_dir.ISOLATION,
    "all.cedar": '@id("all")\npermit (principal, action == Action::"read_file", resource);\n',
}
FEWER_TOOLS = policy_dir.TOOLS[:3]
GOOD = (
    policy_dir.files(),
    policy_dir.files(policies=STRICT),
    policy_dir.files(policies=OPEN, tools=FEWER_TOOLS),
)


def _with(name: str, data: bytes) -> Break:
    return lambda place, good: publish(place, {**good, name: data})


def _cut_short(place: Path, good: Files) -> None:
    publish(place, {**good, "files.cedar": policy_dir.OWN_FILE.encode()[:-40]})


def _empty(place: Path, _good: Files) -> None:
    publish(place, {})


def _deleted(place: Path, _good: Files) -> None:
    shutil.rmtree(place)


def _link_to_nowhere(place: Path, _good: Files) -> None:
    (place / "..tmp").symlink_to("..gone")
    (place / "..tmp").replace(place / "..data")


def _link_outside(place: Path, good: Files) -> None:
    """The set out there is a good one; it is none of ours."""
    policy_dir.write(place.parent / "outside", good)
    (place / "..tmp").symlink_to("../outside")
    (place / "..tmp").replace(place / "..data")


def _linked_file(place: Path, good: Files) -> None:
    publish(place, good)
    target = place / (place / "..data").readlink()
    (target / "zz.cedar").symlink_to("/etc/hostname")


BAD: Mapping[str, Break] = {
    "syntax": _with("x.cedar", b'@id("x") permit (principal'),
    "schema": _with("x.cedar", b'@id("x") permit (principal, action, resource) when { principal.no_such };'),
    "half-written": _cut_short,
    "empty": _empty,
    "deleted": _deleted,
    "link to nowhere": _link_to_nowhere,
    "link outside": _link_outside,
    "linked file": _linked_file,
    "too large": _with("x.cedar", b"//" + b"x" * (1 << 20)),
    "not UTF-8": _with("x.cedar", b'@id("x") permit (principal, action, resource) when { "\xff" == "" };'),
    "unknown file": _with("x.ceder", b""),
    "too deep": _with("x.cedar", b'@id("x") permit (principal, action, resource) when { ' + b"(" * 100_000),
    "catalog": _with("catalog.yaml", b"tools: [{name: read_file}]"),
}


@dataclass
class World:
    """What may be answered: the sets by revision, and the order in which they came into force."""

    oracles: dict[str, Snapshot] = field(default_factory=dict)
    published: list[str] = field(default_factory=list)  # the last may not serve yet
    settled: int = 0  # which of them is known to serve
    answered: int = 0
    by_revision: dict[str, int] = field(default_factory=dict)
    done: bool = False

    def questions(self) -> Iterator[pb.Question]:
        """Each catalog is named in turn: a PEP may still hold the one before."""
        for digest, path, tool in itertools.product(
            sorted({held.catalog_digest for held in self.oracles.values()}),
            ("alice/a.txt", "alice/b.txt", "carol/c.txt"),
            ("read_file", "write_file", "status"),
        ):
            kind, name = ("Tool", tool) if tool == "status" else ("File", path)
            given = b"{}" if tool == "status" else b'{"path":"%b"}' % path.encode()
            asked = pb.Evaluation(action=tool, resource=pb.Resource(type=kind, id=name), input=given)
            yield question(asked, catalog_digest=digest)

    def expected(self, asked: pb.Question, revision: str) -> list[tuple[int, list[str], list[int]]]:
        envelope = contract.read(asked.SerializeToString(), batch=False)
        assert envelope is not None
        assert isinstance(envelope.asked, contract.Asked)
        it = envelope.asked
        verdicts = decide(
            self.oracles[revision],
            it.principal,
            it.queries,
            it.purpose,
            catalog_digest=it.catalog_digest,
            now=datetime.now(UTC),
        )
        return [(int(v.effect), list(v.reasons), [int(code) for code in v.errors]) for v in verdicts]

    async def ask(self, address: str, client: Client) -> None:
        """One of many who never stop asking; a status other than OK would raise."""
        async with grpc.aio.insecure_channel(address, options=OWN_CONNECTION) as channel:
            own = Client(channel, client.key)
            for asked in itertools.cycle(list(self.questions())):
                if self.done:
                    return
                oldest = self.settled
                answer = await own.ask(asked)
                assert answer.revision in self.published[oldest:], "an answer of a set that doesn't serve any more"
                told = [(r.effect, list(r.reasons), list(r.errors)) for r in answer.results]
                assert told == self.expected(asked, answer.revision)
                self.answered += 1
                self.by_revision[answer.revision] = self.by_revision.get(answer.revision, 0) + 1
                await asyncio.sleep(PACE)


@pytest.mark.timeout(60 + RELOADS / 2)
async def test_p2_each_answer_is_the_oracles_for_its_revision_while_policies_change(tmp_path: Path) -> None:
    place, world = tmp_path / "policies", World()
    for files in GOOD:
        held = load(policy_dir.contents(files))
        world.oracles[held.revision] = held
    assert len({held.catalog_digest for held in world.oracles.values()}) == 2
    publish(place, GOOD[0])
    async with following(tmp_path, place, watch=False) as pdp:
        world.published.append(pdp.revision)
        askers = [asyncio.create_task(world.ask(pdp.pdp.server.listen, pdp.pdp)) for _ in range(ASKERS)]
        try:
            await _change(pdp, world, askers)
        finally:
            world.done = True
            await asyncio.gather(*askers)
    assert world.answered >= RELOADS
    assert set(world.by_revision) == set(world.oracles)


async def _change(pdp: Following, world: World, askers: list[asyncio.Task[None]]) -> None:
    """A good set, a bad one, another good one …"""
    breaks = itertools.cycle(BAD.items())
    for number in range(1, RELOADS + 1):
        if number % 2:
            name, damage = next(breaks)
            damage(pdp.directory, GOOD[number % 3])
            event = await pdp.reloads.now("change")
            assert (event.serves, bool(event.problems)) == (False, True), name
            assert (event.in_force, pdp.revision) == (world.published[-1],) * 2, name
        else:
            files = GOOD[number // 2 % 3]
            revision = policy_dir.contents(files).revision
            publish(pdp.directory, files)
            world.published.append(revision)
            event = await pdp.reloads.now("change")
            world.settled = len(world.published) - 1
            assert (event.serves, event.problems, event.in_force) == (True, (), revision)
        assert not any(asker.done() for asker in askers), [asker.exception() for asker in askers if asker.done()]
