"""The gate's own subscription: opened again when it ends, and less and less often where it ends at once."""

from __future__ import annotations

import asyncio

from sallyport.contract.catalog import Catalog
from sallyport.pep.ears import Ears
from tests.support.upstream_leg import MODERN, Got, against, chunk, event, http, stream_head, until

ACKNOWLEDGED = chunk(event({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged"}))


async def test_a_stream_that_ends_soon_is_opened_less_and_less_and_one_that_lasted_at_once_again() -> None:
    waited, now = list[float](), 1000.0
    lasts = 0.0

    async def say(got: Got, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal now
        if got.method == "subscriptions/listen":
            now += lasts
            writer.write(stream_head() + ACKNOWLEDGED)
            writer.close()
        else:
            writer.write(http(b"", "text/plain", "404 Not Found"))

    async def wait(seconds: float) -> None:
        waited.append(seconds)
        await asyncio.sleep(0)

    async with against(say, MODERN) as (before, _):
        ears = Ears(before.upstreams, wait=wait, clock=lambda: now)
        provider = {"upstream": "crm"}
        tools = [{"name": "search", "provider": provider, "input": {"type": "object"}}]
        found = {"tools": tools, "upstreams": {"crm": {"url": before.upstream.url}}}
        ears.follow(Catalog.model_validate(found, strict=False))
        watching = asyncio.create_task(ears.watch())
        await until(lambda: len(waited) >= 6)
        assert waited[:6] == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]
        lasts, seen = 60.0, len(waited)
        await until(lambda: len(waited) >= seen + 3)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    assert waited[seen + 1 : seen + 3] == [5.0, 5.0]
