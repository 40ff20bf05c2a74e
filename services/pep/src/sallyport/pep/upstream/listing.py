"""Everything that an upstream lists, page by page, within bounds: what it sends is its own choice, and may be hostile."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from sallyport.contract.surfaces import Upstream
from sallyport.pep.model import Failed, Json, Reply
from sallyport.pep.upstream.forward import Forward
from sallyport.runtime import canonical_json

if TYPE_CHECKING:
    from sallyport.pep.upstream import Upstreams

Kind = Literal["tools", "prompts", "resources", "templates"]
Definition: TypeAlias = Mapping[str, Json]
Ask: TypeAlias = Callable[[str, Mapping[str, Json]], Awaitable[Reply | Failed]]
Fetch: TypeAlias = Callable[[str, Upstream, frozenset[Kind]], Awaitable["Listing"]]

KINDS: Final[Mapping[Kind, tuple[str, str]]] = {  # the method, and the member of its result
    "tools": ("tools/list", "tools"),
    "prompts": ("prompts/list", "prompts"),
    "resources": ("resources/list", "resources"),
    "templates": ("resources/templates/list", "resourceTemplates"),
}
MAX_ITEMS: Final = 2000  # of a kind; a catalog holds 1000
MAX_PAGES: Final = 100
MAX_BYTES: Final = 4 << 20  # of all kinds and pages, with all that came around them
MAX_PAGE: Final = 1 << 20
MAX_CURSOR: Final = 4096
TIMEOUT: Final = 20.0  # seconds, for all kinds
_METHOD_NOT_FOUND: Final = -32601
_INTERNAL: Final = -32603
_HTTP: Final = re.compile(r"\bthe upstream refused the request \(HTTP ([1-5][0-9]{2})\)")


class ListingRefused(Exception):
    """The upstream can't be listed within the bounds. The text is ours alone, nothing of the upstream's."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What an upstream lists, as it was sent; of kinds that weren't asked for, nothing.

    What has no pin may stand in it: `pin` says so, and nothing but that one entry is lost.
    """

    items: Mapping[Kind, tuple[Definition, ...]] = field(default_factory=dict)
    unreadable: Mapping[Kind, int] = field(default_factory=dict)  # entries that are no object

    def of(self, kind: Kind) -> tuple[Definition, ...]:
        return self.items.get(kind, ())


async def list_all(ask: Ask, kinds: frozenset[Kind]) -> Listing:
    """Raises ListingRefused, TimeoutError, and what `ask` raises."""
    async with asyncio.timeout(TIMEOUT):
        found = {kind: await _pages(ask, *KINDS[kind]) for kind in KINDS if kind in kinds}
    items: dict[Kind, tuple[Definition, ...]] = {
        kind: tuple(item for item in pages if isinstance(item, dict)) for kind, pages in found.items()
    }
    return Listing(items, {kind: len(pages) - len(items[kind]) for kind, pages in found.items()})


def fetcher(upstreams: Upstreams) -> Fetch:
    """The real one, over the gate's own leg."""

    async def fetch(name: str, upstream: Upstream, kinds: frozenset[Kind]) -> Listing:
        received: list[int] = []

        async def ask(method: str, params: Mapping[str, Json]) -> Reply | Failed:
            if sum(received) > MAX_BYTES:
                raise ListingRefused(f"its lists have more than {MAX_BYTES} bytes")
            asked = _forward(method, params, received.append)
            return await upstreams.request(name, upstream, asked, begun=_begun, emit=_dropped)

        try:
            return await list_all(ask, kinds)
        except TimeoutError:
            if sum(received):  # silence costs nothing, and is asked again sooner
                raise ListingRefused(f"its lists weren't there in time, in {TIMEOUT:g} seconds") from None
            raise

    return fetch


async def _pages(ask: Ask, method: str, member: str) -> tuple[Json, ...]:
    found: list[Json] = []
    cursors, cursor = set[str](), ""
    for _ in range(MAX_PAGES):
        await asyncio.sleep(0)  # others come in between
        reply = await ask(method, {"cursor": cursor} if cursor else {})
        if isinstance(reply, Failed):
            if reply.code == _METHOD_NOT_FOUND and not cursor:
                return ()  # it has none of that kind
            raise ListingRefused(_refusal(method, reply))
        found += _page(reply, method, member)
        if len(found) > MAX_ITEMS:
            raise ListingRefused(f"{method} has more than {MAX_ITEMS} entries")
        cursor = _next_cursor(reply, method)
        if not cursor:
            return tuple(found)
        if cursor in cursors:
            raise ListingRefused(f"{method} gives the same cursor twice")
        cursors.add(cursor)
    raise ListingRefused(f"{method} has more than {MAX_PAGES} pages")


def _refusal(method: str, failed: Failed) -> str:
    """Of the text nothing but a number: it may be the upstream's own."""
    status = _HTTP.search(failed.message)
    if failed.code == _INTERNAL and status is not None:
        return f"{method} was refused with HTTP {status[1]}"
    return f"{method} was answered with the error {failed.code}"


def _page(reply: Reply, method: str, member: str) -> list[Json]:
    page = reply.result.get(member)
    if reply.type != "complete" or not isinstance(page, list):
        raise ListingRefused(f"{method} was answered without a list of {member}")
    return page


def _next_cursor(reply: Reply, method: str) -> str:
    cursor = reply.result.get("nextCursor")
    if cursor is None:
        return ""
    if not isinstance(cursor, str) or not 0 < len(cursor) <= MAX_CURSOR or not _is_text(cursor):
        raise ListingRefused(f"{method} gives a cursor that is empty, no string, or longer than {MAX_CURSOR}")
    return cursor


def _is_text(cursor: str) -> bool:
    try:
        return bool(cursor.encode())
    except UnicodeEncodeError:
        return False


def _forward(method: str, params: Mapping[str, Json], received: Callable[[int], None]) -> Forward:
    body = canonical_json.encode(dict(params))
    return Forward(
        method=method,
        name="",
        params=body,
        envelope=None,
        identity=None,
        digest=hashlib.sha256(body).hexdigest(),
        timeout_ms=int(TIMEOUT * 1000),
        result_bytes=MAX_PAGE,
        definitions=True,
        received=received,
    )


def _begun() -> None:
    """A list needs no permit: it is the gate's own question."""


async def _dropped(method: str, params: Mapping[str, Json]) -> None:
    """Nobody waits for a notification on the gate's own request."""
