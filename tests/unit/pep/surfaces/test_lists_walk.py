"""Lists over several upstreams: a slow one keeps nobody from the others, hidden entries leave no trace, none vanishes."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from sallyport.pep.asked import Asked
from sallyport.pep.given import Ahead, Place
from sallyport.pep.model import ListResources, Reply
from sallyport.pep.pages import Page, Pages
from sallyport.pep.walk import LANES
from tests.support import gate as gates
from tests.support.calls import ALICE
from tests.support.fake_server import fake_server
from tests.support.surfaces import Surfaces, merge, prepared, trusting, usual
from tests.support.upstream_leg import Got, Opponent, Say, answer, http, until

PDP_MS: Final = 500  # pdp.deadline_ms as it is shipped
PATIENCE_MS: Final = 200
PAGE_BYTES: Final = 512 << 10


def listing(*uris: str, cursor: Any = "", **more: Any) -> dict[str, Any]:
    entries = [{"uri": uri, "name": "n", **more} for uri in uris]
    return {"resultType": "complete", "resources": entries, **({"nextCursor": cursor} if cursor else {})}


def saying(page: Callable[[Got], Mapping[str, Any]]) -> Say:
    async def say(got: Got, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(got, dict(page(got))))

    return say


async def late(got: Got, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """It answers when the PDP's time is long over."""
    enough = time.monotonic() + PDP_MS / 1000 * 1.2
    await until(lambda: time.monotonic() > enough)
    writer.write(answer(got, listing("test://plain")))


