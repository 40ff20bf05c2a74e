"""The call count: never lower than the truth, never a guess, and of bounded size."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sallyport.contract.seal import HopKey, HopKeyFile
from sallyport.pep.decision import Decider, Denied, PdpClient, Permit, PermitRefused
from sallyport.pep.decision.counts import BUCKET, BUCKETS, CallCounts
from sallyport.pep.model import Identity
from tests.support.calls import ALICE, ALICE_ID, NoResolvers, checked, fulfils_none
from tests.support.lying_pdp import LyingPdp, listening

HOUR = 3600.0
LONGEST = BUCKET * BUCKETS
PEOPLE = tuple(Identity("laptop", name, "coding-bot", "acme", "d" * 32) for name in ("alice", "bob", "carol", "dave"))


def call(counts: CallCounts, who: Identity) -> None:
    """One call from its question to its effect."""
    counts.reserve(who).settle()


class Clock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


steps = st.lists(
    st.tuples(st.floats(0, 2000), st.sampled_from(PEOPLE), st.booleans()),
    max_size=80,
)


@given(steps, st.integers(1, 4))
@settings(max_examples=300, deadline=None)
def test_a_count_is_never_lower_than_the_last_hours_and_never_higher_than_a_bucket_more(
    walk: list[tuple[float, Identity, bool]], most: int
) -> None:
    clock = Clock()
    counts = CallCounts(most, clock)
    calls: list[tuple[float, Identity]] = []
    for passed, who, called in walk:
        clock.now += passed
        if called:
            call(counts, who)
            calls.append((clock.now, who))
        for person in PEOPLE:
            mine = [clock.now - at for at, caller in calls if caller is person]
            found = counts.of(person)
            if found is None:
                assert most < len(PEOPLE), "with room for all nobody is forgotten"
                continue
            assert sum(age < HOUR for age in mine) <= found <= sum(age < LONGEST for age in mine)
    assert len(counts._entries) <= most


def test_an_identity_that_had_to_be_forgotten_has_no_count_and_neither_has_a_stranger() -> None:
    clock = Clock()
    counts = CallCounts(2, clock)
    alice, bob, carol, dave = PEOPLE
    for who in (alice, alice, bob, carol):  # alice goes
        call(counts, who)
    assert [counts.of(who) for who in PEOPLE] == [None, 1, 1, None]
    call(counts, alice)  # and bob; one call is known of her, but not whether it is the only one
    assert [counts.of(who) for who in PEOPLE] == [None, None, 1, None]
    clock.now += LONGEST
    assert [counts.of(who) for who in PEOPLE] == [0, 0, 0, 0]
    call(counts, dave)
    assert counts.of(dave) == 1


def test_who_called_long_ago_is_forgotten_without_loss() -> None:
    clock = Clock()
    counts = CallCounts(2, clock)
    for who in PEOPLE:
        call(counts, who)
        clock.now += LONGEST
        assert all(counts.of(person) == 0 for person in PEOPLE)


def test_each_part_of_the_compound_identity_counts_for_itself() -> None:
    counts = CallCounts()
    call(counts, ALICE_ID)
    assert counts.of(ALICE_ID) == counts.of(ALICE) == 1
    for changed in ({"issuer": "other"}, {"user": "bob"}, {"agent": "chat-bot"}, {"org": "globex"}):
        assert counts.of(replace(ALICE_ID, **changed)) == 0
    assert counts.of(replace(ALICE_ID, decision_id="e" * 32)) == 1


def test_a_million_identities_stay_within_bounds() -> None:
    counts = CallCounts(64)
    for number in range(10_000):
        call(counts, replace(ALICE_ID, user=str(number)))
    assert len(counts._entries) == 64
    assert counts.of(ALICE_ID) is None


@pytest.fixture
async def asked(tmp_path: Path) -> AsyncIterator[tuple[LyingPdp, Decider]]:
    path = tmp_path / "hop.key"
    HopKey.generate().write(path)
    pdp = LyingPdp(HopKey.from_file(path))
    async with listening(pdp) as address:
        client = PdpClient(address, HopKeyFile(path))
        yield pdp, Decider(client, NoResolvers(), fulfils_none)
        await client.close()


async def permitted(decider: Decider) -> Permit:
    permit = await decider.call(ALICE, ALICE_ID, checked(), "c" * 64, time.monotonic() + 30)
    assert isinstance(permit, Permit)
    return permit


async def test_a_question_tells_the_other_calls_begun_or_being_judged_and_only_redeemed_permits_stay_counted(
    asked: tuple[LyingPdp, Decider],
) -> None:
    pdp, decider = asked
    spent = await permitted(decider)
    (await permitted(decider)).end()  # never redeemed
    for _ in range(2):
        with contextlib.suppress(PermitRefused):  # the second time it is spent
            spent.redeem(method="tools/call", name=spent.tool_name, digest=spent.arguments_digest)
    await permitted(decider)
    assert [question.session.call_count for question in pdp.asked] == [0, 1, 1]
    assert all(question.session.HasField("call_count") for question in pdp.asked)


async def test_a_count_that_is_not_known_is_absent_in_the_question(asked: tuple[LyingPdp, Decider]) -> None:
    pdp, decider = asked
    decider._counts = CallCounts(1)
    for user in ("bob", "carol"):
        call(decider._counts, replace(ALICE_ID, user=user))
    await permitted(decider)
    assert not pdp.asked[0].session.HasField("call_count")


async def test_visibility_and_methods_know_no_count(asked: tuple[LyingPdp, Decider]) -> None:
    pdp, decider = asked
    until = time.monotonic() + 30
    assert not isinstance(await decider.method(ALICE, ALICE_ID, ("tools/list", ""), "c" * 64, until), Denied)
    await decider.visible(ALICE, ALICE_ID, ("read_file",), "c" * 64, until)
    assert not any(question.session.HasField("call_count") for question in pdp.asked)
