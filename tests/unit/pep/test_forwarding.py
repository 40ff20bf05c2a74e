"""What goes to an upstream: the judged bytes themselves, in one canonical object."""

from __future__ import annotations

import asyncio
from typing import Any, Final, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sallyport.contract.catalog import Limits
from sallyport.contract.surfaces import Upstream
from sallyport.pep.forwarding import Forwarding, Route, params
from sallyport.pep.model import CheckedCall, Identity, Json
from sallyport.pep.upstream import Upstreams
from sallyport.runtime import canonical_json, strict_json

TEXT: Final = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
OBJECT: Final = st.dictionaries(TEXT, TEXT | st.integers(-99, 99) | st.floats(-9, 9) | st.lists(TEXT, max_size=3))
RETRY: Final = st.fixed_dictionaries(
    {}, optional={"inputResponses": st.dictionaries(TEXT, OBJECT), "requestState": TEXT}
)


@pytest.mark.parametrize("method", ["tools/call", "prompts/get"])
@given(name=TEXT, arguments=OBJECT, retry=RETRY)
def test_n11_the_judged_bytes_stand_in_what_is_sent_and_the_whole_is_canonical(
    method: str, name: str, arguments: dict[str, Any], retry: dict[str, Any]
) -> None:
    canonical = canonical_json.encode(arguments)
    call = CheckedCall("here", {"not": "looked at"}, canonical, "", (), "", method, retry)
    sent = params(call, name)
    whole: dict[str, Json] = {"name": name, "arguments": strict_json.parse(canonical), **retry}
    assert sent == canonical_json.encode(whole)
    assert canonical in sent


class Opening:
    """A way that is ready when the test says so."""

    def __init__(self) -> None:
        self.done = asyncio.Event()

    async def ready(self, *_way: object) -> None:
        await self.done.wait()


@pytest.mark.parametrize("turns", range(5))
async def test_a_caller_who_leaves_in_the_moment_in_which_the_way_is_open_is_gone(turns: int) -> None:
    opening, sent = Opening(), list[str]()
    forwarding = Forwarding(cast("Upstreams", opening))
    way = Route("crm", Upstream(url="http://127.0.0.1:1/mcp"), "echo", Limits(), {})

    async def call() -> None:
        await forwarding.ready(way, Identity("laptop", "alice", "bot", "acme", "d-1"))
        for _ in range(9):
            await asyncio.sleep(0)
        sent.append("decided, recorded, sent")

    calling = asyncio.create_task(call())
    await asyncio.sleep(0)
    opening.done.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    calling.cancel()
    await asyncio.wait([calling])
    assert calling.cancelled()
    assert sent == []
