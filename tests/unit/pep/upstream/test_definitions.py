"""What isn't word for word what was approved is in quarantine: changed, gone, ambiguous, unseen or never approved."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any, cast

import pytest

from sallyport.contract.catalog import Catalog
from sallyport.contract.surfaces import Upstream
from sallyport.pep.model import Reply
from sallyport.pep.upstream import Upstreams, listing
from sallyport.pep.upstream.definitions import (
    AMBIGUOUS,
    CHANGED,
    GONE,
    NEVER_APPROVED,
    UNPINNABLE,
    Definitions,
    Pace,
    Touched,
)
from sallyport.pep.upstream.failures import UpstreamBroke, UpstreamUnavailable
from sallyport.pep.upstream.forward import Forward
from sallyport.pep.upstream.listing import Kind, Listing, ListingRefused, fetcher
from sallyport.pep.upstream.pin import pin
from sallyport.pep.upstream.pinned import prompt_key
from sallyport.runtime import exact_json
from tests.support.changing_server import Changing, changing, tool
from tests.support.fake_server import fake_server
from tests.support.raw_lists import GOOD, Odd, raw_lists, send
from tests.support.recording_upstream import Recording
from tests.support.stopwatch import own_garbage
from tests.support.upstream_leg import LEGACY, leg, who

PATIENCE = 60.0
SEARCH = tool("search", description="Finds things.", annotations={"readOnlyHint": True}, _meta={"v": [1]})
QUICK = Pace(least=0.0)


def catalog(*definitions: Mapping[str, Any], upstreams: Mapping[str, str] | None = None, **told: Any) -> Catalog:
    """Of tools that were approved as they are in `definitions`, at the upstream crm."""
    tools = [
        {
            "name": definition["name"],
            "provider": {"upstream": "crm"},
            "input": {"type": "object"},
            "pin": pin(definition),
        }
        for definition in definitions
    ]
    urls = upstreams or {"crm": "http://127.0.0.1:1/mcp"}
    return Catalog.model_validate(
        {"tools": tools, "upstreams": {name: {"url": url} for name, url in urls.items()}, **told}, strict=False
    )


class Said:
    """What an upstream says to whoever fetches, or what goes wrong."""

    def __init__(self, *tools: Mapping[str, Any]) -> None:
        self.tools: tuple[Mapping[str, Any], ...] = tools
        self.prompts: tuple[Mapping[str, Any], ...] = ()
        self.trouble: Exception | None = None
        self.fetched: list[tuple[str, str, frozenset[Kind]]] = []
        self.hold: asyncio.Event | None = None

    async def __call__(self, name: str, upstream: Upstream, kinds: frozenset[Kind]) -> Listing:
        self.fetched.append((name, upstream.url, kinds))
        if self.hold is not None:
            await self.hold.wait()
        if self.trouble is not None:
            raise self.trouble
        listed: dict[Kind, tuple[Mapping[str, Any], ...]] = {"tools": self.tools, "prompts": self.prompts}
        return Listing({kind: listed[kind] for kind in kinds})


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def watching(definitions: Definitions) -> AsyncIterator[Definitions]:
    task = asyncio.create_task(definitions.watch())
    try:
        await asyncio.wait_for(definitions.settled(), PATIENCE)
        yield definitions
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never came to be"
        await asyncio.sleep(0.002)


def _single_changes(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield {other: one for other, one in value.items() if other != key}
            for changed in _single_changes(item):
                yield {**value, key: changed}
        yield {**value, "added": 1}
    else:
        yield [value, "changed"]


async def test_what_is_as_it_was_approved_is_free() -> None:
    held = catalog(SEARCH)
    async with watching(Definitions(Said(copy.deepcopy(SEARCH)), held)) as definitions:
        assert definitions.quarantined(held) == {}
        assert definitions.readiness() == ""


async def test_n21_every_single_change_of_a_definition_puts_the_tool_into_quarantine() -> None:
    said, held = Said(SEARCH), catalog(SEARCH)
    async with watching(Definitions(said, held, pace=QUICK)) as definitions:
        changes = [one for one in _single_changes(SEARCH) if one.get("name") == "search"]
        assert len(changes) > 15
        for changed in changes:
            said.tools = (changed,)
            definitions.changed("crm", "tools")
            await until(lambda: definitions.quarantined(held) == {"search": CHANGED})
            said.tools = (SEARCH,)
            definitions.changed("crm", "tools")
            await until(lambda: definitions.quarantined(held) == {})


async def test_n21_a_tool_is_in_quarantine_until_it_is_first_seen_and_without_a_pin_for_ever() -> None:
    said = Said(SEARCH, tool("other"))
    said.hold = asyncio.Event()
    unpinned = catalog(SEARCH).tools[0].model_copy(update={"name": "other", "pin": None})
    approved = catalog(SEARCH)
    held = approved.model_copy(update={"tools": (*approved.tools, unpinned)})
    definitions = Definitions(said, held)
    assert definitions.quarantined(held) == {
        "search": "its definition wasn't seen in the last 120 seconds: not asked yet",
        "other": NEVER_APPROVED,
    }
    said.hold.set()
    async with watching(definitions):
        assert definitions.quarantined(held) == {"other": NEVER_APPROVED}
        assert "1 in quarantine: other" in definitions.readiness()


async def test_n21_a_tool_that_vanished_or_is_listed_in_two_ways_is_in_quarantine() -> None:
    said, held = Said(), catalog(SEARCH)
    async with watching(Definitions(said, held, pace=QUICK)) as definitions:
        assert definitions.quarantined(held) == {"search": GONE}
        for twins in ((SEARCH, {**SEARCH, "title": "x"}), ({**SEARCH, "title": "x"}, SEARCH, SEARCH)):
            said.tools = twins
            definitions.changed("crm")
            await until(lambda: definitions.quarantined(held) == {"search": AMBIGUOUS})
        said.tools = (SEARCH, SEARCH)
        definitions.changed("crm")
        await until(lambda: definitions.quarantined(held) == {})


async def test_n21_what_wasnt_seen_within_120_seconds_is_in_quarantine_and_back_when_it_is_seen() -> None:
    said, held, clock = Said(SEARCH), catalog(SEARCH), Clock()
    async with watching(Definitions(said, held, clock=clock, pace=Pace(least=0.0))) as definitions:
        said.trouble = UpstreamUnavailable("away", "connect\x1b[2Jrefused")
        definitions.changed("crm")
        await until(lambda: len(said.fetched) == 2)
        clock.now += 119.9
        assert definitions.quarantined(held) == {}
        clock.now += 0.1
        (why,) = definitions.quarantined(held).values()
        assert why == "its definition wasn't seen in the last 120 seconds: connect?[2Jrefused"
        said.trouble = None
        definitions.changed("crm")
        await until(lambda: definitions.quarantined(held) == {})


async def test_a_definition_is_as_old_as_its_question() -> None:
    """An answer that took 20 seconds says what was so up to 20 seconds ago."""
    said, held, clock = Said(SEARCH), catalog(SEARCH), Clock()
    said.hold = asyncio.Event()
    definitions = Definitions(said, held, clock=clock)
    async with asyncio.timeout(PATIENCE):
        task = asyncio.create_task(definitions.watch())
        await until(lambda: bool(said.fetched))
        clock.now += 100
        said.hold.set()
        await definitions.settled()
        assert definitions.quarantined(held) == {}
        clock.now += 20
        assert set(definitions.quarantined(held)) == {"search"}
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_it_asks_every_minute_sooner_after_trouble_and_at_once_when_told() -> None:
    said, waited = Said(SEARCH), list[float]()
    go = asyncio.Event()

    async def wait(event: asyncio.Event, seconds: float) -> None:
        waited.append(seconds)
        while not go.is_set() and not event.is_set():  # noqa: ASYNC110 — whichever comes first
            await asyncio.sleep(0)
        go.clear()

    clock = Clock()
    async with watching(Definitions(said, catalog(SEARCH), clock=clock, wait=wait)) as definitions:
        await until(lambda: waited == [60.0])
        said.trouble = RuntimeError("no")
        go.set()
        await until(lambda: waited[1:] == [5.0])
        clock.now += 118  # of 120: whoever waits must be told the moment it is stale
        go.set()
        await until(lambda: waited[2:] == [2.0])
        clock.now += 0.25
        definitions.changed("crm")
        await until(lambda: waited[3:4] == [0.75])  # a flood of changes is one question a second
    assert len(said.fetched) == 3


async def test_changes_of_quarantine_are_told_once_each_and_a_deaf_listener_stops_nothing() -> None:
    said, held, told = Said(SEARCH), catalog(SEARCH), list[tuple[Mapping[str, str], Touched]]()
    definitions = Definitions(said, held, pace=QUICK)

    def deaf(_quarantined: Mapping[str, str], _touched: Touched) -> None:
        raise OSError("disk full")

    definitions.on_change(deaf)
    definitions.on_change(lambda *what: told.append(what))
    async with watching(definitions):
        assert told == []  # a start is no alarm
        for tools in ((), (), (SEARCH,)):
            said.tools = tools
            seen = len(said.fetched)
            definitions.changed("crm")
            await until(lambda seen=seen: len(said.fetched) > seen)  # type: ignore[misc]
        await until(lambda: len(told) == 2)
    lists = frozenset({("crm", "tools")})
    assert told == [({"search": GONE}, lists), ({}, lists)]


async def test_an_upstream_that_is_away_is_told_of_once_whatever_it_dies_of() -> None:
    said, told = Said(SEARCH), list[Mapping[str, str]]()
    said.trouble = OSError("refused")
    definitions = Definitions(said, catalog(SEARCH), pace=QUICK)
    definitions.on_change(lambda quarantined, _: told.append(quarantined))
    async with watching(definitions):
        for trouble in (ValueError("not tried"), OSError("refused"), ValueError("not tried")):
            said.trouble, seen = trouble, len(said.fetched)
            definitions.changed("crm")
            await until(lambda seen=seen: len(said.fetched) > seen)  # type: ignore[misc]
        said.trouble = None
        definitions.changed("crm")
        await until(lambda: told[-1:] == [{}])
    assert [sorted(quarantined) for quarantined in told] == [["search"], []]


async def test_prompts_are_pinned_too_and_asked_for_only_where_the_catalog_has_some() -> None:
    greet = {"name": "search", "description": "Greets."}
    prompts = [{"name": "search", "upstream": "crm", "pin": pin(greet)}]
    held = catalog(SEARCH, prompts=prompts)
    said = Said(SEARCH)
    async with watching(Definitions(said, held, pace=QUICK)) as definitions:
        assert definitions.quarantined(held) == {prompt_key("search"): GONE}  # and not the tool of that name
        said.prompts = (greet,)
        definitions.changed("crm", "prompts")
        await until(lambda: definitions.quarantined(held) == {})
    async with watching(Definitions(said, catalog(SEARCH))):
        pass
    assert [sorted(kinds) for _, _, kinds in said.fetched] == [["prompts", "tools"], ["prompts", "tools"], ["tools"]]


async def test_another_catalog_is_followed_and_the_one_before_still_answers() -> None:
    said, old = Said(SEARCH), catalog(SEARCH)
    new = catalog({**SEARCH, "title": "now"}, upstreams={"crm": "http://127.0.0.1:2/mcp"})
    async with watching(Definitions(said, old)) as definitions:
        definitions.follow(new)
        assert "not asked yet" in definitions.quarantined(new)["search"]  # another server by the same name
        assert definitions.quarantined(old) == {}
        await asyncio.wait_for(definitions.settled(), PATIENCE)
        assert definitions.quarantined(new) == {"search": CHANGED}
        third = catalog(SEARCH, upstreams={"crm": "http://127.0.0.1:2/mcp"})
        definitions.follow(third)
        assert definitions.quarantined(third) == {}  # the same server: what it said holds
    assert [url for _, url, _ in said.fetched] == ["http://127.0.0.1:1/mcp", "http://127.0.0.1:2/mcp"]


async def test_catalogs_that_come_and_go_leave_one_watch_an_upstream() -> None:
    said, one = Said(SEARCH), catalog(SEARCH)
    others = [catalog(SEARCH, upstreams={"crm": f"http://127.0.0.1:{port}/mcp"}) for port in (2, 3)]
    async with watching(Definitions(said, one, pace=QUICK)) as definitions:
        tasks = len(asyncio.all_tasks())
        for _ in range(20):
            for other in (*others, one):
                definitions.follow(other)
        await asyncio.wait_for(definitions.settled(), PATIENCE)
        await until(lambda: definitions.quarantined(one) == {})
        for other in (*others, one):
            definitions.follow(other)
            await asyncio.wait_for(definitions.settled(), PATIENCE)
            assert definitions.quarantined(other) == {}
        await until(lambda: len(asyncio.all_tasks()) == tasks)


async def test_one_upstream_that_hangs_keeps_no_other_from_being_seen() -> None:
    hung = asyncio.Event()

    async def fetch(name: str, _upstream: Upstream, _kinds: frozenset[Kind]) -> Listing:
        if name == "slow":
            await hung.wait()
        return Listing({"tools": (SEARCH,)})

    provider = {"upstream": "slow", "tool": "search"}
    tools = [
        {"name": "search", "provider": {"upstream": "crm"}, "input": {"type": "object"}, "pin": pin(SEARCH)},
        {"name": "slow_search", "provider": provider, "input": {"type": "object"}, "pin": pin(SEARCH)},
    ]
    urls = {"crm": "http://127.0.0.1:1/mcp", "slow": "http://127.0.0.1:2/mcp"}
    held = catalog(upstreams=urls, tools=tools)
    definitions = Definitions(fetch, held)
    task = asyncio.create_task(definitions.watch())
    await until(lambda: set(definitions.quarantined(held)) == {"slow_search"})
    hung.set()
    await until(lambda: definitions.quarantined(held) == {})
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@pytest.fixture
def server() -> Iterator[Changing]:
    with changing(SEARCH) as said:
        yield said


async def _seen(server: Changing) -> Mapping[str, Any]:
    """As the SDK writes it: with what it adds, such as empty members."""
    async with leg(server.port) as upstreams:
        listing = await fetcher(upstreams)("crm", server.upstream, frozenset[Kind]({"tools"}))
    return listing.of("tools")[0]


@pytest.mark.parametrize(
    "change",
    [
        {"description": "Finds things. "},
        {"title": "Search"},
        {"inputSchema": {"type": "object", "properties": {"q": {"type": "string"}, "cc": {"type": "string"}}}},
        {"annotations": {"readOnlyHint": False}},
        {"_meta": {"v": [2]}},
        {"outputSchema": {"type": "object"}},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_n21_a_real_server_that_changes_its_tool_while_it_serves(
    change: dict[str, Any], server: Changing
) -> None:
    held = catalog(await _seen(server), upstreams={"crm": server.url})
    async with (
        leg(server.port) as upstreams,
        watching(Definitions(fetcher(upstreams), held, pace=QUICK)) as definitions,
    ):
        assert definitions.quarantined(held) == {}
        server.tools = [{**SEARCH, **change}]
        definitions.changed("crm", "tools")
        await until(lambda: definitions.quarantined(held) == {"search": CHANGED})
        server.tools = []
        definitions.changed("crm", "tools")
        await until(lambda: definitions.quarantined(held) == {"search": GONE})
        server.tools = [SEARCH]
        definitions.changed("crm", "tools")
        await until(lambda: definitions.quarantined(held) == {})


def _hostile(kind: str) -> Callable[[Changing], None]:
    def endless(server: Changing) -> None:
        server.a_page, server.endless = 1, True

    def crowd(server: Changing) -> None:
        server.tools = [tool(f"t{number}") for number in range(100_000)]

    def book(server: Changing) -> None:
        server.tools = [{**SEARCH, "description": "x" * (10 << 20)}]

    return {"endless": endless, "crowd": crowd, "book": book}[kind]


@pytest.mark.parametrize("kind", ["endless", "crowd", "book"])
async def test_a_hostile_list_is_cut_within_bounds_and_nothing_of_it_holds(kind: str, server: Changing) -> None:
    held, clock = catalog(await _seen(server), upstreams={"crm": server.url}), Clock()
    server.asked = 0
    _hostile(kind)(server)
    async with (
        leg(server.port) as upstreams,
        watching(Definitions(fetcher(upstreams), held, clock=clock)) as definitions,
    ):
        (why,) = definitions.quarantined(held).values()
        assert "wasn't seen" in why
        assert "not asked" not in why
    assert server.asked <= 100


async def test_the_watch_lives_on_whatever_a_fetch_raises() -> None:
    said, held = Said(SEARCH), catalog(SEARCH)
    said.trouble = RecursionError()
    async with watching(Definitions(said, held, pace=QUICK)) as definitions:
        assert "RecursionError" in definitions.quarantined(held)["search"]
        said.trouble, said.tools = None, ({**SEARCH, "title": float("nan")},)
        definitions.changed("crm")
        await until(lambda: definitions.quarantined(held)["search"].startswith(UNPINNABLE))
        said.tools = (SEARCH,)
        definitions.changed("crm")
        await until(lambda: definitions.quarantined(held) == {})


@pytest.mark.parametrize(
    "odd",
    [
        '{"name":"odd","x":1e400}',
        '{"name":"odd","x":0.1000000000000000055511151231257827}',
        '{"name":"odd","x":1,"x":2}',
        '{"name":"odd","x":"\\ud800"}',
        '"odd"',
        "{}",
        '{"name":["odd"]}',
    ],
)
async def test_n21_one_tool_that_has_no_pin_puts_no_other_into_quarantine(odd: str) -> None:
    with raw_lists(GOOD) as server:
        held = catalog(json.loads(GOOD), {"name": "odd"}, upstreams={"crm": server.url})
        server.entries = ['{"name":"odd"}', GOOD]
        async with (
            leg(server.port) as upstreams,
            watching(Definitions(fetcher(upstreams), held, pace=QUICK)) as definitions,
        ):
            assert definitions.quarantined(held) == {}
            server.entries = [odd, GOOD]
            definitions.changed("crm")
            await until(lambda: definitions.quarantined(held).keys() == {"odd"})
            why = definitions.quarantined(held)["odd"]
            assert why == GONE or why.startswith(UNPINNABLE)
            server.entries = ['{"name":"odd"}', GOOD, odd]
            definitions.changed("crm")
            await until(lambda: definitions.quarantined(held) == ({} if why == GONE else {"odd": AMBIGUOUS}))


async def test_n21_a_number_of_64_bits_is_pinned_by_every_digit() -> None:
    def entry(number: int) -> str:
        return f'{{"name":"count","inputSchema":{{"type":"object","maximum":{number}}}}}'

    with raw_lists(entry(2**63 - 1)) as server:
        held = catalog(json.loads(entry(2**63 - 1)), upstreams={"crm": server.url})
        async with (
            leg(server.port) as upstreams,
            watching(Definitions(fetcher(upstreams), held, pace=QUICK)) as definitions,
        ):
            assert definitions.quarantined(held) == {}
            server.entries = [entry(2**63)]
            definitions.changed("crm")
            await until(lambda: definitions.quarantined(held) == {"count": CHANGED})


def _paged(more: str, pages: list[int]) -> Odd:
    """Each page names a next one, and holds next to nothing of what it is for."""

    def odd(handler: BaseHTTPRequestHandler, asked: dict[str, Any]) -> bool:
        if asked["method"] != "tools/list":
            return False
        pages.append(len(pages))
        result = f'{{"resultType":"complete","tools":[{GOOD}],"nextCursor":"{len(pages)}"{more}}}'
        send(handler, f'{{"jsonrpc":"2.0","id":{asked["id"]},"result":{result}}}'.encode())
        return True

    return odd


@pytest.mark.parametrize("more", [f',"junk":"{"x" * 900_000}"', " " * 900_000], ids=["a member", "blanks"])
async def test_all_that_an_upstream_sends_for_a_list_counts_whatever_it_is(more: str) -> None:
    pages: list[int] = []
    with raw_lists(odd=_paged(more, pages)) as server:
        async with leg(server.port) as upstreams:
            upstream = Upstream(url=server.url)
            with pytest.raises(ListingRefused, match="more than 4194304 bytes"):
                await fetcher(upstreams)("crm", upstream, frozenset[Kind]({"tools"}))
    assert len(pages) == 5


class Endless:
    """Where a list never ends: so many bytes of it come, as the leg says when the request is over."""

    def __init__(self, received: int) -> None:
        self._received = received

    async def request(self, _name: str, _upstream: Upstream, asked: Forward, **_told: object) -> Reply:
        try:
            await asyncio.Event().wait()
        finally:
            assert asked.received is not None
            asked.received(self._received)
        raise AssertionError


@pytest.mark.parametrize(("received", "ends"), [(0, TimeoutError), (1, ListingRefused)])
async def test_a_list_that_began_and_does_not_end_in_time_counts_as_refused(
    received: int, ends: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "TIMEOUT", 0.5)
    fetch = fetcher(cast("Upstreams", Endless(received)))
    with pytest.raises(ends):
        await fetch("crm", Upstream(url="http://127.0.0.1:1/mcp"), frozenset[Kind]({"tools"}))


async def test_between_two_pages_others_have_their_turn() -> None:
    turns, told = list[int](), list[int]()

    async def turn() -> None:
        while True:
            turns.append(len(told))
            await asyncio.sleep(0)

    async def ask(_method: str, _params: Mapping[str, Any]) -> Reply:
        told.append(len(told))
        return Reply({"tools": [], **({"nextCursor": str(len(told))} if len(told) < 50 else {})})

    turning = asyncio.create_task(turn())
    await listing.list_all(ask, frozenset[Kind]({"tools"}))
    turning.cancel()
    assert set(turns) >= set(range(1, 50))


@pytest.mark.parametrize("turns", range(8))
async def test_a_watch_that_is_ended_in_the_moment_in_which_it_is_woken_ends(turns: int) -> None:
    definitions = Definitions(Said(SEARCH), catalog(SEARCH), pace=QUICK)
    watch = asyncio.create_task(definitions.watch())
    await asyncio.wait_for(definitions.settled(), PATIENCE)
    await asyncio.sleep(0)  # it waits for what comes next
    definitions.changed("crm")
    for _ in range(turns):
        await asyncio.sleep(0)
    watch.cancel()
    done, _ = await asyncio.wait([watch], timeout=10)
    watch.cancel()
    assert done


async def test_a_page_of_more_than_a_megabyte_is_refused() -> None:
    with raw_lists(GOOD) as server:
        server.more = f',"junk":"{"x" * (1 << 20)}"'
        async with leg(server.port) as upstreams:
            with pytest.raises(UpstreamBroke, match="over"):
                await fetcher(upstreams)("crm", Upstream(url=server.url), frozenset[Kind]({"tools"}))


async def test_a_page_of_more_brackets_than_definitions_have_is_refused() -> None:
    with raw_lists(GOOD) as server:
        server.more = f',"junk":[{",".join(["[]"] * 200_000)}]'
        async with leg(server.port) as upstreams:
            with pytest.raises(UpstreamBroke, match="brackets"):
                await fetcher(upstreams)("crm", Upstream(url=server.url), frozenset[Kind]({"tools"}))


async def test_the_loop_turns_while_a_big_page_is_read() -> None:
    junk = f',"junk":[{",".join(["1e5"] * 220_000)}]'
    with own_garbage():
        await read_and_turn(junk)


async def read_and_turn(junk: str) -> None:
    """By the time of this process: others' share of the machine is no stall of ours."""
    began = time.process_time()
    exact_json.parse(f'{{"x":1{junk}}}'.encode())
    alone, gaps = time.process_time() - began, list[float]()

    async def turn() -> None:
        while True:
            before = time.process_time()
            await asyncio.sleep(0)
            gaps.append(time.process_time() - before)

    with raw_lists(GOOD) as server:
        server.more = junk
        async with leg(server.port) as upstreams:
            turning = asyncio.create_task(turn())
            await fetcher(upstreams)("crm", Upstream(url=server.url), frozenset[Kind]({"tools"}))
            await asyncio.sleep(0.01)  # the last turn counts, too
            turning.cancel()
    assert max(gaps) < alone / 2


