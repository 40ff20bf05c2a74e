"""Who makes room for whom."""

from __future__ import annotations

import asyncio

import pytest

from sallyport.pep.transport.crowd import Crowd
from sallyport.pep.transport.limits import Limits


class Fake:
    def __init__(self, address: str) -> None:
        self.address = address
        self.was_cut = False

    def cut(self, detail: str) -> None:
        self.was_cut = True

    def abort(self) -> None:
        self.was_cut = True


def crowd(*addresses: str) -> tuple[Crowd[Fake], list[Fake]]:
    crowd = Crowd[Fake](Limits(connections=len(addresses)))
    everyone = [Fake(address) for address in addresses]
    for one in everyone:
        assert crowd.admit(one)
    return crowd, everyone


def test_n26_the_oldest_that_waits_makes_room() -> None:
    full, (a, b, c) = crowd("1", "2", "3")
    full.work(a)
    assert full.admit(Fake("4"))
    assert [x.was_cut for x in (a, b, c)] == [False, True, False]
    assert len(full) == 3


def test_n26_an_address_that_holds_more_than_its_share_makes_room_for_itself() -> None:
    full, everyone = crowd("good", *["bad"] * 7)
    assert full.admit(Fake("bad"))
    assert [x.was_cut for x in everyone] == [False, True] + [False] * 6


def test_n26_nobody_at_work_makes_room() -> None:
    full, everyone = crowd("1", "1")
    for one in everyone:
        full.work(one)
    assert not full.admit(Fake("2"))
    assert not any(x.was_cut for x in everyone)


async def test_the_crowd_is_empty_when_the_last_has_left() -> None:
    full, (a, b) = crowd("1", "2")
    full.work(a)
    emptied = asyncio.create_task(full.emptied())
    full.leave(a)
    full.leave(a)
    assert not emptied.done()
    full.leave(b)
    await asyncio.wait_for(emptied, 5)


@pytest.mark.parametrize("field", Limits.__slots__)
def test_a_limit_of_nothing_is_refused(field: str) -> None:
    with pytest.raises(ValueError, match=field):
        Limits(**{field: 0})
