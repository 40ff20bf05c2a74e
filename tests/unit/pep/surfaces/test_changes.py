"""Telling of changes: as often as an upstream says it, streams hear of it once a second, and only where it concerns them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from sallyport.pep.changes import KINDS, Changes
from tests.support.upstream_leg import until


@pytest.fixture
def changes() -> Iterator[Changes]:
    made = Changes()
    yield made
    made.close()


async def test_n26_a_flood_of_changes_is_two_tellings_a_second_apart(changes: Changes) -> None:
    heard: list[tuple[float, frozenset[str]]] = []
    asked = 0

    def concerns(_upstream: str, _kind: str) -> bool:
        nonlocal asked
        asked += 1
        return True

    clock = asyncio.get_running_loop().time
    with changes.heard(lambda kinds: heard.append((clock(), kinds)), concerns):
        for _ in range(10_000):
            changes.tell("tools", upstream="crm")
        assert asked == 0, "telling went through the streams"
        await until(lambda: len(heard) == 1)
        for _ in range(10_000):
            changes.tell("tools", upstream="crm")
        await until(lambda: len(heard) == 2)
    assert [kinds for _, kinds in heard] == [frozenset({"tools"})] * 2
    assert heard[1][0] - heard[0][0] > 0.99
    assert asked == 2


async def test_only_who_is_shown_something_of_that_upstream_hears(changes: Changes) -> None:
    mine: list[frozenset[str]] = []
    other: list[frozenset[str]] = []
    with (
        changes.heard(mine.append, lambda upstream, kind: (upstream, kind) == ("crm", "tools")),
        changes.heard(other.append, lambda upstream, _: upstream == "files"),
    ):
        changes.tell("tools", "prompts", upstream="crm")
        await until(lambda: bool(mine))
    assert (mine, other) == ([frozenset({"tools"})], [])


async def test_another_policy_set_is_told_at_once_also_to_whom_no_list_matters(changes: Changes) -> None:
    all_of_it: list[frozenset[str]] = []
    none: list[frozenset[str]] = []
    with changes.heard(all_of_it.append, lambda _, __: True), changes.heard(none.append, lambda _, __: False):
        changes.policies_changed()
    assert (all_of_it, none) == ([KINDS], [frozenset()])


async def test_other_token_keys_are_told_at_once_and_change_no_list(changes: Changes) -> None:
    heard: list[frozenset[str]] = []
    with changes.heard(heard.append, lambda _, __: True):
        changes.keys_changed()
    assert heard == [frozenset()]
