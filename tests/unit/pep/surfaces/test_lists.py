"""Lists of resources: what the catalog has and this caller may read, page by page, whatever the upstream says."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from tests.support.surfaces import Surfaces, usual
from tests.support.upstream_leg import Got

MOST_PAGES = 64  # of an upstream for one of ours


async def pages(made: Surfaces, method: str = "resources/list", most: int = 40, **who: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    params: dict[str, Any] = {}
    for _ in range(most):
        found.append((await made.ask(method, params, **who)).result)
        if "nextCursor" not in found[-1]:
            return found
        params = {"cursor": found[-1]["nextCursor"]}
    raise AssertionError("the pages never end")


def listing(*uris: Any, cursor: str = "", **more: Any) -> dict[str, Any]:
    entries = [{"uri": uri, "name": "n", **more} for uri in uris]
    return {"resultType": "complete", "resources": entries, **({"nextCursor": cursor} if cursor else {})}


def saying(what: Mapping[str, Any], got: Got) -> Mapping[str, Any]:
    return what


async def uris(made: Surfaces, **who: Any) -> set[str]:
    return {entry["uri"] for page in await pages(made, **who) for entry in page["resources"]}


async def test_n9_each_resource_listed_can_be_read_and_no_other_of_the_catalog(made: Surfaces) -> None:
    everything = ["test://plain", "test://hidden", "test://folder/a", "test://item/1", "two://x", "test://nowhere"]
    made.said.append(lambda got: listing(*everything) if got.method == "resources/list" else usual(got))
    shown = await uris(made)
    assert shown == {"test://plain", "test://folder/a", "test://item/1", "two://x"}
    for uri in everything:
        told = await made.ask("resources/read", {"uri": uri})
        assert ("result" in told.body) is (uri in shown), uri


async def test_an_upstream_lists_what_the_catalog_has_of_it_and_not_of_another(made: Surfaces) -> None:
    def by_place(got: Got) -> Mapping[str, Any]:
        return listing("test://plain" if got.target.endswith("/two") else "two://x")

    made.said.append(by_place)
    assert await uris(made) == set(), "each named the other's"


async def test_of_an_entry_only_what_mcp_has_leaves_and_nothing_that_no_screen_shows(made: Surfaces) -> None:
    odd: dict[str, Any] = {
        "title": "a\u200bb\u202ec",
        "description": 7,
        "mimeType": "text/plain",
        "size": 3,
        "icons": [],
        "_meta": {},
    }
    made.said.append(lambda got: listing("test://plain", **odd))
    (page, *_) = await pages(made)
    assert page["resources"] == [
        {"uri": "test://plain", "name": "n", "title": "abc", "mimeType": "text/plain", "size": 3}
    ]


async def test_no_cursor_skips_the_filter_and_pages_that_it_empties_are_passed_over(made: Surfaces) -> None:
    def numbered(got: Got) -> Mapping[str, Any]:
        number = int(got.message["params"].get("cursor", "0"))
        uri = "test://plain" if number == 4 else f"file:///{number}"
        return listing(uri, cursor=str(number + 1) if number < 5 else "")

    made.said.append(numbered)
    found = await pages(made)
    assert [[one["uri"] for one in page["resources"]] for page in found if page["resources"]] == [["test://plain"]]


async def test_an_upstream_whose_pages_never_end_costs_a_few_requests_a_page(made: Surfaces) -> None:
    made.said.append(lambda got: listing("file:///x", cursor=str(len(made.got))))
    told = (await made.ask("resources/list")).result
    assert told["resources"] == []
    assert len(made.got) <= MOST_PAGES
    asked = len(made.got)
    assert (await made.ask("resources/list", {"cursor": told["nextCursor"]})).result["nextCursor"]
    assert len(made.got) <= asked + MOST_PAGES


async def test_an_upstream_that_says_its_own_page_again_is_done(made: Surfaces) -> None:
    made.said.append(lambda got: listing("test://plain", cursor="same"))
    assert len(await pages(made)) <= 4


async def test_an_upstream_that_answers_with_nonsense_has_nothing_to_show(made: Surfaces) -> None:
    said: tuple[dict[str, Any], ...] = (
        {"resultType": "complete"},
        {"resultType": "complete", "resources": "x", "nextCursor": 7},
        {"resultType": "complete", "resources": [None, 7, [], {}, {"uri": 7}, {"uri": ["test://plain"]}]},
        {"resultType": "complete", "resources": [{"uri": "test://plain\u0000"}, {"uri": "test://folder/../plain"}]},
        {"resultType": "complete", "resources": {"uri": "test://plain"}, "nextCursor": ""},
    )
    for nonsense in said:
        made.said.append(partial(saying, nonsense))
        assert await uris(made) == set()


async def test_templates_are_listed_by_the_same_rule(made: Surfaces) -> None:
    templates = ["test://item/{id}", "test://other/{id}", "file:///{x}"]

    def listed(got: Got) -> Mapping[str, Any]:
        return {"resultType": "complete", "resourceTemplates": [{"uriTemplate": one, "name": one} for one in templates]}

    made.said.append(listed)
    found = [
        entry["uriTemplate"]
        for page in await pages(made, "resources/templates/list")
        for entry in page["resourceTemplates"]
    ]
    assert found == ["test://item/{id}"]


async def test_who_may_not_list_asks_no_upstream(made: Surfaces) -> None:
    for method in ("resources/list", "resources/templates/list", "prompts/list"):
        assert (await made.ask(method, roles=("guest",))).error["code"] == -32010
    assert not made.got


async def test_each_listing_is_recorded_before_it_is_shown(made: Surfaces) -> None:
    for method, what in (("prompts/list", "prompts"), ("resources/list", "resources")):
        before = len(made.gate.records())
        await made.ask(method)
        intent, *_ = [one for one in made.gate.records()[before:] if one["kind"] == "intent"]
        assert (intent["method"], intent["effect"]) == (method, "permit"), what