async def test_a_refused_list_is_asked_for_less_and_less_also_by_an_upstream_that_says_it_changed() -> None:
    said, waited = Said(SEARCH), list[float]()
    said.trouble = ListingRefused("too much")
    clock = Clock()

    async def wait(event: asyncio.Event, seconds: float) -> None:
        waited.append(seconds)
        clock.now += max(0.0, seconds)
        await asyncio.sleep(0)

    held = catalog(SEARCH)
    async with watching(Definitions(said, held, clock=clock, wait=wait)) as definitions:
        await until(lambda: len(waited) >= 6)
        assert waited[:6] == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]
        definitions.changed("crm")
        asked, at = len(said.fetched), clock.now
        await until(lambda: len(said.fetched) >= asked + 2)
        assert clock.now - at >= 60.0
        said.trouble = None
        await until(lambda: definitions.quarantined(held) == {})
        said.trouble = ListingRefused("too much")
        waited.clear()
        await until(lambda: 5.0 in waited)


async def test_n21_after_a_lost_connection_the_first_call_waits_for_what_its_server_has_now() -> None:
    said, held, clock = Said(SEARCH), catalog(SEARCH), Clock()
    async with watching(Definitions(said, held, pace=QUICK, clock=clock)) as definitions:
        await definitions.sure("crm")
        assert len(said.fetched) == 1
        said.tools = ({**SEARCH, "title": "Another"},)
        clock.now += 10
        definitions.lost("crm")
        await asyncio.gather(*(definitions.sure("crm") for _ in range(50)))
        assert definitions.quarantined(held) == {"search": CHANGED}
        assert len(said.fetched) == 2  # one question for all
        for _ in range(20):  # it ends its connection after each answer
            definitions.lost("crm")
            definitions.met("crm")
            await definitions.sure("crm")
        assert len(said.fetched) == 2
        clock.now += 10
        await definitions.sure("crm")
        assert len(said.fetched) == 3