async def never(got: Got, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def hang_up(got: Got, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def refuse(got: Got, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(http(b"{}", "application/json", "500 Oh"))


async def too_big(got: Got, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(answer(got, listing("test://plain", title="x" * PAGE_BYTES)))


def _latest(said: list[Say]) -> Say:
    async def say(got: Got, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await said[-1](got, reader, writer)

    return say


@dataclass
class Two:
    """The gate before two upstreams, of which each says what a test tells it to."""

    surfaces: Surfaces
    one: list[Say]
    two: list[Say]

    def impatient(self) -> Surfaces:
        rooms = self.surfaces.gate.rooms
        pages = Pages(rooms.calls._hands.forwarding._upstreams, rooms.metrics.unlisted, PATIENCE_MS)
        return replace(self.surfaces, gate=self.surfaces.gate.with_rooms(lists=replace(rooms.lists, pages=pages)))


@pytest.fixture(scope="module")
async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Two]:
    async with two(tmp_path_factory.mktemp("two") / "laptop") as made:
        yield made


@pytest.fixture
def both(opened: Two) -> Two:
    opened.one[:], opened.two[:] = [saying(usual)], [saying(lambda _: listing("two://x"))]
    return opened


@asynccontextmanager
async def two(directory: Path) -> AsyncIterator[Two]:
    one, other = [saying(usual)], [saying(usual)]
    first = Opponent(_latest(one))
    second = Opponent(_latest(other))
    async with fake_server(first) as port, fake_server(second) as beside:

        def prepare(made: Path) -> None:
            prepared(f"http://127.0.0.1:{port}/mcp")(made)
            there = {"url": f"http://127.0.0.1:{beside}/mcp", "era": "2026-07-28"}
            merge(made / "policies/catalog.yaml", {"upstreams": {"two": there}})
            pep = yaml.safe_load((made / "pep.yaml").read_text())
            pep["egress"].append(f"127.0.0.1:{beside}")
            (made / "pep.yaml").write_text(yaml.safe_dump(pep))

        without = ("business_hours.cedar",)
        async with gates.gate(directory, without=without, deadline_ms=PDP_MS, prepare=prepare) as gate:
            yield Two(Surfaces(trusting(gate), first), one, other)


async def walked(made: Surfaces, most: int = 80) -> list[list[str]]:
    """The names on each page, until there is none."""
    found: list[list[str]] = []
    params: dict[str, Any] = {}
    while len(found) < most:
        told = (await made.ask("resources/list", params)).result
        found.append([entry["uri"] for entry in told["resources"]])
        if "nextCursor" not in told:
            return found
        params = {"cursor": told["nextCursor"]}
    raise AssertionError("the pages never end")


def all_of(pages: list[list[str]]) -> list[str]:
    return [uri for page in pages for uri in page]


def unlisted(made: Surfaces, upstream: str) -> float:
    exposed = made.gate.rooms.metrics.exposition().decode().splitlines()
    name = f'sallyport_unlisted_total{{upstream="{upstream}"}} '
    return sum(float(line.removeprefix(name)) for line in exposed if line.startswith(name))


async def test_time_that_an_upstream_takes_is_not_taken_from_the_pdp(both: Two) -> None:
    both.one.append(late)
    assert set(all_of(await walked(both.surfaces))) == {"test://plain", "two://x"}


@pytest.mark.parametrize("silent", [never, hang_up, refuse, too_big])
async def test_an_upstream_that_gives_no_list_keeps_nobody_from_the_others_and_it_is_said(
    both: Two, silent: Say
) -> None:
    made = both.impatient()
    both.one.append(silent)
    before = unlisted(made, "one")
    assert await walked(made) == [["two://x"]]
    assert unlisted(made, "one") == before + 1
    assert unlisted(made, "two") == 0


async def test_upstreams_are_asked_at_the_same_time(both: Two) -> None:
    asked: set[str] = set()

    def waits_for_both(name: str, uri: str) -> Say:
        async def say(got: Got, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked.add(name)
            await until(lambda: asked == {"one", "two"})
            writer.write(answer(got, listing(uri)))

        return say

    both.one.append(waits_for_both("one", "test://plain"))
    both.two.append(waits_for_both("two", "two://x"))
    assert await walked(both.surfaces) == [["test://plain", "two://x"]]


async def test_an_upstream_without_such_a_list_leaves_nothing_out(both: Two) -> None:
    async def no_method(got: Got, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        error = {"code": -32601, "message": "no"}
        writer.write(http(json.dumps({"jsonrpc": "2.0", "id": got.id, "error": error}).encode()))

    both.one.append(no_method)
    before = unlisted(both.surfaces, "one")
    assert await walked(both.surfaces) == [["two://x"]]
    assert unlisted(both.surfaces, "one") == before


@pytest.mark.parametrize("odd", [7, [1], "x" * 4095, '"' * 2048])
async def test_a_cursor_that_cannot_be_followed_is_said(both: Two, odd: Any) -> None:
    both.one.append(saying(lambda _: listing("test://plain", cursor=odd)))
    before = unlisted(both.surfaces, "one")
    assert "test://plain" in all_of(await walked(both.surfaces))
    assert unlisted(both.surfaces, "one") == before + 1


async def test_all_of_a_page_with_more_entries_than_one_of_ours_is_shown_once(both: Two) -> None:
    many = [f"test://folder/{number}" for number in range(1100)]
    both.one.append(saying(lambda _: listing(*many)))
    found = all_of(await walked(both.surfaces))
    assert sorted(found) == sorted([*many, "two://x"])


async def test_entries_with_the_longest_names_are_shown_once_too(both: Two) -> None:
    many = [f"test://folder/{'x' * 2000}{number:04}" for number in range(220)]
    both.one.append(saying(lambda _: listing(*many, description="d" * 200)))
    found = await walked(both.surfaces)
    assert len(found) > 1, "all of them are more than a page holds"
    assert sorted(all_of(found)) == [*many, "two://x"]


async def test_a_page_that_changes_between_two_of_ours_hides_nothing_that_stayed(both: Two) -> None:
    names = [f"test://folder/{number:04}" for number in range(1200)]
    turns = 0

    def changing(_: Got) -> Mapping[str, Any]:
        nonlocal turns
        turns += 1
        return listing(*reversed(names[turns * 100 :]) if turns % 2 else names[turns * 100 :])

    both.one.append(saying(changing))
    found = all_of(await walked(both.surfaces))
    assert set(names[turns * 100 :]) <= set(found)
    assert len(found) == len(set(found))


async def test_n9_hidden_entries_after_the_last_that_fits_do_not_make_another_page(both: Two) -> None:
    shown = [f"test://folder/{number:03}" for number in range(256)]
    both.one.append(saying(lambda _: listing(*shown, "test://hidden")))
    assert await walked(both.surfaces) == [[*shown, "two://x"]]


@pytest.mark.parametrize("hidden", [0, 1, 8, 40])
async def test_n9_how_much_a_caller_may_not_see_does_not_show_by_how_often_they_ask(both: Two, hidden: int) -> None:
    def numbered(got: Got) -> Mapping[str, Any]:
        number = int(got.message["params"].get("cursor", "0"))
        return listing("test://hidden", f"file:///{number}", cursor=str(number + 1) if number < hidden else "")

    both.one.append(saying(numbered))
    assert await walked(both.surfaces) == [["two://x"]]


async def test_hidden_entries_between_those_that_are_shown_do_not_move_where_a_page_ends(both: Two) -> None:
    shown = [f"test://folder/{number:03}" for number in range(300)]
    both.one.append(saying(lambda _: listing(*shown)))
    plain = await walked(both.surfaces)

    def one_by_one(got: Got) -> Mapping[str, Any]:
        at = int(got.message["params"].get("cursor", "0"))
        return listing(*shown[at : at + 50], *["test://hidden"] * (at // 50), cursor=str(at + 50) if at < 250 else "")

    both.one.append(saying(one_by_one))
    assert await walked(both.surfaces) == plain


async def test_unfinished_upstreams_with_the_longest_names_and_cursors_fit_into_one_cursor(both: Two) -> None:
    given = both.surfaces.gate.rooms.lists.given
    longest = Place("u" * 128, '"' * 2047, "x:" + '"' * 510)
    ahead = Ahead((longest,) * LANES, "u" * 128)
    listed = ("s" * 128, "resources/templates/list")
    assert given.opened_cursor(ALICE, listed, given.cursor(ALICE, listed, ahead)) == ahead


class _AtOnce:
    """An upstream whose answer is there without any waiting."""

    def __init__(self, result: Mapping[str, Any]) -> None:
        self._result = result

    async def request(self, *_: object, **__: object) -> Reply:
        return Reply(self._result)


class _Counted(Pages):
    """How many turns others have while a page is looked through."""

    turns: int = 0

    async def page(self, place: Place, message: ListResources, asked: Asked) -> Page:
        running = True

        async def others() -> None:
            while running:
                self.turns += 1
                await asyncio.sleep(0)

        beside = asyncio.create_task(others())
        try:
            return await super().page(place, message, asked)
        finally:
            running = False
            await beside


@pytest.mark.parametrize("kind", ["junk", "names", "odd"])
async def test_others_have_their_turn_while_a_page_is_looked_through(both: Two, kind: str) -> None:
    names = {"junk": "", "names": "x" * 2000, "odd": "\ue000\u200b" * 1000}
    turns: list[int] = []
    for many in (128, 640):
        answered = listing(*(f"two://{n}" for n in range(many)), title=names[kind])
        if kind == "junk":
            answered["resources"] = [{"": 0.1}] * many
        pages = _Counted(_AtOnce(answered), lambda _: None)  # type: ignore[arg-type]  # it asks it for this alone
        rooms = both.surfaces.gate.rooms
        gate = both.surfaces.gate.with_rooms(lists=replace(rooms.lists, pages=pages))
        await replace(both.surfaces, gate=gate).ask("resources/list")
        turns.append(pages.turns)
    assert turns[0] >= 128 / 64
    assert turns[1] >= 640 / 64
