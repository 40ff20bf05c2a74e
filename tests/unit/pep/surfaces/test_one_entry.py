"""One URI, one entry: what is judged as one entry of the catalog is never served as another; and what its permit demands."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.fake_server import fake_server
from tests.support.gate import gate
from tests.support.surfaces import Surfaces, merge, prepared, trusting
from tests.support.upstream_leg import MODERN, Got, Opponent, answer

MASKING = """
@id("masking")
@obligation("mask:email")
permit (principal, action == Action::"resources/read", resource)
when { resource == McpResource::"files://shared/people" };

@id("vault.closed")
forbid (principal, action == Action::"resources/list", resource == Server::"closed");
"""


def told(got: Got) -> Mapping[str, Any]:
    if got.method == "resources/read":
        return {"resultType": "complete", "contents": [{"uri": got.message["params"]["uri"], "text": "read"}]}
    people = {"uri": "files://shared/people", "name": "people", "description": "ask ann@example.com"}
    odd = {"uri": "files://shared/{odd}", "name": "odd"}
    return {"resultType": "complete", "resources": [people, odd]}


@pytest.fixture(scope="module")
async def made(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Surfaces]:
    async def say(got: Got, _reader: Any, writer: Any) -> None:
        writer.write(answer(got, dict(told(got))))

    opponent = Opponent(say)
    async with fake_server(opponent) as port:
        url = f"http://127.0.0.1:{port}/mcp"

        def prepare(directory: Path) -> None:
            prepared(url)(directory)
            (directory / "policies/masking.cedar").write_text(MASKING)
            upstreams = {
                "theirs": {"url": url, "era": MODERN},
                "away": {"url": "https://away.test/mcp", "era": MODERN},  # which egress doesn't list
            }
            entries = [
                {"prefix": "files://", "upstream": "theirs", "orgs": ["globex"]},
                {"prefix": "files://shared/", "upstream": "one"},
                {"prefix": "far://", "upstream": "theirs", "orgs": ["globex"]},
                {"prefix": "far://shared/", "upstream": "away"},
                {"template": "crm://{k}/items", "upstream": "one"},
                {"template": "crm://{any}/{id}", "upstream": "theirs", "orgs": ["globex"]},
            ]
            sets = {
                "vault": {"resources": ["files://", "crm://{any}/{id}"]},
                "closed": {"resources": ["files://shared/"]},
            }
            merge(directory / "policies/catalog.yaml", {"upstreams": upstreams, "resources": entries, "servers": sets})

        directory = tmp_path_factory.mktemp("one") / "laptop"
        async with gate(directory, without=("business_hours.cedar",), prepare=prepare) as opened:
            yield Surfaces(trusting(opened), opponent, [])


@pytest.mark.parametrize(
    ("server", "uri"),
    [
        ("vault", "files://shared/x"),  # the set has the shorter prefix alone, and the PDP judges by the longer
        ("vault", "files://x"),  # another tenant's
        ("", "far://shared/x"),  # the longer entry's upstream can't be reached, and the shorter isn't for us
    ],
)
async def test_a_uri_is_not_served_by_an_entry_that_it_was_not_judged_by(made: Surfaces, server: str, uri: str) -> None:
    made.opponent.got.clear()
    refused = await made.ask("resources/read", {"uri": uri}, server)
    nowhere = await made.ask("resources/read", {"uri": "none://such"}, server)
    assert refused.shape == nowhere.shape
    assert made.got == []


async def test_a_templates_own_text_is_completed_by_itself_alone(made: Surfaces) -> None:
    made.opponent.got.clear()
    params = {"ref": {"type": "ref/resource", "uri": "crm://{k}/items"}, "argument": {"name": "k", "value": ""}}
    refused = await made.ask("completion/complete", params, "vault")
    assert refused.error["code"] == -32010
    assert made.got == []


async def test_a_mask_on_reading_holds_for_the_entry_in_the_list(made: Surfaces) -> None:
    shown = (await made.ask("resources/list", {}, "")).result["resources"]
    assert "ann@example.com" not in yaml.safe_dump(shown)


async def test_what_is_listed_can_be_read(made: Surfaces) -> None:
    made.opponent.got.clear()
    listed: list[str] = []
    params: dict[str, Any] = {}
    for _ in range(10):
        page = (await made.ask("resources/list", params)).result
        listed += [entry["uri"] for entry in page["resources"]]
        if "nextCursor" not in page:
            break
        params = {"cursor": page["nextCursor"]}
    assert listed == ["files://shared/people"], "the other has braces, which no request may name"
    assert (await made.ask("resources/read", {"uri": listed[0]})).result


async def test_a_method_is_judged_on_the_server_of_its_set(made: Surfaces) -> None:
    assert (await made.ask("resources/list")).result
    assert (await made.ask("resources/list", {}, "vault")).result is not None
    denied = await made.ask("resources/list", {}, "closed")
    assert denied.reason() == "denied"
