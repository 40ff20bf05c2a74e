"""A call limit holds for calls at the same time too, and what was reserved for a call ends with the call."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import inspect
import time
from collections.abc import Callable, Coroutine, Generator
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sallyport.authz.v1 import authz_pb2 as pb
from sallyport.pep.decision import Decider, NoDecision, PdpClient, Permit, PermitRefused
from sallyport.pep.decision.counts import CallCounts
from sallyport.pep.model import CheckedCall, Identity, Resolved, Unresolved
from tests.support.calls import ALICE, ALICE_ID, checked, fulfils_none
from tests.support.lying_pdp import honest_permit

LIMIT = 3
CALLS = 6
ERRORS: tuple[type[BaseException], ...] = (
    ValueError,
    NoDecision,
    TimeoutError,
    MemoryError,
    asyncio.CancelledError,
    KeyboardInterrupt,
    GeneratorExit,
)


class Turn:
    """An await at which whoever drives the coroutine has the say."""

    def __await__(self) -> Generator[None]:
        yield


class Limiting:
    """A PDP that permits while the count is below the limit, and takes its time before and after judging."""

    def __init__(self) -> None:
        self.mood = "honest"

    async def ask(self, question: pb.Question, *, batch: bool, timeout: float) -> pb.Answer:  # noqa: ASYNC109 — as the line to the PDP has it
        assert timeout > 0
        assert batch is (len(question.evaluations) != 1)
        await Turn()
        payload = question.SerializeToString()
        answer = honest_permit(question, payload, question.catalog_digest)
        assert answer.question_sha256 == hashlib.sha256(payload).digest()
        await Turn()
        session = question.session
        if not session.HasField("call_count") or session.call_count >= LIMIT:
            answer.results[0].effect = pb.EFFECT_DENY
        elif self.mood == "other catalog":
            answer.results[0].errors.append(pb.ERROR_CODE_CATALOG_MISMATCH)
        elif self.mood == "unknown obligation":
            answer.results[0].obligations.append("dance")
        elif self.mood == "silent":
            raise NoDecision("silent")
        return answer


class Looking:
    """Resolvers that take their time, and find something or don't."""

    def __init__(self, *, finds: bool = True) -> None:
        self.finds = finds

    def has_resolver(self, _name: str) -> bool:
        return True

    async def resolve(self, _identity: Identity, call: CheckedCall) -> tuple[Resolved, ...] | Unresolved:
        await Turn()
        return tuple(Resolved(ref) for ref in call.resources) if self.finds else Unresolved("nothing there")

    async def release(self, _resolved: tuple[Resolved, ...]) -> None:
        await Turn()


class Running:
    """One call on its way, a step at a time."""

    def __init__(self, decider: Decider) -> None:
        self.work: Coroutine[Any, Any, Any] = decider.call(
            ALICE, ALICE_ID, checked(), "c" * 64, time.monotonic() + 3600
        )
        self.permit: Permit | None = None
        self.over = False

    def step(self, error: type[BaseException] | None = None) -> None:
        """On to the next await, or to what the call's own exception makes of it there."""
        if self.over:
            return
        if self.permit is not None:
            self.permit.end()
            self.over = True
            return
        try:
            if error is None:
                self.work.send(None)
            else:
                self.work.throw(error())
        except StopIteration as end:
            self.permit = end.value if isinstance(end.value, Permit) else None
            self.over = self.permit is None
        except ERRORS:
            self.over = True

    def throw(self, error: type[BaseException]) -> None:
        """Something breaks at the await where it stands; nothing does before the first."""
        if inspect.getcoroutinestate(self.work) == inspect.CORO_SUSPENDED:
            self.step(error)

    def redeem(self) -> None:
        if self.permit is not None:
            with contextlib.suppress(PermitRefused):
                self.permit.redeem(method="tools/call", name=self.permit.tool_name, digest=checked().digest)

    def finish(self) -> None:
        while not self.over:
            self.step()

    @property
    def redeemed(self) -> bool:
        return self.permit is not None and self.permit.redeemed


def decider_of(client: Limiting, resolvers: Looking) -> Decider:
    return Decider(cast("PdpClient", client), resolvers, fulfils_none)


moves = st.lists(
    st.tuples(
        st.integers(0, CALLS - 1),
        st.sampled_from(("step", "step", "step", "redeem", "redeem", "throw")),
        st.sampled_from(ERRORS),
        st.sampled_from(("honest", "honest", "honest", "other catalog", "unknown obligation", "silent")),
    ),
    min_size=30,
    max_size=90,
)


@given(moves, st.booleans())
@settings(max_examples=150, deadline=None)
def test_in_any_order_and_whatever_breaks_the_limit_holds_and_nothing_stays_reserved(
    walk: list[tuple[int, str, type[BaseException], str]], finds: bool
) -> None:
    client = Limiting()
    decider = decider_of(client, Looking(finds=finds))
    calls = [Running(decider) for _ in range(CALLS)]
    for number, what, error, mood in walk:
        client.mood = mood
        call = calls[number]
        if what == "redeem":
            call.redeem()
        elif what == "throw":
            call.throw(error)
        else:
            call.step()
        begun = sum(one.redeemed for one in calls)
        assert begun <= LIMIT
        waiting = sum(one.permit is not None and not one.redeemed and not one.over for one in calls)
        count = decider._counts.of(ALICE_ID)
        assert count is not None
        assert count >= begun + waiting, "a call that has its permit isn't counted"
    client.mood = "honest"
    for call in calls:
        call.finish()
    assert decider._counts.of(ALICE_ID) == sum(call.redeemed for call in calls)
    assert decider._counts._reserved == {}


def test_calls_at_the_same_time_see_each_other_and_the_first_ones_are_permitted() -> None:
    decider = decider_of(Limiting(), Looking())
    calls = [Running(decider) for _ in range(CALLS)]
    for _ in range(8):
        for call in calls:
            if call.permit is None:
                call.step()
    assert [call.permit is not None for call in calls] == [True] * LIMIT + [False] * (CALLS - LIMIT)
    for call in calls:
        call.redeem()
        call.finish()
    assert sum(call.redeemed for call in calls) == LIMIT


def test_a_lookup_that_found_nothing_costs_nothing() -> None:
    decider = decider_of(Limiting(), Looking(finds=False))
    call = Running(decider)
    call.finish()
    assert (decider._counts.of(ALICE_ID), decider._counts._reserved) == (0, {})


@pytest.mark.parametrize("known", [True, False])
def test_a_reservation_is_seen_by_others_until_it_ends(known: bool) -> None:
    counts = CallCounts(1)
    if not known:
        for name in ("bob", "carol"):
            counts.reserve(Identity("laptop", name, "coding-bot", "acme", "d" * 32)).settle()
    first, second = counts.reserve(ALICE_ID), counts.reserve(ALICE_ID)
    assert [first.before, second.before] == ([0, 1] if known else [None, None])
    ended: list[Callable[[], None]] = [first.give_back, first.give_back, second.settle, second.give_back]
    for end in ended:
        end()
    assert counts._reserved == {}
    assert counts.of(ALICE_ID) == (1 if known else None)
    assert [counts.reserve(ALICE_ID).before for _ in range(2)] == ([1, 2] if known else [None, None])