async def test_n21_a_connection_that_is_lost_right_after_the_minutes_question_is_a_doubt_all_the_same() -> None:
    said, held, clock = Said(SEARCH), catalog(SEARCH), Clock()
    async with watching(Definitions(said, held, pace=QUICK, clock=clock)) as definitions:
        said.tools = ({**SEARCH, "title": "Another"},)
        definitions.lost("crm")
        await definitions.sure("crm")
        assert definitions.quarantined(held) == {"search": CHANGED}


async def test_n21_a_new_connection_alone_has_definitions_fetched_where_one_was_lost() -> None:
    said, held, clock = Said(SEARCH), catalog(SEARCH), Clock()
    async with watching(Definitions(said, held, pace=QUICK, clock=clock)) as definitions:
        clock.now += 10
        definitions.met("crm")
        await asyncio.sleep(0.02)
        assert len(said.fetched) == 1
        definitions.lost("crm")
        definitions.met("crm")
        await until(lambda: len(said.fetched) == 2)


async def test_n21_a_call_waits_for_a_server_that_comes_back_but_not_long_nor_for_refused_lists() -> None:
    said, held, clock = Said(SEARCH), catalog(SEARCH), Clock()
    async with watching(Definitions(said, held, pace=Pace(least=0.0, patience=0.3), clock=clock)) as definitions:
        clock.now += 10
        said.trouble = UpstreamUnavailable("away")
        definitions.lost("crm")
        waiting = asyncio.create_task(definitions.sure("crm"))
        await until(lambda: len(said.fetched) >= 2)
        said.tools, said.trouble = ({**SEARCH, "title": "Another"},), None
        definitions.lost("crm")
        await waiting
        await definitions.sure("crm")
        assert definitions.quarantined(held) == {"search": CHANGED}
        said.hold = asyncio.Event()
        clock.now += 10
        definitions.lost("crm")
        async with asyncio.timeout(PATIENCE):
            await definitions.sure("crm")
        said.trouble = ListingRefused("too much")
        said.hold.set()
        await until(lambda: definitions._of("crm")[0].refused == 1)
        definitions.lost("crm")
        before = len(said.fetched)
        await definitions.sure("crm")
        assert len(said.fetched) == before


@pytest.mark.parametrize("quiet", [False, True], ids=["kept connections", "no connection meanwhile"])
async def test_n21_a_server_that_comes_back_as_another_isnt_called_by_what_the_first_one_had(quiet: bool) -> None:
    first, second = (Recording(era=LEGACY, sessions=True) for _ in range(2))
    approved, serving, writers = first.offer("search"), [first], list[asyncio.StreamWriter]()
    second.offer("search", title="Another")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await serving[0].serve(reader, writer)

    async with fake_server(serve) as port, leg(port) as upstreams:
        held = catalog(approved, upstreams={"crm": f"http://127.0.0.1:{port}/mcp"})
        upstream = held.upstreams["crm"]
        definitions = Definitions(fetcher(upstreams), held, pace=Pace(apart=0.0))
        upstreams.on_doubt(definitions)
        async with watching(definitions):
            await upstreams.ready("crm", upstream, who())
            assert definitions.quarantined(held) == {}
            serving[0] = second
            channel = upstreams._standing["crm"].leg._channel
            assert channel._session.connector is not None
            if quiet:  # as after fifteen idle seconds
                for kept in channel._session.connector._conns.values():
                    for connection, _ in kept:
                        connection.close()
            else:
                for writer in writers:
                    writer.transport.abort()
            await until(lambda: channel._together.open == 0)
            await upstreams.ready("crm", upstream, who())
            assert definitions.quarantined(held) == {"search": CHANGED}
